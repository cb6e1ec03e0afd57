//! The world in memory: a log, the group that divides the tasks, the disks of nodes. Every call of a port can be made to
//! fail before or after its effect.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use wasmill_core::port::{Fault, Lease, StoreError};
use wasmill_core::record::{Offset, TaskId};

use crate::disk::{Damage, Disk};
use crate::log::{At, Entry, Log};
use crate::operators::Killed;
use crate::random::Random;

/// How a call fails.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// The process dies before its effect.
    CrashBefore,
    /// The process dies after it.
    CrashAfter,
    /// It has no effect and says that it failed.
    ErrorBefore,
    /// It has its effect and says that it failed.
    ErrorAfter,
}

pub const KINDS: [Kind; 4] = [Kind::CrashBefore, Kind::CrashAfter, Kind::ErrorBefore, Kind::ErrorAfter];

/// When what is sent is in the log.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Delivery {
    /// All of it when it is committed, or none.
    #[default]
    Together,
    /// Each record at once, committed or not.
    AtOnce,
    /// When it is flushed, or when the process dies: then the changes, but nothing else.
    ChangesFirst,
}

/// A worker of a node.
pub type Place = (usize, u32);

/// What a worker's ports remember.
#[derive(Debug, Default)]
pub struct Seat {
    /// The epoch of its transactional id, once it is initialized.
    pub producer: Option<u64>,
    /// Whether something that was sent did not arrive.
    pub undelivered: bool,
    /// Where the changelogs that it wrote to in this epoch end.
    pub written: BTreeMap<At, i64>,
    /// What waits for a flush.
    pub queue: Vec<(At, Entry)>,
    pub positions: BTreeMap<(TaskId, u32), (Offset, bool)>,
    pub turn: usize,
}

/// What a node knows of the group.
#[derive(Debug, Default)]
pub struct View {
    pub generation: i32,
    pub leases: BTreeMap<TaskId, (u32, Lease)>,
    /// Its session ended, and it does not know it yet.
    pub expelled: bool,
    /// What its workers have lost and were not told of yet.
    pub untold: Vec<(u32, TaskId)>,
}

/// What happened, so that a run that met nothing is told from one that met all and stood it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Met {
    pub fenced: usize,
    pub stale: usize,
    pub unknown: usize,
    pub taken_over: usize,
    pub killed: usize,
    /// Epochs of a worker of which a task was restored.
    pub beside: usize,
    /// Steps of a worker of which a task waited.
    pub paused: usize,
    /// Records and timers that were taken for the cause of deaths.
    pub blamed: usize,
}

#[derive(Default)]
pub struct World {
    pub log: Log,
    pub disks: Vec<Disk>,
    pub seats: BTreeMap<Place, Seat>,
    pub views: Vec<View>,
    /// The group's own generation, and which node it gave each task to.
    pub generation: i32,
    pub owners: BTreeMap<TaskId, usize>,
    pub serial: u64,
    pub delivery: Delivery,
    /// Records that one poll brings, at most.
    pub most: usize,
    pub calls: usize,
    pub fail_at: BTreeMap<usize, Kind>,
    /// The call at which what all disks hold is damaged.
    pub damage_at: Option<(usize, Damage)>,
    /// The call from which on stores take no rows, until the process has died.
    pub full_at: Option<usize>,
    /// Makes calls fail by chance: one of so many.
    pub chance: Option<u64>,
    pub random: Random,
    pub hit: BTreeSet<&'static str>,
    pub met: Met,
}

pub type Shared = Rc<RefCell<World>>;

/// The transactional id of a worker.
pub fn id((node, worker): Place) -> String {
    format!("node-{node}/{worker}")
}

impl World {
    pub fn new(nodes: usize) -> Self {
        let (mut disks, mut views) = (Vec::new(), Vec::new());
        disks.resize_with(nodes, Disk::default);
        views.resize_with(nodes, View::default);
        Self { disks, views, most: 3, ..Self::default() }
    }

