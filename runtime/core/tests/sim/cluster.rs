//! Two nodes with two workers each, by a seed: nodes die, lose power, and are started again, tasks move in peace and by
//! force, workers go on that have lost theirs, and any call may fail. Then all is well for a while, and nothing may
//! show.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::env;
use std::ops::Range;
use std::panic::catch_unwind;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use wasmill_core::commit::{Slice, Terms};
use wasmill_core::operator::Operator;
use wasmill_core::port::Fault;
use wasmill_core::record::{Now, TaskId};
use wasmill_core::stage::{Retry, Stage};
use wasmill_core::worker::reload::Reloaded;
use wasmill_core::worker::{Event, Worker};

use crate::alone::terms;
use crate::check::{check_blamed, check_rest};
use crate::clock::Clock;
use crate::pipeline::{Lines, feed, many, many_deadly, operators_of, stages_of, tasks, waiting};
use crate::ports::ports;
use crate::random::Random;
use crate::versions::{Versions, check_last, told};
use crate::world::{Delivery, Met, Place, Shared, View, World, id, survives};

const NODES: usize = 2;
const WORKERS: u32 = 2;

/// Things that happen before all is well.
const ACTS: usize = 400;

/// The stages of a pipeline and its operators of some versions; where it is told to, records that fail are skipped.
pub type Job = Box<dyn Fn(bool, Versions) -> (Vec<Arc<Stage>>, Vec<Vec<Box<dyn Operator>>>)>;

/// When workers hear of a reload.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reloads {
    /// There is none.
    Never,
    /// All of them before anything else is done.
    Together,
    /// Each at its time.
    Apart,
}

pub struct Cluster {
    pub world: Shared,
    job: Job,
    workers: BTreeMap<Place, Worker>,
    /// Records of a changelog that are read at a time.
    slice: usize,
    random: Random,
    clock: Clock,
    /// Whether records that fail are skipped.
    pub skips: bool,
    pub reloads: Reloads,
    /// The versions that were deployed last: those of every worker that begins.
    deployed: Versions,
    pub reloaded: usize,
    trace: bool,
}

impl Cluster {
    pub fn new(seed: u64, lines: &Lines, job: Job) -> Self {
        let trace = env::var_os("WASMILL_SIM_TRACE").is_some();
        let mut random = Random(seed);
        let mut world = World { random: Random(random.next()), ..World::new(NODES) };
        feed(&mut world.log, lines);
        world.log.trace = trace;
        let skips = random.one_in(3);
        // Some runs have a clock that is set all the time.
        let clock = if random.one_in(4) { Clock::jumping(1_000_000, seed) } else { Clock::at(1_000) };
        world.log.now = clock.steady;
        // Some runs meet a fault at every few calls, some hardly any.
        world.chance = Some(20 + random.below(600));
        for (index, task) in tasks().into_iter().enumerate() {
            world.owners.insert(task, index % NODES);
        }
        let mut cluster = Self {
            job,
            world: Rc::new(RefCell::new(world)),
            workers: BTreeMap::new(),
            slice: 1 + random.below(12) as usize,
            random,
            clock,
            skips,
            reloads: Reloads::Never,
            deployed: Versions::FIRST,
            reloaded: 0,
            trace,
        };
        (0..NODES).for_each(|node| cluster.start(node));
        cluster
    }

    fn tell(&self, what: impl FnOnce() -> String) {
        if self.trace {
            println!("{} {}", self.clock.steady, what());
        }
    }

    fn now(&self) -> Now {
        self.clock.now()
    }

    fn start(&mut self, node: usize) {
        for worker in 0..WORKERS {
            let place = (node, worker);
            let made = ports(&self.world, place);
            let slice = Slice { records: self.slice, ..Slice::default() };
            let terms = Terms { slice, ..terms(Delivery::Together, Duration::from_millis(100)) };
            let (stages, operators) = (self.job)(self.skips, self.deployed);
            self.world.borrow_mut().log.running.insert(id(place), self.deployed);
            self.workers.insert(place, Worker::new(made, stages, operators, terms));
        }
    }

