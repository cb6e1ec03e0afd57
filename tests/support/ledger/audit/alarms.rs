//! The alarms of a ledger, as its entries say when each must have gone off.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use wasmill_core::row::{self, Kind};

use super::{Records, bytes, text};
use crate::support::ledger::{ALARMS, Ledger, OUT_OF_ORDER, PARTITIONS};

/// How long after its entry an alarm goes off, in milliseconds.
const LATER: i64 = 500;

/// Key, value and time.
type Output<'r> = (&'r str, &'r str, i64);

/// Key, name and time of alarms that are set.
type Set = BTreeSet<(String, String, i64)>;

/// C8: behind each entry come the alarms that are due at its watermark, in order of their times, and the others are still
/// set. Answers how many went off.
#[track_caller]
pub(super) fn check(ledger: &Ledger, records: &Records) -> u64 {
    let mut count = 0;
    for partition in (0..PARTITIONS).map(u64::from) {
        let of = |topic: String| records.get(&(topic, partition)).map(Vec::as_slice).unwrap_or_default();
        let entries = of(ledger.topic("entries"));
        let (expected, pending) = expected(entries);
        let found: Vec<_> = of(ledger.topic("alarms")).iter().map(output).collect();
        for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert_eq!(found, expected, "C8: output {index} of partition {partition}");
        }
        assert_eq!(found.len(), expected.len(), "C8: outputs of partition {partition}");
        assert_eq!(set(of(ledger.own(ALARMS))), pending, "C8: alarms of partition {partition} that are still set");
        count += found.len() - entries.len();
    }
    count as u64
}

fn output(record: &Value) -> Output<'_> {
    (text(&record["key"]), text(&record["value"]), record["timestamp"].as_i64().expect("a time"))
}

/// What comes of the entries of a partition, and which alarms are set in the end.
fn expected(entries: &[Value]) -> (Vec<Output<'_>>, Set) {
    let (mut outputs, mut pending, mut latest) = (Vec::new(), BTreeMap::new(), i64::MIN);
    for entry in entries {
        let (key, value, time) = output(entry);
        outputs.push((key, value, time));
        pending.insert(time + LATER, (key, value));
        latest = latest.max(time);
        let watermark = latest - OUT_OF_ORDER - 1;
        let later = pending.split_off(&(watermark + 1));
        outputs.extend(std::mem::replace(&mut pending, later).into_iter().map(|(due, (key, value))| (key, value, due)));
    }
    let pending = pending.into_iter().map(|(due, (key, name))| (key.to_owned(), name.to_owned(), due));
    (outputs, pending.collect())
}

/// The timers that a changelog has in the end.
fn set(changes: &[Value]) -> Set {
    let timers = changes.iter().map(|change| (bytes(&change["key"]), &change["value"]));
    let last: BTreeMap<_, _> = timers.filter(|(row, _)| row::kind(row) == Some(Kind::Timer)).collect();
    let set = last.iter().filter(|(_, value)| !value.is_null()).map(|(row, value)| {
        let (_, key, name) = row::parse_keyed(row).expect("a timer");
        let due = row::parse_time(&bytes(value)).expect("a time");
        let part = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
        (part(key), part(name), due.0)
    });
    set.collect()
}
