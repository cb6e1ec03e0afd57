//! The same world without transactions: what was sent stays sent. Nothing may be missing, and the stores are what their
//! changelogs say; what is there twice is not an error.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::catch_unwind;
use std::time::Duration;

use crate::alone::{Load, PAIRS, live, new_world, run};
use crate::check::{check_rest, read_letter, records, text};
use crate::clock::Clock;
use crate::log::{COUNTS, LETTERS, PARTITIONS};
use crate::model::{self, Expected, Letter};
use crate::pipeline::few;
use crate::reload::run_alone;
use crate::world::{Delivery, KINDS, Kind, World};

const EPOCH: Duration = Duration::from_millis(100);

/// What a reader finds: how many counts came of each word and the greatest of them, timers, dead letters.
#[derive(Default)]
struct Found {
    counts: BTreeMap<String, (u64, u64)>,
    timers: BTreeSet<(String, i64)>,
    letters: BTreeSet<Letter>,
}

fn read_back(state: &World) -> Found {
    let mut found = Found::default();
    for partition in 0..PARTITIONS {
        for record in records(&state.log, COUNTS, partition) {
            let (word, value) = (text(record.key.as_deref()), text(record.value.as_deref()));
            if value.starts_with("tick ") || value.starts_with("short ") {
                continue;
            }
            if let Some(at) = value.strip_prefix("timer ") {
                found.timers.insert((word, at.parse().unwrap()));
            } else {
                let (records, greatest) = found.counts.entry(word).or_default();
                *records += 1;
                *greatest = value.parse::<u64>().unwrap().max(*greatest);
            }
        }
        found.letters.extend(records(&state.log, LETTERS, partition).iter().map(read_letter));
    }
    found
}

fn check(world: &World, expected: &Expected) {
    let found = read_back(world);
    assert!(found.counts.keys().eq(expected.counts.keys()));
    for ((word, (records, greatest)), count) in found.counts.iter().zip(expected.counts.values()) {
        assert!(records >= count && greatest >= count, "{word}: {count}, found {records} up to {greatest}");
    }
    assert_eq!(found.timers, expected.timers);
    assert_eq!(found.letters, expected.letters.iter().cloned().collect());
    check_rest(world);
}

fn check_all(delivery: Delivery) {
    let lines = few();
    let (expected, load) = (model::expected(&lines), Load { lines: &lines, epoch: EPOCH, most: 3 });
    let calls = run(load, BTreeMap::new(), delivery).borrow().calls;
    let attempt = |faults: BTreeMap<usize, Kind>| {
        let run = catch_unwind(|| check(&run(load, faults.clone(), delivery).borrow(), &expected));
        run.unwrap_or_else(|_| panic!("{faults:?}"));
    };
    for at in 1..=calls {
        KINDS.iter().for_each(|&kind| attempt([(at, kind)].into()));
        for (first, second) in PAIRS {
            [1, 3, 9, 20, 28, 39].iter().for_each(|behind| attempt([(at, first), (at + behind, second)].into()));
        }
    }
}

#[test]
fn nothing_is_lost_when_each_record_is_sent_at_once() {
    check_all(Delivery::AtOnce);
}

#[test]
fn nothing_is_lost_when_changes_are_faster_than_outputs() {
    check_all(Delivery::ChangesFirst);
}

/// A reload whose epoch is lost or stays half sent: each call from it to the one behind it.
#[test]
fn nothing_is_lost_around_a_reload() {
    let lines = few();
    let (expected, load) = (model::expected(&lines), Load { lines: &lines, epoch: EPOCH, most: 3 });
    for delivery in [Delivery::AtOnce, Delivery::ChangesFirst] {
        for at in (1..40).step_by(3) {
            let [first, last] = run_alone(load, BTreeMap::new(), at, delivery).1;
            for call in first..=last {
                for kind in KINDS {
                    let run = catch_unwind(|| {
                        check(&run_alone(load, [(call, kind)].into(), at, delivery).0.borrow(), &expected);
                    });
                    run.unwrap_or_else(|_| panic!("{delivery:?}, reload before step {at}, call {call} {kind:?}"));
                }
            }
        }
    }
}

#[test]
fn a_pipeline_may_be_exactly_once_from_any_crash_on() {
    let lines = few();
    let (expected, load) = (model::expected(&lines), Load { lines: &lines, epoch: EPOCH, most: 3 });
    let calls = run(load, BTreeMap::new(), Delivery::ChangesFirst).borrow().calls;
    let mut crashes = 0;
    for at in 1..=calls {
        let world = new_world(load, [(at, Kind::CrashAfter)].into(), Delivery::ChangesFirst);
        let mut clock = Clock::at(1_000);
        // A store that fails is emptied and read anew: the process lives.
        crashes += usize::from(!live(&world, load, &mut clock));
        world.borrow_mut().die(0);
        world.borrow_mut().delivery = Delivery::Together;
        assert!(live(&world, load, &mut clock), "call {at}");
        check(&world.borrow(), &expected);
    }
    assert!(crashes > calls / 2, "{crashes} crashes at {calls} calls");
}
