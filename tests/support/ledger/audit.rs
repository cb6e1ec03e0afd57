//! What must hold of all that a ledger leaves on Kafka, as far as it can be seen from outside. All of it is read by
//! kafka-clients.
//!
//! | check | |
//! | --- | --- |
//! | C1 | the numbers of an account are 1, 2, 3 … |
//! | C2 | its copies have the sequence of its entries |
//! | C3 | its balances are the sums of its amounts, and each sum of a shop is the one before and an amount of its own |
//! | C4 | the last value in a changelog is the last that came out |
//! | C5 | the epoch of a task's row is that of its changelog; the row names no owner |
//! | C6 | all topics are stable to their end |
//! | C7 | each entry is in each output, once |
//! | C8 | each alarm goes off once, in order of time, just when the watermark has come to it, or is still set |
//! | C9 | the rows on the disk of the last node are those of the changelogs |
//! | C10 | nothing is behind the offsets that the group committed |
//! | C11 | what operators were given is what became of it |

mod alarms;
mod stores;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde_json::Value;
use wasmill_core::record::Epoch;
use wasmill_core::row::{self, META};
use wasmill_core::task::memory::Memory;
use wasmill_core::task::row::TaskRow;

use super::{CHANGELOGS, Ledger, OPERATORS, PARTITIONS, SHOPS, SINKS};
use crate::support::kafka::{ask, read, settle};

/// What a ledger left.
pub(crate) struct Audit {
    /// Entries, and so records in each sink.
    entries: u64,
    /// Alarms that went off.
    alarms: u64,
    /// Records in the changelogs, those of memory included.
    changes: usize,
    /// Rows on the disk of the last node.
    rows: usize,
    /// The greatest epoch of a task.
    epoch: u64,
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { entries, alarms, changes, rows, epoch } = self;
        write!(
            f,
            "{entries} entries, {alarms} alarms, {changes} records in changelogs, {rows} rows, epochs up to {epoch}"
        )
    }
}

/// Records by topic and partition, in their order.
type Records = BTreeMap<(String, u64), Vec<Value>>;

/// An entry, read from its topic.
struct Entry {
    account: String,
    sequence: u64,
    shop: String,
}

impl Audit {
    /// Checks a ledger at rest, which was given so many entries. `data`: the data directory of its last run; `told`: what
    /// that said at its end.
    #[track_caller]
    pub(super) fn of(ledger: &Ledger, expected: u64, data: &str, told: &str) -> Self {
        let outputs = SINKS.map(|(sink, _)| ledger.topic(sink));
        let changelogs = CHANGELOGS.map(|changelog| ledger.own(changelog));
        let topics =
            [&[ledger.topic("entries")], &outputs[..], &changelogs, &[ledger.own("shops-repartition")]].concat();
        let topics: Vec<_> = topics.iter().map(String::as_str).collect();
        topics.iter().for_each(|topic| settle(&ledger.brokers, topic));
        for end in ask("ends", &ledger.brokers, &topics) {
            assert_eq!(end["stable"], end["end"], "C6: {end}");
        }
        let mut records = Records::new();
        for record in read(&ledger.brokers, &topics) {
            let place = (text(&record["topic"]).to_owned(), record["partition"].as_u64().expect("a partition"));
            records.entry(place).or_default().push(record);
        }
        let entries = entries(&of(&records, &ledger.topic("entries")), expected);
        let [copies, numbered, balanced, turnovers, _] = outputs.each_ref().map(|topic| of(&records, topic));
        check_accounts(&entries, &copies, &numbered, &balanced);
        check_shops(&entries, &turnovers);
        for (changelog, output) in changelogs.iter().zip([&numbered, &balanced, &turnovers]) {
            assert_eq!(kept(&of(&records, changelog)), last(output), "C4: {changelog}");
        }
        let alarms = alarms::check(ledger, &records);
        // Its timers are given to an operator as its records are.
        let given = |operator| if operator == "alarms" { expected + alarms } else { expected };
        let given = OPERATORS.map(|(stage, operator)| (stage, operator, given(operator)));
        let epoch = check_rows(ledger, &records, &given);
        for (_, operator, count) in given {
            let line = format!("{}.{operator}: {count} in so far, {count} out\n", ledger.name);
            assert!(told.contains(&line), "C11: {line:?} is not in:\n{told}");
        }
        let rows = stores::check(ledger, data, &records);
        let changes = changelogs.iter().map(|topic| of(&records, topic).len()).sum();
        Self { entries: expected, alarms, changes, rows, epoch }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

fn bytes(value: &Value) -> Vec<u8> {
    match value["base64"].as_str() {
        Some(base64) => STANDARD.decode(base64).expect("base64"),
        None => text(value).as_bytes().to_vec(),
    }
}

/// All records of a topic, partition by partition.
fn of<'r>(records: &'r Records, topic: &str) -> Vec<&'r Value> {
    records.range((topic.to_owned(), 0)..=(topic.to_owned(), u64::MAX)).flat_map(|(_, records)| records).collect()
}

