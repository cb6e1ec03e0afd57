//! Runs the real loop in a world where every call of a port fails in turn, and compares with a model.
//!
//! Two stages with a repartition topic between them, two partitions each, one worker, stores in memory that survive a
//! crash of the process.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::field_reassign_with_default, reason = "a test")]

mod at_least_once;
mod model;
mod operators;
mod world;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use wasmill_core::batch::Headers;
use wasmill_core::cache::Lag;
use wasmill_core::commit::{Bounds, Guarantee, Memory, Terms};
use wasmill_core::operator::Operator;
use wasmill_core::port::ChangelogId;
use wasmill_core::record::{Partition, TaskId, Timestamp};
use wasmill_core::row;
use wasmill_core::scope::Limits;
use wasmill_core::stage::{Edge, Input, Node, OnError, Progress, Retry, Stage};
use wasmill_core::task::memory::{self, Local};
use wasmill_core::worker::Worker;

use crate::model::Expected;
use crate::operators::{Count, Split};
use crate::world::{COUNTS, Delivery, Entry, KINDS, Kind, LETTERS, PARTITIONS, Record, SOURCE, Shared, WORDS, World};

fn stages() -> Vec<Arc<Stage>> {
    let node = |operator: &str, changelog, to| Node {
        operator: operator.into(),
        plugin: "sha256:0".into(),
        changelog,
        outputs: vec![vec![Edge::Target(to)]],
        on_error: OnError::DeadLetter(LETTERS),
        retry: Retry::default(),
        limits: Limits::default(),
    };
    let entry = vec![Edge::Node { node: 0, input: 0 }];
    let records = Progress::Records { out_of_order: Duration::ZERO, idle_after: Duration::from_mins(1) };
    let upstream = (0..PARTITIONS).map(|p| TaskId { stage: 0, partition: Partition(p) }).collect();
    let lines = Stage {
        name: "lines".into(),
        inputs: vec![Input { topic: "lines".into(), progress: records, edges: entry.clone() }],
        nodes: vec![node("split", None, WORDS)],
        repartitions: vec![WORDS],
    };
    let words = Stage {
        name: "count".into(),
        inputs: vec![Input { topic: "words".into(), progress: Progress::Controls(upstream), edges: entry }],
        nodes: vec![node("count", Some(ChangelogId(0)), COUNTS)],
        repartitions: Vec::new(),
    };
    vec![Arc::new(lines), Arc::new(words)]
}

fn tasks() -> Vec<TaskId> {
    (0..2).flat_map(|stage| (0..PARTITIONS).map(move |p| TaskId { stage, partition: Partition(p) })).collect()
}

fn lines() -> Vec<Vec<(i64, &'static str)>> {
    vec![
        vec![(0, "a b"), (3, "b c a"), (4, "no"), (9, "a"), (12, "xé b"), (20, "a pox a"), (30, "c pox")],
        vec![(1, "b"), (2, "poison"), (8, "a c"), (8, "c"), (15, "b b ß"), (22, "x a"), (31, "d")],
    ]
}

fn new_world(fail_at: BTreeMap<usize, Kind>, delivery: Delivery) -> Shared {
    let mut world = World::default();
    world.fail_at = fail_at;
    world.delivery = delivery;
    for (partition, lines) in lines().into_iter().enumerate() {
        let record = |(at, line): (i64, &str)| Record { key: None, value: Some(line.into()), headers: None, at };
        let entries = lines.into_iter().map(record).map(Entry::Record).collect();
        world.topics.insert((SOURCE, partition as u32), entries);
    }
    Rc::new(RefCell::new(world))
}

/// Runs the worker until all is processed, starting it anew whenever it dies.
fn run(fail_at: BTreeMap<usize, Kind>, delivery: Delivery) -> Shared {
    let world = new_world(fail_at, delivery);
    let mut now = 1_000;
    for _ in 0..20 {
        world.borrow_mut().reboot();
        if live(&world, &mut now) {
            return world;
        }
    }
    panic!("no progress");
}

fn live(world: &Shared, now: &mut i64) -> bool {
    let operators: Vec<Vec<Box<dyn Operator>>> = vec![vec![Box::new(Split::new())], vec![Box::new(Count::new())]];
    let bounds = Bounds { age: Duration::from_millis(100), ..Bounds::default() };
    let guarantee = match world.borrow().delivery {
        Delivery::Together => Guarantee::ExactlyOnce,
        _ => Guarantee::AtLeastOnce,
    };
    // Stores lag by up to two epochs, and rows are read from them again.
    let memory = Memory { rows: 2_000, lag: Lag { changes: 30, age: Duration::from_millis(250) } };
    let terms = Terms { bounds, memory, revision: 1, guarantee };
    let mut worker = Worker::new(world::ports(world), stages(), operators, terms);
    if worker.acquire(&tasks(), Timestamp(*now)).is_err() {
        return false;
    }
    let mut quiet = 0;
    for _ in 0..2_000 {
        *now += 30;
        let Ok(done) = worker.step(Timestamp(*now), Duration::ZERO) else { return false };
        let ended = worker.ends().all(|(_, _, end)| end.is_some());
        quiet = if done || !worker.is_quiet() || !ended { 0 } else { quiet + 1 };
        if quiet > 1 {
            return worker.release(&tasks(), Timestamp(*now)).is_ok();
        }
    }
    panic!("no end");
}

fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8(bytes.unwrap_or_default().to_vec()).unwrap()
}

