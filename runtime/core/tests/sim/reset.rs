//! A stopped pipeline is reset to its beginning, and forgets what it knew: what comes then is what came the first time.

use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::time::Duration;

use wasmill_core::commit::{Repair, Terms};
use wasmill_core::port::{Fault, Mark, Position};
use wasmill_core::record::{Epoch, Offset, Partition, TaskId};
use wasmill_core::task::row::TaskRow;
use wasmill_core::worker::Worker;
use wasmill_core::worker::reset::Moves;

use crate::alone::{self, Load, PLACE, live, new_world};
use crate::check::{check_rest, records, text};
use crate::clock::Clock;
use crate::log::{CHANGELOG, COUNTS, Log, PARTITIONS, WORDS};
use crate::pipeline::{few, operators, stages, tasks};
use crate::ports::ports;
use crate::world::{Delivery, KINDS, Kind, Shared, survives};

/// By partition and word, counts in their order and timers.
type Outputs = BTreeMap<(u32, String), Vec<String>>;

fn outputs(log: &Log) -> Outputs {
    let mut outputs = Outputs::new();
    for partition in 0..PARTITIONS {
        for record in records(log, COUNTS, partition) {
            let (word, value) = (text(record.key.as_deref()), text(record.value.as_deref()));
            // What depends on the time of day comes at other times.
            if !["tick ", "short "].iter().any(|kind| value.starts_with(kind)) {
                outputs.entry((partition, word)).or_default().push(value);
            }
        }
    }
    outputs
}

/// The sources to their beginning, and the words behind those that were made of them before.
fn moves(log: &Log) -> Moves {
    let inputs = |stage: u16| if stage == 0 { 2 } else { 1 };
    let next = |stage: u16, partition: u32| match stage {
        0 => Offset(0),
        _ => Offset(log.stable_end((WORDS.0, partition))),
    };
    let of = |task: TaskId| {
        let next = next(task.stage, task.partition.0);
        let positions = (0..inputs(task.stage)).map(|input| Position { input, next, mark: Mark::NONE }).collect();
        (task, positions)
    };
    tasks().into_iter().map(of).collect()
}

/// A process that resets, and does nothing else. Answers whether it lived to say so.
fn reset(world: &Shared, load: Load<'_>, moves: &Moves, clock: &mut Clock) -> bool {
    tasks().into_iter().for_each(|task| world.borrow_mut().give(PLACE, task));
    let epochs = || world.borrow().log.epochs.len();
    let terms = alone::terms(Delivery::Together, load.epoch);
    let mut worker = Worker::new(ports(world, PLACE), stages(false), operators(), terms);
    let life = survives(world, || {
        worker.acquire(&tasks(), clock.now())?;
        loop {
            while worker.restore_only(clock.now(), Duration::ZERO)? {
                clock.pass(30);
            }
            let before = epochs();
            match worker.reset(moves, true, clock.now()) {
                Ok(()) => assert!(epochs() > before, "a reset is an epoch"),
                Err(fault @ Fault::Fatal(_)) => return Err(fault),
                Err(_) => continue,
            }
            return worker.release(&tasks(), clock.now());
        }
    });
    matches!(life, Some(Ok(())))
}

/// Runs to the end, resets until there is an answer, and runs to the end again. Answers the world, what had come before, and
/// the calls of the reset.
fn run(load: Load<'_>, fault: Option<(usize, Kind)>) -> (Shared, Outputs, usize) {
    let world = new_world(load, BTreeMap::new(), Delivery::Together);
    let mut clock = Clock::at(1_000);
    assert!(live(&world, load, &mut clock));
    let (first, moves, before) = {
        let world = world.borrow();
        (outputs(&world.log), moves(&world.log), world.calls)
    };
    world.borrow_mut().fail_at.extend(fault.map(|(at, kind)| (before + at, kind)));
    while !reset(&world, load, &moves, &mut clock) {
        world.borrow_mut().die(0);
    }
    let calls = world.borrow().calls - before;
    assert!(live(&world, load, &mut clock));
    (world, first, calls)
}

fn check(load: Load<'_>, fault: Option<(usize, Kind)>) -> usize {
    let (world, first, calls) = run(load, fault);
    let world = world.borrow();
    assert!(world.fail_at.is_empty(), "the fault was not met");
    assert_eq!(check_rest(&world), 2, "both stores have come to the end");
    let twice = |(word, values): (_, Vec<String>)| (word, [values.clone(), values].concat());
    assert_eq!(outputs(&world.log), first.into_iter().map(twice).collect());
    calls
}