    /// Whether stores have no room.
    pub fn is_full(&self) -> bool {
        self.full_at.is_some_and(|at| at <= self.calls)
    }

    /// What is left of a node's process that died: its disk, and what it has open.
    pub fn die(&mut self, node: usize) {
        if self.is_full() {
            self.full_at = None;
        }
        let dead: Vec<_> = self.seats.keys().copied().filter(|&(of, _)| of == node).collect();
        for place in dead {
            self.withdraw(place);
            self.seats.remove(&place);
        }
        if let Some(view) = self.views.get_mut(node) {
            *view = View::default();
        }
    }

    /// A worker's queue will not be flushed any more.
    pub fn withdraw(&mut self, place: Place) {
        let queue = std::mem::take(&mut self.seats.entry(place).or_default().queue);
        if self.delivery == Delivery::ChangesFirst {
            queue.into_iter().filter(|(_, entry)| matches!(entry, Entry::Change(_))).for_each(|(at, entry)| {
                self.log.append(at, entry);
            });
        }
    }

    pub fn hand_over(&mut self, place: Place) {
        let seat = self.seats.entry(place).or_default();
        for (at, entry) in std::mem::take(&mut seat.queue) {
            let changes = matches!(entry, Entry::Change(_));
            self.log.append(at, entry);
            if changes {
                seat.written.insert(at, self.log.end(at));
            }
        }
    }

    pub fn lease(&self, (node, worker): Place, task: TaskId) -> Option<Lease> {
        let (of, lease) = self.views.get(node)?.leases.get(&task)?;
        (*of == worker).then_some(*lease)
    }

    /// Gives a task that the node has to one of its workers.
    pub fn give(&mut self, (node, worker): Place, task: TaskId) {
        self.serial += 1;
        let view = &mut self.views[node];
        view.leases.insert(task, (worker, Lease { generation: view.generation, serial: self.serial }));
    }

    fn fault(&mut self) -> Option<Kind> {
        self.calls += 1;
        if let Some((_, damage)) = self.damage_at.take_if(|(at, _)| *at == self.calls) {
            self.disks.iter_mut().for_each(|disk| disk.damage(damage));
        }
        let by_chance = self.chance.filter(|&chance| self.random.below(chance) == 0);
        let by_chance = by_chance.map(|_| KINDS[self.random.below(4) as usize]);
        self.fail_at.remove(&self.calls).or(by_chance)
    }
}

/// Lets a worker act. `None` if its process is killed by what it processes.
pub fn survives<T>(world: &Shared, act: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(done) => Some(done),
        Err(cause) if cause.is::<Killed>() => {
            world.borrow_mut().met.killed += 1;
            None
        }
        Err(cause) => resume_unwind(cause),
    }
}

/// Makes a call that may be made to fail.
pub fn call<T>(world: &Shared, name: &'static str, effect: impl FnOnce(&mut World) -> T) -> Result<T, Fault> {
    let world = &mut *world.borrow_mut();
    let Some(kind) = world.fault() else { return Ok(effect(world)) };
    world.hit.insert(name);
    if matches!(kind, Kind::CrashAfter | Kind::ErrorAfter) {
        effect(world);
    }
    Err(failure(kind, name))
}

fn failure(kind: Kind, name: &'static str) -> Fault {
    match (kind, name) {
        (Kind::CrashBefore | Kind::CrashAfter, _) => Fault::Fatal(name.into()),
        (_, "commit") => Fault::Unknown(name.into()),
        _ => Fault::Abort(name.into()),
    }
}

/// The same for a call that can fail by itself.
pub fn attempt<T>(
    world: &Shared,
    name: &'static str,
    effect: impl FnOnce(&mut World) -> Result<T, Fault>,
) -> Result<T, Fault> {
    call(world, name, effect)?
}

pub fn stored<T>(world: &Shared, name: &'static str, effect: impl FnOnce(&mut World) -> T) -> Result<T, StoreError> {
    call(world, name, effect).map_err(|fault| StoreError::Broken(fault.to_string()))
}
