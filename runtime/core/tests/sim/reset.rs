//! A stopped pipeline is reset to its beginning, and forgets what it knew: what comes then is what came the first time.

use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::time::Duration;

use wasmill_core::port::{Fault, Mark, Position};
use wasmill_core::record::Offset;
use wasmill_core::worker::reset::Moves;

use crate::alone::{Load, live, live_with, new_world};
use crate::check::{check_rest, records, text};
use crate::clock::Clock;
use crate::log::{COUNTS, Log, PARTITIONS, WORDS};
use crate::pipeline::{few, tasks};
use crate::versions::Versions;
use crate::world::{Delivery, KINDS, Kind, Shared};

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
    let of = |task: wasmill_core::record::TaskId| {
        let next = next(task.stage, task.partition.0);
        let positions = (0..inputs(task.stage)).map(|input| Position { input, next, mark: Mark::NONE }).collect();
        (task, positions)
    };
    tasks().into_iter().map(of).collect()
}

/// Runs to the end, resets, and runs to the end again. Whether the reset had an answer is for the caller to ask: then it
/// is not repeated.
fn run(load: Load<'_>, fault: Option<(usize, Kind)>) -> (Shared, Outputs, [usize; 2]) {
    let world = new_world(load, BTreeMap::new(), Delivery::Together);
    let mut clock = Clock::at(1_000);
    assert!(live(&world, load, &mut clock));
    let (first, moves) = {
        let world = world.borrow();
        (outputs(&world.log), moves(&world.log))
    };
    let epochs = |world: &Shared| world.borrow().log.epochs.len();
    let calls = |world: &Shared| world.borrow().calls;
    let (mut around, mut reset) = ([0; 2], false);
    for life in 0..20 {
        if life == 0 {
            let base = calls(&world);
            world.borrow_mut().fail_at.extend(fault.map(|(at, kind)| (base + at, kind)));
            around[0] = base;
        }
        let ended = live_with(&world, load, &mut clock, Versions::FIRST, &mut |worker, now| {
            while !reset {
                let before = epochs(&world);
                match worker.reset(&moves, true, now) {
                    Ok(()) => reset = true,
                    Err(fault @ Fault::Fatal(_)) => return Err(fault),
                    Err(_) => {}
                }
                assert!(!reset || epochs(&world) > before, "a reset is an epoch");
                around[1] = calls(&world);
            }
            Ok(())
        });
        if ended {
            return (world, first, around);
        }
        world.borrow_mut().die(0);
    }
    panic!("no progress");
}

fn check(load: Load<'_>, fault: Option<(usize, Kind)>) -> usize {
    let (world, first, [before, after]) = run(load, fault);
    let world = world.borrow();
    assert!(world.fail_at.is_empty(), "the fault was not met");
    assert_eq!(check_rest(&world), 2, "both stores have come to the end");
    let twice = |(word, values): (_, Vec<String>)| (word, [values.clone(), values].concat());
    assert_eq!(outputs(&world.log), first.into_iter().map(twice).collect());
    after - before
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