/// The entries by their numbers, as they were appended.
#[track_caller]
fn entries(records: &[&Value], expected: u64) -> BTreeMap<u64, Entry> {
    let mut entries = BTreeMap::new();
    for record in records {
        let value: Value = serde_json::from_str(text(&record["value"])).expect("an entry");
        let entry = Entry {
            account: text(&record["key"]).to_owned(),
            sequence: value["sequence"].as_u64().expect("a sequence"),
            shop: text(&value["shop"]).to_owned(),
        };
        let id = value["id"].as_u64().expect("an id");
        assert!(entries.insert(id, entry).is_none(), "the feeder appended {id} twice");
    }
    assert!(entries.keys().copied().eq(0..expected), "the feeder appended {} of {expected} entries", entries.len());
    entries
}

/// Values by their keys, in their order.
fn by_key<'r>(records: &[&'r Value]) -> BTreeMap<&'r str, Vec<&'r str>> {
    let mut values: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for record in records {
        values.entry(text(&record["key"])).or_default().push(text(&record["value"]));
    }
    values
}

#[track_caller]
fn check_accounts(entries: &BTreeMap<u64, Entry>, copies: &[&Value], numbered: &[&Value], balanced: &[&Value]) {
    let mut accounts: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for (id, entry) in entries {
        let ids = accounts.entry(&entry.account).or_default();
        ids.push(*id);
        assert_eq!(entry.sequence, ids.len() as u64, "the feeder's sequence of {}", entry.account);
    }
    let [copies, numbered, balanced] = [copies, numbered, balanced].map(by_key);
    for (what, there) in [("C7", &copies), ("C1", &numbered), ("C3", &balanced)] {
        assert!(there.keys().eq(accounts.keys()), "{what}: other accounts than entries have");
    }
    for (account, ids) in accounts {
        let found = copies[account].iter().map(|copy| serde_json::from_str::<Value>(copy).expect("an entry"));
        let found: Vec<_> = found.map(|copy| copy["id"].as_u64().expect("an id")).collect();
        assert_eq!(found, ids, "C2, C7: the copies of {account}");
        let numbers: Vec<_> = (1..=ids.len()).map(|number| number.to_string()).collect();
        assert_eq!(numbered[account], numbers, "C1: the numbers of {account}");
        let sums = ids.iter().scan(0, |sum, id| {
            *sum += id + 1;
            Some(sum.to_string())
        });
        let sums: Vec<_> = sums.collect();
        assert_eq!(balanced[account], sums, "C3: the balances of {account}");
    }
}

/// A shop's sums are told apart by their differences, each of which is the amount of one entry.
#[track_caller]
fn check_shops(entries: &BTreeMap<u64, Entry>, turnovers: &[&Value]) {
    let mut seen = BTreeSet::new();
    let mut sequences: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for (shop, sums) in by_key(turnovers) {
        let mut before = 0;
        for sum in sums {
            let sum: u64 = sum.parse().expect("a sum");
            let amount = sum.checked_sub(before).filter(|&amount| amount > 0);
            let id = amount.unwrap_or_else(|| panic!("C3: {shop} has {sum} behind {before}")) - 1;
            let entry = entries.get(&id).filter(|entry| entry.shop == shop);
            let entry =
                entry.unwrap_or_else(|| panic!("C3: {shop} has {sum} behind {before}, and no entry of {}", id + 1));
            assert!(seen.insert(id), "C7: entry {id} is twice in {shop}");
            let sequence = sequences.entry((shop, &entry.account)).or_default();
            assert!(*sequence < entry.sequence, "C2: {shop} has entry {id} of {} out of order", entry.account);
            (*sequence, before) = (entry.sequence, sum);
        }
    }
    assert!(seen.iter().eq(entries.keys()), "C7: {} of {} entries are in the shops", seen.len(), entries.len());
}

