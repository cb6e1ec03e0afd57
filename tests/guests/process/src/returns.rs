//! Guests whose outcome cannot be, and some whose outcome can.

use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::Call;
use crate::wasmill::plugin::output;
use crate::wasmill::plugin::types::{Batch, Blobs, Error, Failure, KeyedOutcome};

fn outcome(failures: &[u32], cells: &[u32], spans: &[i32], data: &[u8]) -> Result<KeyedOutcome, Error> {
    let failures = failures.iter().map(|&index| Failure { index, reason: format!("record {index} is bad") }).collect();
    Ok(KeyedOutcome { failures, cells: cells.into(), values: Blobs { spans: spans.into(), data: data.into() } })
}

/// Behaves: emits its records with their keys and the count so far.
pub fn counts(call: &Call) -> Result<KeyedOutcome, Error> {
    let old = &call.slots.values;
    let count_of = |span: &[i32]| if span[1] < 0 { 0 } else { old.data[span[0] as usize + 1] };
    let mut counts: Vec<u8> = old.spans.chunks_exact(2).map(count_of).collect();
    let mut records = Batch { timestamps: call.records.timestamps.clone(), spans: vec![], data: vec![] };
    for (record, &slot) in call.slots.slot_of.iter().enumerate() {
        let count = &mut counts[slot as usize];
        *count += 1;
        let key = &call.records.spans[record * 6..][..2];
        records.spans.extend([key[0] | i32::MIN, key[1], records.data.len() as i32, 1, 0, -1]);
        records.data.push(*count);
    }
    output::emit(0, &records, &[]);
    let cells: Vec<u32> = (0..counts.len() as u32).collect();
    let spans: Vec<i32> = cells.iter().flat_map(|&cell| [cell as i32 * 2, 2]).collect();
    outcome(&[], &cells, &spans, &counts.iter().flat_map(|&count| [1, count]).collect::<Vec<_>>())
}

/// Counts, and refuses a key of which its memory has another count than the state: it takes one for the other, which goes
/// well until its process dies.
pub fn trusts(call: &Call) -> Result<KeyedOutcome, Error> {
    static COUNTS: Mutex<BTreeMap<Vec<u8>, u8>> = Mutex::new(BTreeMap::new());
    let mut counts = COUNTS.lock().expect("one thread");
    let old = &call.slots.values;
    for (record, &slot) in call.slots.slot_of.iter().enumerate() {
        let [at, length] = [0, 1].map(|n| old.spans[slot as usize * 2 + n]);
        let stored = if length < 0 { 0 } else { old.data[at as usize + 1] };
        let first = call.slots.slot_of[..record].iter().all(|&earlier| earlier != slot);
        let count = counts.entry(call.key(record).to_vec()).or_default();
        if first && *count != stored {
            return Err(Error::Permanent(format!("{count} records are remembered, and {stored} are stored")));
        }
        *count += 1;
    }
    self::counts(call)
}

/// Behaves: deletes all cells.
pub fn forgets(call: &Call) -> Result<KeyedOutcome, Error> {
    let cells: Vec<u32> = (0..call.slots.values.spans.len() as u32 / 2).collect();
    outcome(&[], &cells, &[0, -1].repeat(cells.len()), b"")
}

pub fn oversteps(call: &Call) -> Result<KeyedOutcome, Error> {
    outcome(&[], &[call.slots.values.spans.len() as u32 / 2], &[0, 1], b"\x01")
}

pub fn repeats() -> Result<KeyedOutcome, Error> {
    outcome(&[], &[0, 0], &[0, 1, 0, 1], b"\x01")
}

pub fn forgets_encoding() -> Result<KeyedOutcome, Error> {
    outcome(&[], &[0], &[0, 0], b"")
}

pub fn blames_nobody(call: &Call) -> Result<KeyedOutcome, Error> {
    outcome(&[call.len() as u32], &[], &[], b"")
}

pub fn blames_twice() -> Result<KeyedOutcome, Error> {
    outcome(&[0, 0], &[], &[], b"")
}

/// Behaves: one record fails.
pub fn fails_some(record: usize) -> Result<KeyedOutcome, Error> {
    outcome(&[record as u32], &[], &[], b"")
}