/// 2 partitions, 2 stages, 20 lines: each call from the start to the answer, before and after, as a crash and as an error.
#[test]
fn a_reset_is_one_epoch_or_none() {
    let lines = few();
    let load = Load { lines: &lines, epoch: Duration::from_millis(200), most: 3 };
    let calls = check(load, None);
    for at in 1..=calls {
        for kind in KINDS {
            catch_unwind(|| check(load, Some((at, kind)))).unwrap_or_else(|_| panic!("call {at} of {calls}, {kind:?}"));
        }
    }
    println!("{calls} calls");
}

/// What somebody does to a row.
type Tamper = fn(TaskRow) -> Option<TaskRow>;

/// Takes tasks over and gives them back, with an epoch of nothing else in between. Answers why not, if it cannot.
fn repair(world: &Shared, terms: Terms, clock: &mut Clock) -> Result<(), Fault> {
    tasks().into_iter().for_each(|task| world.borrow_mut().give(PLACE, task));
    let mut worker = Worker::new(ports(world, PLACE), stages(false), operators(), terms);
    worker.acquire(&tasks(), clock.now())?;
    while worker.restore_only(clock.now(), Duration::ZERO)? {
        clock.pass(30);
    }
    if terms.repair == Repair::FromChangelog {
        let stateful = tasks().into_iter().filter(|task| task.stage == 1).map(|task| (task, Vec::new()));
        worker.reset(&stateful.collect(), false, clock.now())?;
    }
    worker.release(&tasks(), clock.now())
}

/// 2 partitions, 2 stages, 20 lines: a row that is gone, one that was set back, one that is ahead. It is refused, and
/// goes on where it was from the changelog.
#[test]
fn what_was_changed_by_hand_is_refused_and_repaired() {
    let lines = few();
    let load = Load { lines: &lines, epoch: Duration::from_millis(100), most: 3 };
    let tampers: [Tamper; 3] = [
        |_| None,
        |row| Some(TaskRow { epoch: Epoch(1), next: vec![Offset(0)], ..row }),
        |row| Some(TaskRow { epoch: Epoch(row.epoch.0 + 7), next: vec![Offset(row.next[0].0 + 1)], ..row }),
    ];
    for (number, tamper) in tampers.into_iter().enumerate() {
        let world = new_world(load, BTreeMap::new(), Delivery::Together);
        let mut clock = Clock::at(1_000);
        assert!(live(&world, load, &mut clock));
        let task = TaskId { stage: 1, partition: Partition(0) };
        let before = world.borrow().log.row(task).cloned().unwrap();
        world.borrow_mut().log.tamper(task, tamper);
        let terms = alone::terms(Delivery::Together, load.epoch);
        let refused = repair(&world, terms, &mut clock).expect_err("it is refused").to_string();
        assert!(refused.contains("task 1/0: its row says epoch") && refused.contains("--from-changelog"), "{refused}");
        world.borrow_mut().die(0);
        repair(&world, Terms { repair: Repair::FromChangelog, ..terms }, &mut clock).unwrap();
        let after = world.borrow().log.row(task).cloned().unwrap();
        assert_eq!(after.next, before.next, "{number}");
        assert!(after.epoch > before.epoch, "{number}: {} after {}", after.epoch, before.epoch);
        let told = outputs(&world.borrow().log);
        assert!(live(&world, load, &mut clock), "{number}: it runs again");
        assert_eq!(outputs(&world.borrow().log), told, "{number}: nothing was repeated");
    }
}

/// A changelog that was made anew has nothing to go on from: it is refused, unless the state is to be forgotten.
#[test]
fn a_changelog_without_rows_is_no_place_to_go_on_from() {
    let lines = few();
    let load = Load { lines: &lines, epoch: Duration::from_millis(100), most: 3 };
    let world = new_world(load, BTreeMap::new(), Delivery::Together);
    let mut clock = Clock::at(1_000);
    assert!(live(&world, load, &mut clock));
    world.borrow_mut().log.make_anew((CHANGELOG, 0));
    let terms = alone::terms(Delivery::Together, load.epoch);
    for (how, says) in [(Repair::Never, "--drop-state"), (Repair::FromChangelog, "has nothing to go on from")] {
        let refused = repair(&world, Terms { repair: how, ..terms }, &mut clock).expect_err("it is refused");
        assert!(matches!(&refused, Fault::Fatal(reason) if reason.contains(says)), "{refused}");
        world.borrow_mut().die(0);
    }
    repair(&world, Terms { repair: Repair::Forget, ..terms }, &mut clock).unwrap();
}
