//! Tasks whose stores are gone, restored a slice at a time while others of their worker go on: two partitions of two stages,
//! of which one or both counters have nothing but their changelogs.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::rc::Rc;
use std::time::Duration;

use wasmill_core::commit::{Slice, Terms};
use wasmill_core::record::{Partition, TaskId};
use wasmill_core::recovery::Left;
use wasmill_core::task::Task;
use wasmill_core::worker::{Event, Worker};

use crate::alone::{Load, PLACE, live, live_with, new_world, terms, to_the_end};
use crate::check::{check_log, check_rest};
use crate::clock::Clock;
use crate::disk::{Disk, Stored};
use crate::log::{Log, PARTITIONS};
use crate::model;
use crate::pipeline::{Lines, feed, many, operators, stages, tasks};
use crate::ports::ports;
use crate::versions::{Versions, check_versions, told};
use crate::world::{Delivery, KINDS, Kind, Place, Shared, World, id};

const EPOCH: Duration = Duration::from_millis(100);

/// The counters.
fn counters() -> [TaskId; 2] {
    [0, 1].map(|partition| TaskId { stage: 1, partition: Partition(partition) })
}

/// A pipeline that has done the first half of its lines, and was released.
struct Half {
    lines: Lines,
    log: Log,
    stores: BTreeMap<(TaskId, u16), Stored>,
}

impl Half {
    fn of(lines: Lines) -> Self {
        let first = lines.iter().map(|lines| lines[..lines.len() / 2].to_vec()).collect();
        let load = Load { lines: &first, epoch: EPOCH, most: 5 };
        let world = new_world(load, BTreeMap::new(), Delivery::Together);
        assert!(live(&world, load, &mut Clock::at(1_000)));
        world.borrow_mut().die(0);
        let world = world.borrow();
        Self { log: world.log.clone(), stores: world.disks[0].stores.clone(), lines }
    }

    /// It goes on, but some stores are gone.
    fn without(&self, gone: &[TaskId], fail_at: BTreeMap<usize, Kind>) -> Shared {
        let mut stores = self.stores.clone();
        stores.retain(|(task, _), _| !gone.contains(task));
        let disks = vec![Disk { stores, ..Disk::default() }];
        let mut world = World { fail_at, most: 5, log: self.log.clone(), disks, ..World::new(1) };
        let rest = self.lines.iter().map(|lines| lines[lines.len() / 2..].to_vec()).collect();
        feed(&mut world.log, &rest);
        Rc::new(RefCell::new(world))
    }

    /// Some lines more come, later than all others.
    fn feed_more(&mut self, world: &Shared) {
        let last = self.lines.iter().flatten().map(|(at, _)| *at).max().unwrap_or_default();
        let mut more = many(40, 6);
        more.iter_mut().flatten().for_each(|(at, _)| *at += last);
        feed(&mut world.borrow_mut().log, &more);
        self.lines.iter_mut().zip(more).for_each(|(lines, more)| lines.extend(more));
    }

    fn load(&self) -> Load<'_> {
        Load { lines: &self.lines, epoch: EPOCH, most: 5 }
    }

    fn check(&self, world: &Shared) {
        let world = world.borrow();
        check_log(&world.log, &model::expected(&self.lines), false);
        assert_eq!(check_rest(&world), 2, "both stores have come to the end");
    }

    /// Lets a world come to its end in which all goes well from now on.
    fn finish(&self, world: &Shared, clock: &mut Clock) {
        world.borrow_mut().die(0);
        assert!(live(world, self.load(), clock));
        self.check(world);
    }
}

/// A worker that reads one record of a changelog at a time.
fn worker(world: &Shared, place: Place) -> Worker {
    let slice = Slice { records: 1, ..Slice::default() };
    let terms = Terms { slice, ..terms(Delivery::Together, EPOCH) };
    Worker::new(ports(world, place), stages(false), operators(), terms)
}

/// A worker with all tasks, some of which are restored.
fn begun(world: &Shared, clock: &mut Clock) -> Worker {
    tasks().into_iter().for_each(|task| world.borrow_mut().give(PLACE, task));
    let mut worker = worker(world, PLACE);
    worker.acquire(&tasks(), clock.now()).unwrap();
    worker
}