    /// The process of a node dies, perhaps with its machine, and comes back.
    fn die(&mut self, node: usize) {
        self.tell(|| format!("node {node} dies"));
        self.workers.retain(|&(of, _), _| of != node);
        {
            let world = &mut *self.world.borrow_mut();
            world.die(node);
            if self.random.one_in(2) {
                let random = &mut self.random;
                world.disks[node].cut(|bound| random.below(bound as u64) as usize);
            }
        }
        if self.random.one_in(2) {
            // Its session ends before it is back.
            self.expel(node);
            self.world.borrow_mut().views[node] = View::default();
        }
        self.start(node);
    }

    /// Does something with a worker; one that cannot go on takes its process with it.
    fn with(&mut self, place: Place, act: impl FnOnce(&mut Worker, Now) -> Result<(), Fault>) {
        let now = self.now();
        let Some(worker) = self.workers.get_mut(&place) else { return };
        let done = survives(&self.world, || act(worker, now));
        let events = worker.take_events();
        let restores = worker.restoring().next().is_some();
        let is_epoch = |event: &&Event| matches!(event, Event::Committed { .. });
        self.world.borrow_mut().met.beside += events.iter().filter(is_epoch).filter(|_| restores).count();
        if self.trace {
            events
                .iter()
                .filter(|event| **event != Event::Begun)
                .for_each(|event| println!("{} {place:?} {event:?}", now.steady.0));
            match &done {
                Some(Err(fault)) => println!("{} {place:?} {fault}", now.steady.0),
                None => println!("{} {place:?} killed", now.steady.0),
                Some(Ok(())) => {}
            }
        }
        if !matches!(done, Some(Ok(()))) {
            self.die(place.0);
        }
    }

    /// The group gives a task to a node.
    fn hand(&mut self, task: TaskId, to: usize) {
        self.tell(|| format!("{task} goes to node {to}"));
        let world = &mut *self.world.borrow_mut();
        world.owners.insert(task, to);
        world.generation += 1;
    }

    /// The session of a node ends without its knowing: all its tasks go to the other.
    fn expel(&mut self, node: usize) {
        self.tell(|| format!("the session of node {node} ends"));
        let tasks: Vec<_> = {
            let world = &mut *self.world.borrow_mut();
            world.views[node].expelled = true;
            world.owners.iter().filter(|(_, of)| **of == node).map(|(&task, _)| task).collect()
        };
        tasks.into_iter().for_each(|task| self.hand(task, (node + 1) % NODES));
    }

    /// A node hears of the group: it lets go of what it has lost, and takes up what it got.
    fn hear(&mut self, node: usize) {
        let mut lost;
        let mut got = Vec::new();
        {
            let world = &mut *self.world.borrow_mut();
            let generation = world.generation;
            let (view, owners) = (&mut world.views[node], &world.owners);
            view.generation = generation;
            lost = std::mem::take(&mut view.untold);
            let expelled = std::mem::take(&mut view.expelled);
            view.leases.retain(|task, (worker, _)| {
                let keeps = !expelled && owners.get(task) == Some(&node);
                if !keeps {
                    lost.push((*worker, *task));
                }
                keeps
            });
            got.extend(
                owners.iter().filter(|(task, to)| **to == node && !view.leases.contains_key(task)).map(|(t, _)| *t),
            );
        }
        for (worker, task) in lost {
            self.with((node, worker), |worker, now| worker.release(&[task], now));
        }
        for task in got {
            let place = (node, self.random.below(u64::from(WORKERS)) as u32);
            // Something may have died of what came before.
            let free = {
                let world = self.world.borrow();
                world.owners.get(&task) == Some(&node) && !world.views[node].leases.contains_key(&task)
            };
            if free {
                self.tell(|| format!("{task} is given to {place:?}"));
                self.world.borrow_mut().give(place, task);
                self.with(place, |worker, now| worker.acquire(&[task], now));
            }
        }
    }

