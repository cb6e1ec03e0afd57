//! One worker that has everything, started anew whenever it dies, and every call of it made to fail in turn.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::catch_unwind;
use std::rc::Rc;
use std::time::Duration;

use wasmill_core::batch::Headers;
use wasmill_core::cache::Lag;
use wasmill_core::commit::{Bounds, Guarantee, Repair, RowCache, Slice, Terms};
use wasmill_core::port::Fault;
use wasmill_core::record::Now;
use wasmill_core::row;
use wasmill_core::stage::Retry;
use wasmill_core::task::memory::Local;
use wasmill_core::worker::{Event, Worker};

use crate::check::{check_blamed, check_log, check_rest, records};
use crate::clock::Clock;
use crate::disk::Damage;
use crate::log::{COUNTS, LETTERS, PARTITIONS};
use crate::model::{self, DIED, Expected};
use crate::pipeline::{
    Lines, deadly, feed, few, many, operators, operators_of, patient, stages, stages_of, tasks, waiting,
};
use crate::ports::ports;
use crate::random::Random;
use crate::versions::Versions;
use crate::world::{Delivery, KINDS, Kind, Place, Shared, World, id, survives};

/// The one worker.
pub const PLACE: Place = (0, 0);

/// What is run, and how long an epoch lasts.
#[derive(Clone, Copy)]
pub struct Load<'a> {
    pub lines: &'a Lines,
    pub epoch: Duration,
    /// Records that a poll brings.
    pub most: usize,
}

pub fn new_world(load: Load<'_>, fail_at: BTreeMap<usize, Kind>, delivery: Delivery) -> Shared {
    let mut world = World { fail_at, delivery, most: load.most, ..World::new(1) };
    feed(&mut world.log, load.lines);
    Rc::new(RefCell::new(world))
}

/// The terms that everything here is run under: stores lag, and rows are read from them again.
pub fn terms(delivery: Delivery, epoch: Duration) -> Terms {
    let guarantee = match delivery {
        Delivery::Together => Guarantee::ExactlyOnce,
        _ => Guarantee::AtLeastOnce,
    };
    let row_cache = RowCache { bytes: 2_000, lag: Lag { changes: 30, age: 3 * epoch } };
    let slice = Slice { records: 4, bytes: 1_000 };
    Terms {
        bounds: Bounds { age: epoch, ..Bounds::default() },
        row_cache,
        slice,
        revision: 1,
        repair: Repair::Never,
        guarantee,
    }
}

/// Runs the worker until all is processed, starting it anew whenever it dies.
pub fn run(load: Load<'_>, fail_at: BTreeMap<usize, Kind>, delivery: Delivery) -> Shared {
    run_by(&mut Clock::at(1_000), load, fail_at, delivery)
}

fn run_by(clock: &mut Clock, load: Load<'_>, fail_at: BTreeMap<usize, Kind>, delivery: Delivery) -> Shared {
    let world = new_world(load, fail_at, delivery);
    to_the_end(&world, load, clock);
    world
}

pub fn to_the_end(world: &Shared, load: Load<'_>, clock: &mut Clock) {
    for _ in 0..80 {
        if live(world, load, clock) {
            return;
        }
        world.borrow_mut().die(0);
    }
    panic!("no progress");
}

/// What is done with the worker before each of its steps.
pub type Act<'a> = dyn FnMut(&mut Worker, Now) -> Result<(), Fault> + 'a;

/// Runs the worker until it dies or all is processed, and says which.
pub fn live(world: &Shared, load: Load<'_>, clock: &mut Clock) -> bool {
    live_with(world, load, clock, Versions::FIRST, &mut |_, _| Ok(()))
}

