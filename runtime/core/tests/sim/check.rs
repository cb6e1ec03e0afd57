//! What must hold of a world at rest.

use std::collections::{BTreeMap, BTreeSet};

use wasmill_core::batch::Headers;
use wasmill_core::commit::Guarantee;
use wasmill_core::port::Target;
use wasmill_core::record::{Offset, Partition, TaskId};
use wasmill_core::row;
use wasmill_core::state::Size;
use wasmill_core::task::blame::Cause;
use wasmill_core::task::memory::{Counts, Local, Memory};

use crate::disk::Rows;
use crate::log::{At, CHANGELOG, COUNTS, Entry, LETTERS, Log, PARTITIONS, Record, WORDS};
use crate::model::{self, Blamed, DIED, Expected, Letter, Ticks};
use crate::operators::SHORT;
use crate::pipeline::Lines;
use crate::world::World;

pub fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8(bytes.unwrap_or_default().to_vec()).unwrap()
}

/// The committed records of a partition.
pub fn records(log: &Log, target: Target, partition: u32) -> Vec<Record> {
    let entries = log.committed((target.0, partition), 0);
    entries
        .filter_map(|(_, entry)| if let Entry::Record(record) = entry { Some(record.clone()) } else { None })
        .collect()
}

/// Hashes as the rows of tasks do.
pub fn hash(text: &str) -> u64 {
    text.bytes().fold(14_695_981_039_346_656_037, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(1_099_511_628_211))
}

/// The records and timers that the rows of tasks name as what processes died on.
fn blamed(log: &Log, lines: &Lines) -> Blamed {
    let mut blamed = Blamed::default();
    let all = model::expected(lines);
    let ticks = all.ticks.keys().cloned().collect();
    for (task, suspect) in &log.settled {
        let partition = task.partition.0;
        match (task.stage, suspect.place) {
            (0, [0, input, number, 0]) => {
                let partition = input as u32 * PARTITIONS + partition;
                blamed.lines.insert((partition as usize, number as usize));
            }
            (1, [0, 0, offset, 0]) => {
                let entry = log.committed((WORDS.0, partition), offset as i64).next();
                let Some((_, Entry::Record(word))) = entry else { panic!("{offset} is no word") };
                blamed.words.push((text(word.key.as_deref()), word.at));
            }
            (1, [domain, _, key, name]) if domain > 0 => {
                let is_it = |(word, at): &&(String, i64)| (hash(word), hash(&at.to_string())) == (key, name);
                let (of, blamed) =
                    if domain == 1 { (&all.timers, &mut blamed.timers) } else { (&ticks, &mut blamed.ticks) };
                blamed.extend(of.iter().find(is_it).cloned());
            }
            (stage, place) => panic!("stage {stage}: {place:?} is nothing that is processed"),
        }
    }
    blamed
}

/// The log holds what the model says, but for what was blamed for deaths that it may not have caused. Answers how much.
pub fn check_blamed(log: &Log, lines: &Lines, skips: bool) -> usize {
    let blamed = blamed(log, lines);
    check_but(log, &model::expected_but(lines, &blamed), skips, &blamed);
    blamed.lines.len() + blamed.words.len() + blamed.timers.len() + blamed.ticks.len()
}

/// The log holds what the model says, and the counts say what it holds.
pub fn check_log(log: &Log, expected: &Expected, skips: bool) {
    check_but(log, expected, skips, &Blamed::default());
}

fn check_but(log: &Log, expected: &Expected, skips: bool, blamed: &Blamed) {
    let mut found = Expected { lines: expected.lines, ..read_back(log) };
    if skips {
        assert!(found.letters.is_empty());
        found.letters.clone_from(&expected.letters);
    }
    let ticks = check_ticks(&found.ticks, &expected.ticks, blamed);
    found.ticks.clone_from(&expected.ticks);
    assert_eq!(found, *expected);
    check_counts(log, expected, skips, ticks);
}

/// A timer in processing time fires at least once, and no more often than it was set. Answers how many fired.
fn check_ticks(found: &Ticks, expected: &Ticks, blamed: &Blamed) -> u64 {
    for (tick, times) in expected {
        let fired = found.get(tick).copied().unwrap_or_default();
        assert!(
            fired <= *times && (fired > 0 || blamed.ticks.contains(tick)),
            "{tick:?} fired {fired} of {times} times"
        );
    }
    assert!(found.keys().all(|tick| expected.contains_key(tick)), "{found:?}");
    found.values().sum()
}