    /// A task moves to a node or a worker: in time its worker lets it go first, or the deadline comes before it hears.
    fn move_task(&mut self, in_time: bool) {
        let all = tasks();
        let task = all[self.random.below(all.len() as u64) as usize];
        let from = self.world.borrow().owners[&task];
        if self.world.borrow().views[from].expelled {
            return;
        }
        let has = self.world.borrow_mut().views[from].leases.remove(&task);
        if let Some((worker, lease)) = has {
            if in_time {
                self.world.borrow_mut().views[from].leases.insert(task, (worker, lease));
                self.with((from, worker), |worker, now| worker.release(&[task], now));
                self.world.borrow_mut().views[from].leases.remove(&task);
            } else {
                self.world.borrow_mut().views[from].untold.push((worker, task));
            }
        }
        let to = self.random.below(NODES as u64) as usize;
        self.hand(task, to);
        if self.random.one_in(2) {
            self.hear(to);
        }
    }

    /// Other versions of operators are deployed.
    fn deploy(&mut self) {
        self.deployed = self.deployed.next(&mut self.random);
        self.tell(|| format!("{:?} are deployed", self.deployed));
        if self.reloads == Reloads::Together {
            self.workers.keys().copied().collect::<Vec<_>>().into_iter().for_each(|place| self.reload(place));
        }
    }

    /// A worker hears of what is deployed.
    fn reload(&mut self, place: Place) {
        let (running, deployed) = (self.world.borrow().log.running[&id(place)], self.deployed);
        if running == deployed {
            return;
        }
        self.tell(|| format!("{place:?} goes on with {deployed:?}"));
        let world = Rc::clone(&self.world);
        let mut reloaded = false;
        self.with(place, |worker, now| {
            let Reloaded { last } = told(worker.reload(deployed.replace(running), now))?;
            check_last(&world.borrow(), place, worker, &last);
            world.borrow_mut().log.running.insert(id(place), deployed);
            reloaded = true;
            Ok(())
        });
        self.reloaded += usize::from(reloaded);
    }

    fn step(&mut self, place: Place) {
        self.clock.pass(10 + self.random.below(30) as i64);
        self.world.borrow_mut().log.expire(self.clock.steady);
        self.with(place, |worker, now| worker.step(now, Duration::ZERO).map(drop));
    }

    pub fn act(&mut self) {
        let node = self.random.below(NODES as u64) as usize;
        let place = (node, self.random.below(u64::from(WORKERS)) as u32);
        match self.random.below(100) {
            0 => self.die(node),
            1 => self.expel(node),
            2..4 => self.move_task(false),
            4..7 => self.move_task(true),
            7..12 => self.hear(node),
            12 => self.world.borrow_mut().disks[node].sync(),
            13 if self.reloads != Reloads::Never => self.deploy(),
            14..17 if self.reloads == Reloads::Apart => self.reload(place),
            _ => self.step(place),
        }
    }

    /// All is well until nothing is left to do.
    pub fn settle(&mut self) {
        self.world.borrow_mut().chance = None;
        self.workers.keys().copied().collect::<Vec<_>>().into_iter().for_each(|place| self.reload(place));
        let (mut quiet, mut settled) = (0, false);
        for _ in 0..3_000 {
            (0..NODES).for_each(|node| self.hear(node));
            let places: Vec<_> = self.workers.keys().copied().collect();
            places.into_iter().for_each(|place| self.step(place));
            // What a worker that had lost its task left open is aborted by the brokers in the end.
            let undecided = self.world.borrow().log.is_undecided();
            let at_rest = !undecided
                && self
                    .workers
                    .values()
                    .all(|worker| worker.is_quiet() && worker.ends().all(|(_, _, end)| end.is_some()));
            quiet = if at_rest { quiet + 1 } else { 0 };
            if quiet > 20 && settled {
                return self.release();
            }
            if quiet > 20 {
                // What waits for the time of day comes now.
                self.clock.settle();
                (quiet, settled) = (0, true);
            }
        }
        panic!("no end");
    }