/// The same with other versions of the operators, and something done to it meanwhile.
pub fn live_with(world: &Shared, load: Load<'_>, clock: &mut Clock, versions: Versions, act: &mut Act<'_>) -> bool {
    for task in tasks() {
        world.borrow_mut().give(PLACE, task);
    }
    let terms = terms(world.borrow().delivery, load.epoch);
    world.borrow_mut().log.running.insert(id(PLACE), versions);
    let mut worker = Worker::new(ports(world, PLACE), stages_of(false, versions), operators_of(versions), terms);
    if worker.acquire(&tasks(), clock.now()).is_err() {
        return false;
    }
    let (mut quiet, mut settled) = (0, false);
    for _ in 0..5_000 {
        clock.pass(30);
        let now = clock.now();
        let stepped = survives(world, || {
            act(&mut worker, now)?;
            worker.step(now, Duration::ZERO)
        });
        let Some(Ok(done)) = stepped else { return false };
        for task in worker.tasks().filter(|task| task.paused().is_some()) {
            assert!(!task.is_dirty(), "{} waits with an open epoch", task.id());
            world.borrow_mut().met.paused += 1;
        }
        let ended = worker.ends().all(|(_, _, end)| end.is_some());
        quiet = if done || !worker.is_quiet() || !ended { 0 } else { quiet + 1 };
        if quiet > 1 && settled {
            // A store that fails only then is behind; whoever starts next brings it up.
            worker.take_events();
            let released = worker.release(&tasks(), clock.now()).is_ok();
            return released && !worker.take_events().iter().any(|event| matches!(event, Event::Aborted { .. }));
        }
        if quiet > 1 {
            // What waits for the time of day comes now.
            clock.settle();
            (quiet, settled) = (0, true);
        }
    }
    panic!("no end");
}