/// The last value of each key.
fn last(records: &[&Value]) -> BTreeMap<Vec<u8>, String> {
    let values = records.iter().map(|record| (bytes(&record["key"]), text(&record["value"]).to_owned()));
    values.collect()
}

/// The last value of each key in a changelog: behind what says how rows are encoded, and how the operator's values are.
fn kept(changes: &[&Value]) -> BTreeMap<Vec<u8>, String> {
    let mut kept = BTreeMap::new();
    for change in changes {
        let key = bytes(&change["key"]);
        let Some((_, key, _)) = row::parse_keyed(&key) else { continue };
        let value = bytes(&change["value"]);
        let value = row::Value::decode(&value).expect("the value of a row").bytes;
        kept.insert(key.to_vec(), String::from_utf8(value[1..].to_vec()).expect("text"));
    }
    kept
}

/// Checks the rows of all tasks against the changelogs, and the offsets of inputs against what is in them. Answers the
/// greatest epoch.
#[track_caller]
fn check_rows(ledger: &Ledger, records: &Records, expected: &[(&str, &str, u64)]) -> u64 {
    let mut greatest = 0;
    let mut given: BTreeMap<(&str, String), u64> = BTreeMap::new();
    let offsets = ask("group", &ledger.brokers, &[&ledger.group()]);
    let offsets: BTreeMap<_, _> = offsets
        .iter()
        .map(|offset| ((text(&offset["topic"]), offset["partition"].as_u64().expect("a partition")), offset))
        .collect();
    let stages = [("entries", ledger.topic("entries"), false), ("shops", ledger.own("shops-repartition"), true)];
    for (stage, input, is_of_shops) in stages {
        let changelogs = CHANGELOGS.iter().filter(|&&changelog| (changelog == SHOPS) == is_of_shops);
        let tasks = ledger.own(&format!("{stage}-tasks"));
        for partition in 0..u64::from(PARTITIONS) {
            let committed = offsets.get(&(tasks.as_str(), partition));
            let committed = committed.unwrap_or_else(|| panic!("C5: {tasks}/{partition} has no row"));
            let epoch = committed["offset"].as_u64().expect("an epoch");
            let encoded = STANDARD_NO_PAD.decode(text(&committed["metadata"])).expect("base64");
            let row = TaskRow::decode(Epoch(epoch), &encoded).expect("a row");
            assert_eq!(row.owner, "", "C5: the owner of {tasks}/{partition}");
            let memories: Vec<_> =
                changelogs.clone().filter_map(|changelog| memory(records, &ledger.own(changelog), partition)).collect();
            let newest = memories.iter().map(|(epoch, _)| epoch.0).max().unwrap_or_default();
            assert_eq!(newest, epoch, "C5: the changelogs of {tasks}/{partition}");
            greatest = greatest.max(epoch);
            let home = memories.iter().find(|(epoch, _)| epoch.0 == newest);
            for operator in home.iter().flat_map(|(_, memory)| &memory.operators) {
                assert!(operator.counts.add_up(), "C11: {tasks}/{partition}: {operator:?}");
                *given.entry((stage, operator.operator.clone())).or_default() += operator.counts.input;
            }
            let last = records.get(&(input.clone(), partition)).and_then(|records| records.last());
            let last = last.map(|record| record["offset"].as_u64().expect("an offset"));
            let next = offsets.get(&(input.as_str(), partition)).and_then(|offset| offset["offset"].as_u64());
            assert!(
                next >= last.map(|last| last + 1),
                "C10: {input}/{partition} is read to {next:?}, and has {last:?}"
            );
            assert!(row.next.iter().map(|next| next.0 as u64).eq(next), "C5: {tasks}/{partition}: {row:?}, {next:?}");
        }
    }
    for &(stage, operator, expected) in expected {
        let given = given.get(&(stage, operator.to_owned()));
        assert_eq!(given, Some(&expected), "C11: {operator} was given another number of records");
    }
    greatest
}

/// What a task remembers last, as a changelog has it.
fn memory(records: &Records, changelog: &str, partition: u64) -> Option<(Epoch, Memory)> {
    let changes = records.get(&(changelog.to_owned(), partition))?;
    let meta = changes.iter().rfind(|change| bytes(&change["key"]) == META)?;
    let (epoch, _, memory) = Memory::decode(&bytes(&meta["value"])).expect("a memory");
    Some((epoch, memory))
}
