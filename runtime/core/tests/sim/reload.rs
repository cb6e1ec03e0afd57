//! Operators are replaced by other versions while they run: under random schedules, at each call that may fail, and where
//! the version before had found a record to be at fault.

use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::time::Duration;

use wasmill_core::worker::reload::{ReloadError, Replacement, Replacements};

use crate::alone::{Load, PLACE, live_with, new_world};
use crate::check::{check_blamed, check_log, check_rest};
use crate::clock::Clock;
use crate::cluster::{Cluster, Reloads, seeds, words};
use crate::model;
use crate::pipeline::{few, many, many_deadly};
use crate::versions::{Versions, check_versions, told};
use crate::world::{Delivery, KINDS, Kind, Shared, id};

/// Things that happen before all is well.
const ACTS: usize = 400;

/// Runs a seed. Answers how often a worker went on with other versions, and how many came to something.
fn run(seed: u64) -> (usize, usize) {
    let lines = if seed.is_multiple_of(3) { many_deadly(30, seed) } else { many(40, seed) };
    let mut cluster = Cluster::new(seed, &lines, words());
    cluster.reloads = if seed.is_multiple_of(2) { Reloads::Together } else { Reloads::Apart };
    (0..ACTS).for_each(|_| cluster.act());
    cluster.settle();
    let world = cluster.world.borrow();
    check_blamed(&world.log, &lines, cluster.skips);
    assert!(check_rest(&world) >= 2, "the owners' stores have come to the end");
    (cluster.reloaded, check_versions(&world.log, cluster.reloads == Reloads::Together))
}

/// Among deaths, faults and tasks that move, workers go on with other versions, all at once or each at its time: nothing is
/// lost or repeated, and each epoch is of one version.
#[test]
fn no_reload_shows() {
    let (mut reloaded, mut versions) = (0, 0);
    for seed in seeds(400) {
        let met = catch_unwind(|| run(seed)).unwrap_or_else(|_| panic!("seed {seed}"));
        reloaded += met.0;
        versions += met.1;
    }
    println!("{reloaded} times a worker went on with other versions, {versions} of which came to something");
    assert!(reloaded > 0 && versions > 0);
}

const NEXT: Versions = Versions([2, 2]);

/// Runs a worker that is told of a reload before one of its steps; where it dies of it, the next begins with that. Answers
/// the world, and the calls from the last before the reload to the first behind it.
pub fn run_alone(load: Load<'_>, faults: BTreeMap<usize, Kind>, at: usize, delivery: Delivery) -> (Shared, [usize; 2]) {
    let world = new_world(load, faults, delivery);
    let (mut clock, mut steps, mut calls) = (Clock::at(1_000), 0, [0; 2]);
    for _ in 0..80 {
        let versions = if steps < at { Versions::FIRST } else { NEXT };
        let done = live_with(&world, load, &mut clock, versions, &mut |worker, now| {
            steps += 1;
            if steps == at {
                calls[0] = world.borrow().calls;
                told(worker.reload(NEXT.replace(Versions::FIRST), now))?;
                calls[1] = world.borrow().calls + 1;
                assert!(worker.tasks().all(|task| !task.is_dirty()), "an epoch is open");
                world.borrow_mut().log.running.insert(id(PLACE), NEXT);
            }
            Ok(())
        });
        if done {
            return (world, calls);
        }
        world.borrow_mut().die(0);
    }
    panic!("no progress");
}

/// 20 lines, a reload before each other step: each call around it, before and after, as a crash and as an error.
#[test]
fn no_single_fault_around_a_reload_shows() {
    let lines = few();
    let load = Load { lines: &lines, epoch: Duration::from_millis(200), most: 3 };
    let expected = model::expected(&lines);
    let (mut runs, mut mixed, mut sealed) = (0, 0, 0);
    for at in (1..60).step_by(2) {
        let (world, [first, last]) = run_alone(load, BTreeMap::new(), at, Delivery::Together);
        let all = world.borrow().calls;
        sealed += usize::from(last > first + 1);
        for call in first.saturating_sub(4).max(1)..=(last + 4).min(all) {
            for kind in KINDS {
                let run = catch_unwind(|| {
                    let (world, _) = run_alone(load, [(call, kind)].into(), at, Delivery::Together);
                    let world = world.borrow();
                    check_log(&world.log, &expected, false);
                    assert_eq!(check_rest(&world), 2, "both stores have come to the end");
                    assert!(world.fail_at.is_empty(), "the fault was not met");
                    check_versions(&world.log, true)
                });
                let versions = run.unwrap_or_else(|_| panic!("reload before step {at}, call {call} {kind:?}"));
                mixed += usize::from(versions > 2);
                runs += 1;
            }
        }
    }
    println!("{runs} runs, in {mixed} of which both versions came to something; {sealed} reloads with an open epoch");
    assert!(mixed > runs / 2 && sealed > 10);
}

/// There and back, and on: what the first does not know of is still there behind it.
#[test]
fn a_version_that_ran_before_goes_on_where_a_later_one_left_off() {
    let lines = many(60, 3);
    let load = Load { lines: &lines, epoch: Duration::from_millis(100), most: 3 };
    let world = new_world(load, BTreeMap::new(), Delivery::Together);
    let (mut steps, mut running) = (0, Versions::FIRST);
    let done = live_with(&world, load, &mut Clock::at(1_000), running, &mut |worker, now| {
        steps += 1;
        let next = match steps {
            10 | 30 => NEXT,
            20 => Versions::FIRST,
            40 => Versions([3, 3]),
            _ => return Ok(()),
        };
        let ahead = next.replace(running).into_iter().map(|(at, next)| (at, Replacement { back: false, ..next }));
        let (ahead, back): (Replacements, _) = (ahead.collect(), next < running);
        assert!(!back || matches!(worker.reload(ahead, now), Err(ReloadError::Unfit { .. })), "it knows less");
        told(worker.reload(next.replace(running), now))?;
        world.borrow_mut().log.running.insert(id(PLACE), next);
        running = next;
        Ok(())
    });
    assert!(done && steps > 40);
    check_log(&world.borrow().log, &model::expected(&lines), false);
    assert_eq!((check_rest(&world.borrow()), check_versions(&world.borrow().log, false)), (2, 6));
}