fn step(worker: &mut Worker, clock: &mut Clock) -> Vec<Event> {
    clock.pass(10);
    worker.step(clock.now(), Duration::ZERO).unwrap();
    worker.take_events()
}

fn first(worker: &Worker) -> Option<Left> {
    worker.restoring().next()
}

fn has(worker: &Worker, task: TaskId) -> bool {
    worker.tasks().map(Task::id).any(|id| id == task)
}

/// Two partitions, one worker, a store in memory; one counter's store is gone.
#[test]
fn siblings_commit_while_a_task_restores() {
    let mut half = Half::of(many(200, 5));
    let [gone, sibling] = counters();
    let (world, mut clock) = (half.without(&[gone], BTreeMap::new()), Clock::at(100_000));
    let mut worker = begun(&world, &mut clock);
    assert!(has(&worker, sibling) && !has(&worker, gone), "only what is behind is restored");
    let (mut committed, mut left) = (0, u64::MAX);
    while let Some(restore) = first(&worker).filter(|restore| restore.left > 0) {
        assert_eq!((restore.task, worker.restoring().count()), (gone, 1));
        assert!(restore.left < left, "{restore:?} of {left}");
        assert!(!worker.is_quiet());
        left = restore.left;
        let counts = |event: &Event| matches!(event, Event::Committed { records, .. } if records.contains_key(&1));
        committed += step(&mut worker, &mut clock).iter().filter(|event| counts(event)).count();
    }
    half.feed_more(&world);
    let (mut slices, mut epochs) = (0, 0);
    while !has(&worker, gone) {
        assert_eq!(worker.restoring().map(|restore| (restore.task, restore.left)).collect::<Vec<_>>(), [(gone, 0)]);
        assert!(!worker.is_quiet());
        let events = step(&mut worker, &mut clock);
        clock.pass(30);
        epochs += events.iter().filter(|event| matches!(event, Event::Committed { .. })).count();
        slices += 1;
    }
    println!("{committed} epochs with words while a task was read, {epochs} of any while {slices} slices were indexed");
    assert!(committed > 3 && epochs > 0, "{committed} and {epochs} epochs");
    drop(worker);
    half.finish(&world, &mut clock);
}

/// Both counters are restored, one after the other: each call from the start on, before and after, as a crash and as an error.
#[test]
fn no_single_fault_shows_while_tasks_restore() {
    let half = Half::of(many(60, 5));
    let run = |faults| {
        let world = half.without(&counters(), faults);
        to_the_end(&world, half.load(), &mut Clock::at(100_000));
        half.check(&world);
        assert!(world.borrow().fail_at.is_empty(), "not all faults were met");
        let world = world.borrow();
        (world.calls, world.hit.clone())
    };
    let (calls, _) = run(BTreeMap::new());
    let mut reads = 0;
    for at in 1..=calls {
        for kind in KINDS {
            let (_, hit) = catch_unwind(|| run([(at, kind)].into())).unwrap_or_else(|_| panic!("call {at} {kind:?}"));
            reads += usize::from(hit.contains("read"));
        }
    }
    println!("{calls} calls, {reads} faults of reads");
    assert!(reads > 40, "{reads} faults of reads");
}

/// What is lost of an epoch is no part of a restore, and the other way round.
#[test]
fn a_restore_and_the_epochs_beside_it_do_not_lose_each_other() {
    let half = Half::of(many(200, 5));
    let [gone, _] = counters();
    let (mut sends, mut reads) = (0, 0);
    for at in 1..300 {
        let (world, mut clock) = (half.without(&[gone], [(at, Kind::ErrorBefore)].into()), Clock::at(100_000));
        let mut worker = begun(&world, &mut clock);
        let (mut done, mut events) = (0, Vec::new());
        while !has(&worker, gone) {
            let hit = world.borrow().hit.clone();
            if let Some(restore) = first(&worker) {
                assert!(restore.done >= done || !hit.contains("send"), "call {at}: {restore:?} after {done}");
                done = restore.done;
            }
            events.extend(step(&mut worker, &mut clock));
        }
        let hit = world.borrow().hit.clone();
        sends += usize::from(hit.contains("send"));
        if hit.contains("read") {
            reads += 1;
            assert!(events.iter().any(|event| matches!(event, Event::Interrupted { task, .. } if *task == gone)));
            assert!(!events.iter().any(|event| matches!(event, Event::Aborted { .. })), "call {at}: {events:?}");
        }
        drop(worker);
        half.finish(&world, &mut clock);
    }
    println!("{sends} epochs and {reads} reads were lost");
    assert!(sends > 5 && reads > 5);
}