fn check(load: Load<'_>, fail_at: BTreeMap<usize, Kind>, expected: &Expected) -> BTreeSet<&'static str> {
    let world = run(load, fail_at, Delivery::Together);
    let world = world.borrow();
    check_log(&world.log, expected, false);
    assert_eq!(check_rest(&world), 2, "both stores have come to the end");
    assert!(world.fail_at.is_empty(), "not all faults were met");
    world.hit.clone()
}

#[test]
fn without_faults_the_model_is_met() {
    let lines = few();
    let expected = model::expected(&lines);
    assert!(expected.counts.len() > 3 && expected.timers.len() > 3 && expected.letters.len() > 3);
    check(Load { lines: &lines, epoch: Duration::from_millis(100), most: 3 }, BTreeMap::new(), &expected);
}

/// 200 lines in 3 epochs or a few more: each call, before and after, as a crash and as an error.
#[test]
fn no_single_fault_shows() {
    let lines = many(200, 7);
    let load = Load { lines: &lines, epoch: Duration::from_millis(400), most: 30 };
    let expected = model::expected(&lines);
    let (calls, epochs) = {
        let world = run(load, BTreeMap::new(), Delivery::Together);
        let world = world.borrow();
        (world.calls, world.log.epochs.iter().map(|&(_, epoch)| epoch).max())
    };
    assert!(epochs >= Some(3), "{epochs:?}");
    println!("{calls} calls, {epochs:?}");
    let mut hit = BTreeSet::new();
    for at in 1..=calls {
        for kind in KINDS {
            let run = catch_unwind(|| check(load, [(at, kind)].into(), &expected));
            hit.extend(run.unwrap_or_else(|_| panic!("call {at} {kind:?}")));
        }
    }
    let ports = [
        "apply", "assign", "begin", "change", "commit", "end", "flush", "get", "get_many", "identity", "open", "owner",
        "poll", "row", "rows", "scan", "send", "start", "tell",
    ];
    assert_eq!(ports.iter().filter(|port| !hit.contains(*port)).collect::<Vec<_>>(), Vec::<&&str>::new());
}

/// A record that fails its whole call, and one behind it that is a failure of its own: the rest of the call is not lost.
#[test]
fn nothing_is_lost_behind_two_ways_to_fail() {
    let lines: Lines = vec![
        vec![(0, "pox xa b a".into()), (1, "xa pox c".into()), (2, "a pox pox xa xa d".into())],
        vec![],
        vec![],
        vec![],
    ];
    check(
        Load { lines: &lines, epoch: Duration::from_millis(300), most: 9 },
        BTreeMap::new(),
        &model::expected(&lines),
    );
}

/// What kills the process is found, whatever else goes wrong, and all others are processed as if nothing had happened.
#[test]
fn what_kills_the_process_is_a_dead_letter() {
    let lines = deadly();
    let expected = model::expected(&lines);
    assert_eq!(expected.letters.iter().filter(|letter| letter.3 == DIED).count(), 6, "{:?}", expected.letters);
    for most in [1, 3, 30] {
        let load = Load { lines: &lines, epoch: Duration::from_millis(300), most };
        let world = run(load, BTreeMap::new(), Delivery::Together);
        check_log(&world.borrow().log, &expected, false);
        assert_eq!(check_rest(&world.borrow()), 2);
        let killed = world.borrow().met.killed;
        assert!(killed <= 6 * 5, "{killed} deaths by six records, {most} at a time");
        let calls = world.borrow().calls;
        for at in (1..calls).step_by(7) {
            let faults: BTreeMap<_, _> = [(at, KINDS[at % 4])].into();
            let world = run(load, faults, Delivery::Together);
            check_blamed(&world.borrow().log, &lines, false);
        }
    }
}

/// What may work later is tried again after a pause, in which nothing of the task is open; then it is left to the policy.
#[test]
fn what_may_work_later_is_waited_for_without_an_open_epoch() {
    let lines = patient();
    let expected = model::expected(&lines);
    let load = Load { lines: &lines, epoch: Duration::from_millis(300), most: 3 };
    let world = run(load, BTreeMap::new(), Delivery::Together);
    check_log(&world.borrow().log, &expected, false);
    assert_eq!(check_rest(&world.borrow()), 2);
    let (calls, paused) = (world.borrow().calls, world.borrow().met.paused);
    assert!(paused > 4, "{paused} steps with a pause");
    let letters = (0..PARTITIONS).flat_map(|partition| records(&world.borrow().log, LETTERS, partition));
    let never = letters.filter(|letter| letter.key.as_deref() == Some(b"never")).collect::<Vec<_>>();
    let attempts =
        Headers::new(never[0].headers.as_deref().unwrap()).find(|(name, _)| *name == "wasmill-error-attempts");
    assert_eq!(attempts, Some(("wasmill-error-attempts", Some(&b"5"[..]))), "once and four times again");
    for at in (1..=calls).step_by(3) {
        for kind in KINDS {
            check_log(&run(load, [(at, kind)].into(), Delivery::Together).borrow().log, &expected, false);
        }
    }
}

/// One task of a worker waits for long: the others go on, and what it had waiting is not lost.
#[test]
fn others_go_on_while_one_waits() {
    let lines: Lines =
        ["later a", "b b", "", ""].map(|line| if line.is_empty() { vec![] } else { vec![(1, line.into()); 40] }).into();
    let load = Load { lines: &lines, epoch: Duration::from_millis(100), most: 3 };
    let world = new_world(load, BTreeMap::new(), Delivery::Together);
    tasks().into_iter().for_each(|task| world.borrow_mut().give(PLACE, task));
    let stages = waiting(&stages(false), Retry { attempts: 1, backoff: Duration::from_secs(10) });
    let mut worker = Worker::new(ports(&world, PLACE), stages, operators(), terms(Delivery::Together, load.epoch));
    // What the first task waits for is away now.
    let (mut clock, mut waited) = (Clock::at(1_000), 0);
    worker.acquire(&tasks(), clock.now()).unwrap();
    while waited < 300 {
        clock.pass(30);
        worker.step(clock.now(), Duration::ZERO).unwrap();
        waited += usize::from(worker.tasks().any(|task| task.paused().is_some()));
        assert!(clock.steady < 11_000, "it waited {waited} times");
    }
    let words: usize = (0..PARTITIONS).map(|partition| records(&world.borrow().log, COUNTS, partition).len()).sum();
    assert_eq!(words, 80, "all of the other partition");
    drop(worker);
    world.borrow_mut().die(0);
    assert!(live(&world, load, &mut clock));
    check_log(&world.borrow().log, &model::expected(&lines), false);
}

/// The time of day is set by an hour while an epoch is open, a task waits, and a watermark is to be told.
#[test]
fn nothing_lasts_longer_or_shorter_for_a_clock_that_is_set() {
    let lines = patient();
    let expected = model::expected(&lines);
    for hours in [-1, 1] {
        let load = Load { lines: &lines, epoch: Duration::from_millis(100), most: 3 };
        let world = new_world(load, BTreeMap::new(), Delivery::Together);
        tasks().into_iter().for_each(|task| world.borrow_mut().give(PLACE, task));
        let terms = terms(Delivery::Together, load.epoch);
        let mut worker = Worker::new(ports(&world, PLACE), stages(false), operators(), terms);
        let mut clock = Clock::at(10_000_000);
        worker.acquire(&tasks(), clock.now()).unwrap();
        let mut waits = 0;
        while clock.steady < 10_003_000 {
            clock.pass(30);
            worker.step(clock.now(), Duration::ZERO).unwrap();
            let paused = worker.tasks().any(|task| task.paused().is_some());
            waits = if paused { waits + 1 } else { 0 };
            assert!(waits < 40, "a pause does not end");
            clock.set(if clock.steady > 10_000_100 { hours * 3_600_000 } else { 0 });
        }
        assert!(worker.is_quiet() && worker.ends().all(|(_, _, end)| end.is_some()), "set by {hours} hours");
        check_log(&world.borrow().log, &expected, false);
    }
}

/// The time of day is set forwards and backwards by seconds all the time: nothing is lost, and nothing waits for it but timers in
/// processing time.
#[test]
fn a_clock_that_is_set_loses_nothing() {
    let lines = many(60, 11);
    let expected = model::expected(&lines);
    assert!(expected.ticks.len() > 5, "{:?}", expected.ticks);
    for seed in 0..300 {
        let load = Load { lines: &lines, epoch: Duration::from_millis(100), most: 5 };
        let mut random = Random(seed);
        let faults = (0..random.below(3)).map(|_| (1 + random.below(400) as usize, KINDS[random.below(4) as usize]));
        let mut clock = Clock::jumping(1_000_000, seed);
        let world = run_by(&mut clock, load, faults.collect(), Delivery::Together);
        check_log(&world.borrow().log, &expected, false);
        assert_eq!(check_rest(&world.borrow()), 2, "seed {seed}");
        assert!(clock.steady < 1_040_000, "seed {seed}: it took {} ms", clock.steady - 1_000_000);
    }
}

/// The power goes, and the log in the process loses its last epochs while the stores keep them.
#[test]
fn a_log_that_forgets_its_tail_is_followed() {
    let lines = few();
    let load = Load { lines: &lines, epoch: Duration::from_millis(100), most: 3 };
    let expected = model::expected(&lines);
    let calls = run(load, BTreeMap::new(), Delivery::Together).borrow().calls;
    for at in (1..calls).step_by(3) {
        let world = new_world(load, [(at, Kind::CrashAfter)].into(), Delivery::Together);
        let mut clock = Clock::at(1_000);
        live(&world, load, &mut clock);
        world.borrow_mut().die(0);
        let log = world.borrow().log.clone();
        assert!(live(&world, load, &mut clock));
        world.borrow_mut().die(0);
        world.borrow_mut().log = log;
        assert!(live(&world, load, &mut clock), "call {at}");
        check_log(&world.borrow().log, &expected, false);
        assert_eq!(check_rest(&world.borrow()), 2);
    }
}

/// What may be damaged, and how it is called here.
const DAMAGES: [(&str, Damage); 6] = [
    ("all", |_| true),
    ("how far it has come", |row| *row == Local::ROW),
    ("what the task remembers", |row| *row == row::META),
    ("values", |row| row::kind(row) == Some(row::Kind::Value)),
    ("timers", |row| row::kind(row) == Some(row::Kind::Timer)),
    ("the index", |row| row::kind(row) == Some(row::Kind::Index)),
];

/// Stores that open and cannot be read, wholly or in part, are emptied and read anew: at any call, in a process that goes
/// on and in one that is started again.
#[test]
fn damaged_stores_are_read_anew() {
    let lines = few();
    let load = Load { lines: &lines, epoch: Duration::from_millis(100), most: 3 };
    let expected = model::expected(&lines);
    let calls = run(load, BTreeMap::new(), Delivery::Together).borrow().calls;
    for (what, damage) in DAMAGES {
        for fault in [None, Some(Kind::CrashAfter)] {
            let mut repaired = 0;
            for at in (1..calls).step_by(3) {
                let run = catch_unwind(|| {
                    let world =
                        new_world(load, fault.map(|fault| (at, fault)).into_iter().collect(), Delivery::Together);
                    world.borrow_mut().damage_at = Some((at, damage));
                    to_the_end(&world, load, &mut Clock::at(1_000));
                    check_log(&world.borrow().log, &expected, false);
                    assert_eq!(check_rest(&world.borrow()), 2);
                    world.borrow().disks[0].repaired
                });
                repaired += run.unwrap_or_else(|_| panic!("{what} is damaged at call {at}, {fault:?}"));
            }
            println!("{what}, {fault:?}: {repaired} stores emptied");
            assert!(repaired > 0 || fault.is_none(), "{what}: nobody noticed");
        }
    }
}

/// A disk without room ends the worker, and loses nothing: with room it goes on where the log stands.
#[test]
fn a_full_disk_ends_the_worker_and_loses_nothing() {
    let lines = few();
    let load = Load { lines: &lines, epoch: Duration::from_millis(100), most: 3 };
    let expected = model::expected(&lines);
    let calls = run(load, BTreeMap::new(), Delivery::Together).borrow().calls;
    let mut ended = 0;
    for at in 1..calls {
        let world = new_world(load, BTreeMap::new(), Delivery::Together);
        world.borrow_mut().full_at = Some(at);
        let mut clock = Clock::at(1_000);
        if !live(&world, load, &mut clock) {
            ended += 1;
            world.borrow_mut().die(0);
            assert!(live(&world, load, &mut clock), "full from call {at} on, then not any more");
        }
        check_log(&world.borrow().log, &expected, false);
        assert_eq!(check_rest(&world.borrow()), 2);
    }
    assert!(ended > calls / 2, "{ended} of {calls}");
}

/// Which faults follow each other.
pub const PAIRS: [(Kind, Kind); 4] = [
    (Kind::ErrorBefore, Kind::CrashAfter),
    (Kind::CrashAfter, Kind::ErrorAfter),
    (Kind::CrashAfter, Kind::CrashBefore),
    (Kind::ErrorAfter, Kind::ErrorBefore),
];

/// 20 lines in 2 epochs or a few more: each two calls, each two with the next of the pairs.
#[test]
fn no_two_faults_show() {
    let lines = few();
    let load = Load { lines: &lines, epoch: Duration::from_millis(700), most: 5 };
    let expected = model::expected(&lines);
    let calls = run(load, BTreeMap::new(), Delivery::Together).borrow().calls;
    println!("{calls} calls");
    for at in 1..=calls {
        for behind in 1..=calls {
            let (first, second) = PAIRS[(at + behind) % PAIRS.len()];
            let faults: BTreeMap<_, _> = [(at, first), (at + behind, second)].into();
            let run = catch_unwind(|| {
                let world = run(load, faults.clone(), Delivery::Together);
                check_log(&world.borrow().log, &expected, false);
                check_rest(&world.borrow());
            });
            run.unwrap_or_else(|_| panic!("{faults:?}"));
        }
    }
}