    fn release(&mut self) {
        let leases: Vec<_> = {
            let world = self.world.borrow();
            let of = |(node, view): (usize, &View)| {
                view.leases.iter().map(move |(&task, &(worker, _))| ((node, worker), task)).collect::<Vec<_>>()
            };
            world.views.iter().enumerate().flat_map(of).collect()
        };
        for (place, task) in leases {
            self.release_one(place, task);
        }
    }

    /// Has a worker let go of a task with its store at the end. One that finds out only then that it was locked out begins
    /// anew, and may let go of a task while that is restored.
    fn release_one(&mut self, place: Place, task: TaskId) {
        for _ in 0..100 {
            while !self.workers[&place].is_quiet() {
                self.step(place);
            }
            let now = self.now();
            let worker = self.workers.get_mut(&place).unwrap();
            worker.take_events();
            worker.release(&[task], now).unwrap();
            if !worker.take_events().iter().any(|event| matches!(event, Event::Aborted { .. })) {
                return;
            }
            worker.acquire(&[task], now).unwrap();
        }
        panic!("{task} is not let go of");
    }
}

/// The pipeline of two stages that is run under most schedules. It waits for longer than what is away can be met in a row.
pub fn words() -> Job {
    let retry = Retry { attempts: 20, backoff: Duration::from_millis(100) };
    Box::new(move |skips, versions| (waiting(&stages_of(skips, versions), retry), operators_of(versions)))
}

/// Runs a seed. Answers what it met.
fn run(seed: u64, lines: &Lines) -> (Met, usize, usize) {
    let mut cluster = Cluster::new(seed, lines, words());
    (0..ACTS).for_each(|_| cluster.act());
    cluster.settle();
    let world = cluster.world.borrow();
    let blamed = check_blamed(&world.log, lines, cluster.skips);
    assert!(check_rest(&world) >= 2, "the owners' stores have come to the end");
    (Met { blamed, ..world.met }, world.disks.iter().map(|disk| disk.forgotten).sum(), world.log.undecided)
}

/// So many seeds, or those that the environment asks for.
pub fn seeds(count: u64) -> Range<u64> {
    let asked = env::var("WASMILL_SIM_SEEDS").ok().and_then(|seeds| {
        let (from, to) = seeds.split_once("..")?;
        Some(from.parse().ok()?..to.parse().ok()?)
    });
    asked.unwrap_or(0..count)
}

/// Some records kill the process that has them, wherever it is and whatever else happens.
#[test]
fn no_schedule_hides_what_kills() {
    let (mut killed, mut blamed, mut most) = (0, 0, 0);
    for seed in seeds(150) {
        let lines = many_deadly(30, seed);
        let (met, ..) = catch_unwind(|| run(seed, &lines)).unwrap_or_else(|_| panic!("seed {seed}"));
        killed += met.killed;
        blamed += met.blamed;
        most = most.max(met.killed);
    }
    println!("{killed} deaths, at most {most} in one run; {blamed} records and timers were blamed");
    assert!(killed > 0);
}

/// A thousand seeds, or `WASMILL_SIM_SEEDS=from..to` of them; with `WASMILL_SIM_TRACE` what happens is told.
#[test]
fn no_schedule_shows() {
    let (mut met, mut forgotten, mut undecided) = (Met::default(), 0, 0);
    for seed in seeds(1_000) {
        let one = catch_unwind(|| run(seed, &many(40, seed))).unwrap_or_else(|_| panic!("seed {seed}"));
        met.fenced += one.0.fenced;
        met.stale += one.0.stale;
        met.unknown += one.0.unknown;
        met.taken_over += one.0.taken_over;
        met.blamed += one.0.blamed;
        met.beside += one.0.beside;
        forgotten += one.1;
        undecided += one.2;
    }
    println!("{met:?}, {forgotten} batches forgotten, {undecided} questions undecided");
    assert!(met.fenced > 0 && met.stale > 0 && met.unknown > 0 && met.taken_over > 0 && forgotten > 0, "{met:?}");
    assert!(met.beside > 0, "{met:?}");
}