/// A task goes to another worker of the node while it is restored, and so does its store: the first hears of it late.
#[test]
fn a_task_that_is_lost_while_it_restores_is_forgotten() {
    let half = Half::of(many(60, 5));
    let [gone, sibling] = counters();
    for steps in (0..80).step_by(3) {
        let (world, mut clock) = (half.without(&[gone], BTreeMap::new()), Clock::at(100_000));
        let mut first = begun(&world, &mut clock);
        (0..steps).for_each(|_| drop(step(&mut first, &mut clock)));
        assert!(first.restoring().next().is_some());
        world.borrow_mut().give((0, 1), gone);
        let mut second = worker(&world, (0, 1));
        second.acquire(&[gone], clock.now()).unwrap();
        let mut quiet = 0;
        while quiet < 3 {
            step(&mut first, &mut clock);
            assert!(first.restoring().next().is_none() && !has(&first, gone), "after {steps} steps");
            step(&mut second, &mut clock);
            let ended = first.ends().chain(second.ends()).all(|(_, _, end)| end.is_some());
            quiet = if first.is_quiet() && second.is_quiet() && ended { quiet + 1 } else { 0 };
            assert!(clock.steady < 200_000, "no end");
        }
        first.release(&[gone], clock.now()).unwrap();
        assert!(has(&second, gone) && has(&first, sibling));
        drop((first, second));
        half.finish(&world, &mut clock);
    }
}

/// It is given back to the group before it is built: nobody needs to be fenced for it.
#[test]
fn a_task_that_is_released_while_it_restores_names_nobody() {
    let half = Half::of(many(60, 5));
    let (world, mut clock) = (half.without(&counters(), BTreeMap::new()), Clock::at(100_000));
    let mut worker = begun(&world, &mut clock);
    let row = |task| world.borrow().log.row(task).cloned().unwrap();
    (0..20).for_each(|_| drop(step(&mut worker, &mut clock)));
    let before = counters().map(row);
    assert!(before.iter().all(|row| row.owner == id(PLACE)));
    worker.release(&counters(), clock.now()).unwrap();
    assert!(worker.restoring().next().is_none() && worker.held().count() == 2);
    for (task, before) in counters().into_iter().zip(before) {
        let after = row(task);
        assert_eq!((after.owner.as_str(), after.epoch, after.next), ("", before.epoch, before.next), "{task}");
    }
    worker.acquire(&counters(), clock.now()).unwrap();
    while worker.restoring().next().is_some() {
        drop(step(&mut worker, &mut clock));
    }
    assert_eq!(worker.tasks().count(), 2 * PARTITIONS as usize);
    drop(worker);
    half.finish(&world, &mut clock);
}

/// The counters are replaced by versions that keep more, while both are restored.
#[test]
fn a_task_that_restores_is_built_with_the_next_version() {
    let half = Half::of(many(60, 5));
    let next = Versions([2, 2]);
    for at in 1..60 {
        let (world, mut steps, mut restored) = (half.without(&counters(), BTreeMap::new()), 0, 0);
        let done = live_with(&world, half.load(), &mut Clock::at(100_000), Versions::FIRST, &mut |worker, now| {
            steps += 1;
            if steps == at {
                restored = worker.restoring().count();
                let reloaded = told(worker.reload(next.replace(Versions::FIRST), now))?;
                assert_eq!(reloaded.last.len(), tasks().len());
                world.borrow_mut().log.running.insert(id(PLACE), next);
            }
            Ok(())
        });
        assert!(done && (restored > 0 || at > 8), "{restored} were restored at step {at}");
        half.check(&world);
        check_versions(&world.borrow().log, true);
    }
}