/// What a reader finds, and that it is in order.
fn read_back(log: &Log) -> Expected {
    let mut found = Expected::default();
    for partition in 0..PARTITIONS {
        let mut last_timer = i64::MIN;
        let mut shorts = BTreeMap::new();
        for record in records(log, COUNTS, partition) {
            let (word, value) = (text(record.key.as_deref()), text(record.value.as_deref()));
            if let Some(at) = value.strip_prefix("tick ") {
                *found.ticks.entry((word, at.parse().unwrap())).or_default() += 1;
            } else if let Some(short) = value.strip_prefix("short ") {
                found.shorts += 1;
                check_short(shorts.entry(word).or_default(), short);
            } else if let Some(at) = value.strip_prefix("timer ") {
                assert!(found.timers.insert((word, at.parse().unwrap())), "a timer fired twice");
                assert!(record.at >= last_timer, "timers fired out of order");
                last_timer = record.at;
            } else {
                let count = found.counts.entry(word.clone()).or_default();
                *count += 1;
                assert_eq!(value, count.to_string(), "count of {word}");
            }
        }
        for letter in records(log, LETTERS, partition) {
            found.letters.push(read_letter(&letter));
        }
    }
    found.letters.sort();
    found
}

pub fn read_letter(letter: &Record) -> Letter {
    let headers = letter.headers.as_deref().unwrap();
    let header = |of: &str| text(Headers::new(headers).find(|(name, _)| *name == of).unwrap().1);
    let reason = header("wasmill-error-reason");
    let reason = if reason.starts_with("the process died on it") { DIED.to_owned() } else { reason };
    (header("wasmill-error-operator"), text(letter.key.as_deref()), text(letter.value.as_deref()), reason)
}

/// What is counted for a short time goes on from the last count if that was not over at the watermark, else from none.
/// `last`: the last count, and when it was written.
fn check_short(last: &mut Option<(u64, i64)>, told: &str) {
    let numbers: Vec<i64> = told.split(' ').map(|number| number.parse().unwrap()).collect();
    let [count, read, written] = numbers[..] else { panic!("{told}") };
    let alive = last.filter(|(_, written)| read == i64::MIN || written + SHORT > read);
    assert_eq!(count as u64, alive.map_or(0, |(count, _)| count) + 1, "{told} after {last:?}");
    *last = Some((count as u64, written));
}

/// What a changelog says up to an offset.
pub fn replay(log: &Log, at: At, end: Offset) -> Rows {
    let mut rows = Rows::new();
    for (_, entry) in log.committed(at, 0).take_while(|(offset, _)| *offset < end.0) {
        match entry {
            Entry::Change((row, Some(value))) => rows.insert(row.clone(), value.clone()),
            Entry::Change((row, None)) => rows.remove(row),
            _ => None,
        };
    }
    rows
}

/// Epochs follow each other, nothing is open, and stores are what their changelogs say, as far as they have come. Answers
/// how many stores have come to the end.
pub fn check_rest(world: &World) -> usize {
    let log = &world.log;
    let mut last: BTreeMap<TaskId, u64> = BTreeMap::new();
    for &(task, epoch) in &log.epochs {
        let last = last.entry(task).or_default();
        assert!(epoch == *last || epoch == *last + 1, "{task}: epoch {epoch} after {last}");
        *last = epoch;
    }
    assert!(!log.is_undecided(), "a transaction is open");
    let mut current = 0;
    for ((task, changelog), stored) in world.disks.iter().flat_map(|disk| &disk.stores) {
        let mut rows = stored.rows.clone();
        let Some(local) = rows.remove(&Local::ROW[..]).map(|local| Local::decode(&local).unwrap()) else {
            assert!(rows.is_empty(), "rows without their place in the changelog");
            continue;
        };
        let Some(epoch) = local.epoch else { continue };
        let row = log.row(*task).unwrap();
        assert!(epoch <= row.epoch, "the store of {task} is ahead");
        let memory = rows.get(&row::META[..]).map(|meta| Memory::decode(meta).unwrap().2);
        // Changelogs are numbered as the operators of their stage.
        let states =
            memory.map_or(Vec::new(), |mut memory| memory.operators.swap_remove(usize::from(*changelog)).states);
        check_index(&rows, &states);
        let keys = rows.keys().filter(|row| row[0] != 0).filter_map(|row| row::parse_keyed(row));
        let rejected = |key: &[u8]| key.starts_with(b"x") || [&b"pox"[..], b"die", b"never"].contains(&key);
        assert!(keys.into_iter().all(|(_, key, _)| !rejected(key)), "a record that failed left rows");
        rows.retain(|row, _| row::kind(row) != Some(row::Kind::Index));
        let expected = replay(log, (CHANGELOG + changelog, task.partition.0), local.next);
        assert_eq!(rows, expected, "{task}: the store differs from its changelog");
        // The first changelog of a stage has all epochs.
        if epoch == row.epoch && *changelog == 0 {
            current += 1;
            check_memory(&expected, row.guarantee, row.epoch.0);
        }
    }
    current
}