/// What a reader finds, and that it is in order.
fn read_back(state: &World) -> Expected {
    let mut found = Expected::default();
    for partition in 0..PARTITIONS {
        let mut last_timer = i64::MIN;
        for record in state.records(usize::from(COUNTS.0), partition) {
            let (word, value) = (text(record.key.as_deref()), text(record.value.as_deref()));
            if let Some(at) = value.strip_prefix("timer ") {
                assert!(found.timers.insert((word, at.parse().unwrap())), "a timer fired twice");
                assert!(record.at >= last_timer, "timers fired out of order");
                last_timer = record.at;
            } else {
                let count = found.counts.entry(word.clone()).or_default();
                *count += 1;
                assert_eq!(value, count.to_string(), "count of {word}");
            }
        }
        for letter in state.records(usize::from(LETTERS.0), partition) {
            let headers = letter.headers.as_deref().unwrap();
            let reason = Headers::new(headers).find(|(name, _)| *name == "wasmill-error-reason").unwrap().1;
            found.letters.push((text(letter.key.as_deref()), text(letter.value.as_deref()), text(reason)));
        }
    }
    found.letters.sort();
    found
}

/// Epochs follow each other, stores are what their changelogs say, and the counts of records add up.
fn check_rest(world: &World) {
    let mut last: BTreeMap<TaskId, u64> = BTreeMap::new();
    for &(task, epoch) in &world.epochs {
        let last = last.entry(task).or_default();
        assert!(epoch == *last || epoch == *last + 1, "{task}: epoch {epoch} after {last}");
        *last = epoch;
    }
    for (&(task, changelog), store) in &world.stores {
        let mut replay = BTreeMap::new();
        for (row, value) in world.changelogs.get(&(changelog, task.partition.0)).into_iter().flatten() {
            match value {
                Some(value) => replay.insert(row.clone(), value.clone()),
                None => replay.remove(row),
            };
        }
        let (epoch, _, memory) = memory::Memory::decode(&replay[&row::META[..]]).unwrap();
        let row = &world.rows[&task];
        match row.guarantee {
            Guarantee::ExactlyOnce => assert_eq!(epoch, row.epoch),
            Guarantee::AtLeastOnce => assert!(epoch >= row.epoch),
        }
        let counts = memory.operators[0].counts;
        assert_eq!(counts.skipped, 0);
        let mut store = store.clone();
        assert_eq!(Local::decode(&store.remove(&Local::ROW[..]).unwrap()).unwrap().epoch, Some(row.epoch));
        check_index(&store);
        let keys = store.keys().filter(|row| row[0] != 0).filter_map(|row| row::parse_keyed(row));
        let rejected = |key: &[u8]| key.starts_with(b"x") || key == b"pox";
        assert!(keys.into_iter().all(|(_, key, _)| !rejected(key)), "a record that failed left rows");
        store.retain(|row, _| row::kind(row) != Some(row::Kind::Index));
        assert_eq!(store, replay);
    }
}

/// Each timer is in the index under its time, and each row that expires is in it no later than it does.
fn check_index(store: &BTreeMap<Vec<u8>, Vec<u8>>) {
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
        rows(row::Kind::Value).map(|(row, _)| row.as_slice()).filter(|row| row[1] == 1).collect();
    assert_eq!(expiring, limited, "the index of what expires");
}

fn check(fail_at: BTreeMap<usize, Kind>, expected: &Expected) -> BTreeSet<&'static str> {
    let world = run(fail_at, Delivery::Together);
    let world = world.borrow();
    assert_eq!(read_back(&world), *expected);
    check_rest(&world);
    assert!(world.fail_at.is_empty(), "not all faults were met");
    world.hit.clone()
}

#[test]
fn without_faults_the_model_is_met() {
    let expected = model::expected(&lines());
    assert!(expected.counts.len() > 3 && expected.timers.len() > 3 && expected.letters.len() > 3);
    check(BTreeMap::new(), &expected);
}

#[test]
fn no_single_fault_shows() {
    let expected = model::expected(&lines());
    let calls = run(BTreeMap::new(), Delivery::Together).borrow().calls;
    let mut hit = BTreeSet::new();
    for at in 1..=calls {
        for kind in KINDS {
            let run = std::panic::catch_unwind(|| check([(at, kind)].into(), &expected));
            hit.extend(run.unwrap_or_else(|_| panic!("call {at} {kind:?}")));
        }
    }
    let ports = [
        "apply", "assign", "begin", "change", "commit", "end", "flush", "get", "identity", "open", "owner", "poll",
        "row", "scan", "send", "start", "tell",
    ];
    assert_eq!(ports.iter().filter(|port| !hit.contains(*port)).collect::<Vec<_>>(), Vec::<&&str>::new());
}

/// Which faults follow each other.
const PAIRS: [(Kind, Kind); 4] = [
    (Kind::ErrorBefore, Kind::CrashAfter),
    (Kind::CrashAfter, Kind::ErrorAfter),
    (Kind::CrashAfter, Kind::CrashBefore),
    (Kind::ErrorAfter, Kind::ErrorBefore),
];

#[test]
fn no_two_faults_show() {
    let expected = model::expected(&lines());
    let calls = run(BTreeMap::new(), Delivery::Together).borrow().calls;
    for at in 1..=calls {
        for (first, second) in PAIRS {
            for behind in [1, 2, 5, 9, 14, 23] {
                let faults: BTreeMap<_, _> = [(at, first), (at + behind, second)].into();
                let run = std::panic::catch_unwind(|| check(faults.clone(), &expected));
                run.unwrap_or_else(|_| panic!("{faults:?}"));
            }
        }
    }
}