/// What became of all records and timers: none is left out, none is counted twice.
fn check_counts(log: &Log, expected: &Expected, skips: bool, ticks: u64) {
    let mut split = Counts::default();
    let mut count = Counts::default();
    for partition in (0..PARTITIONS).map(Partition) {
        let row = log.row(TaskId { stage: 0, partition }).unwrap();
        split.add(&Memory::decode(&row.memory).unwrap().2.operators[0].counts);
        let rows = replay(log, (CHANGELOG, partition.0), Offset(i64::MAX));
        count.add(&Memory::decode(&rows[&row::META[..]]).unwrap().2.operators[0].counts);
    }
    assert!(split.add_up() && count.add_up(), "{split:?} {count:?}");
    let failed =
        |by_split: bool| expected.letters.iter().filter(|letter| (letter.0 == "split") == by_split).count() as u64;
    // A timer's value is its name; words have none.
    let bombs = expected.letters.iter().filter(|(operator, _, value, _)| operator == "count" && !value.is_empty());
    let bombs = bombs.count() as u64;
    let rejected = |counts: &Counts| if skips { counts.skipped } else { counts.dead_lettered.total() };
    let deaths = |counts: &Counts| counts.dead_lettered.iter().find(|(cause, _)| *cause == Cause::Death).unwrap().1;
    let died = expected.letters.iter().filter(|(.., reason)| reason == DIED && !skips).count() as u64;
    assert_eq!(deaths(&split) + deaths(&count), died);
    let words = expected.counts.values().sum::<u64>() + failed(false) - bombs;
    assert_eq!((split.input, split.emitted, rejected(&split)), (expected.lines, words, failed(true)));
    let timers = expected.timers.len() as u64;
    assert_eq!((count.input, rejected(&count)), (words + timers + ticks + bombs, failed(false)));
    assert_eq!(count.emitted, expected.counts.values().sum::<u64>() + expected.shorts + timers + ticks);
}

fn check_memory(rows: &Rows, guarantee: Guarantee, of: u64) {
    let (epoch, _, memory) = Memory::decode(&rows[&row::META[..]]).unwrap();
    match guarantee {
        Guarantee::ExactlyOnce => assert_eq!(epoch.0, of),
        Guarantee::AtLeastOnce => assert!(epoch.0 >= of),
    }
    assert!(memory.operators[0].counts.add_up(), "{:?}", memory.operators[0].counts);
    assert_eq!(memory.operators[0].size, size(rows));
}

/// What there is of values and timers.
pub fn size(rows: &Rows) -> Size {
    let count = |kind| rows.keys().filter(|row| row::kind(row) == Some(kind)).count() as u64;
    Size { rows: count(row::Kind::Value), timers: count(row::Kind::Timer) }
}

/// Each timer is in the index under its time, and each row that expires is in it no later than it does.
fn check_index(store: &Rows, states: &[String]) {
    let is_limited = |row: &[u8]| ["last", "short"].contains(&states[usize::from(row[1])].as_str());
    let mut timers = BTreeSet::new();
    let mut expiring = BTreeSet::new();
    for indexed in store.keys().filter_map(|row| row::parse_index(row)) {
        match indexed.due {
            row::Due::Expiry => {
                expiring.insert(indexed.key);
            }
            _ => assert!(timers.insert((indexed.at, indexed.key, indexed.name))),
        }
    }
    let rows = |kind| store.iter().filter(move |(row, _)| row::kind(row) == Some(kind));
    let set: BTreeSet<_> = rows(row::Kind::Timer)
        .map(|(row, at)| {
            let (_, key, name) = row::parse_keyed(row).unwrap();
            (row::parse_time(at).unwrap(), key, name)
        })
        .collect();
    assert_eq!(timers, set, "the index of timers");
    let limited: BTreeSet<_> =
        rows(row::Kind::Value).map(|(row, _)| row.as_slice()).filter(|row| is_limited(row)).collect();
    // What is gone before its time stays in the index until then.
    assert!(limited.is_subset(&expiring), "the index of what expires: {limited:?} in {expiring:?}");
}
