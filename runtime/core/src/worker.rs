//! The loop: one thread, one consumer, one transactional producer, one open epoch.
//!
//! ```text
//! poll ─▶ turn ─▶ send ─▶ (seal) ─▶ change ─▶ flush ─▶ commit ─▶ apply
//! ```
//!
//! Any line may be the last that runs: what is not committed then is done again, by whoever acquires the tasks next.

mod distrust;
mod epoch;
mod event;
pub mod reload;
pub mod reset;
mod restoring;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::commit::{Guarantee, Open, Repair, Terms};
use crate::operator::Operator;
use crate::port::{Changelog, Fault, Polled, Sealed, Sink, Source, Stores, Tasks};
use crate::record::{Now, Offset, TaskId, Timestamp};
use crate::recovery::World;
use crate::stage::Stage;
use crate::state::State;
use crate::task::care::Care;
use crate::task::row::TaskRow;
use crate::task::{Task, Turned};
use crate::worker::distrust::Distrust;
use crate::worker::restoring::Restoring;

pub use self::event::Event;

/// How often in a row a commit may fail before the worker gives up.
const MAX_ABORTS: u32 = 20;

/// The pause before an epoch is tried again that was lost for the second time; it doubles with each loss.
const BACKOFF: Duration = Duration::from_millis(50);

/// The longest pause.
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// The world that a worker works in.
pub struct Ports {
    /// Where records come from.
    pub source: Box<dyn Source>,
    /// Where they go.
    pub sink: Box<dyn Sink>,
    /// The rows of tasks.
    pub tasks: Box<dyn Tasks>,
    /// What rows are restored from.
    pub changelog: Box<dyn Changelog>,
    /// Where rows rest.
    pub stores: Box<dyn Stores>,
}

impl Ports {
    fn world(&mut self) -> World<'_> {
        World {
            source: self.source.as_mut(),
            sink: self.sink.as_mut(),
            tasks: self.tasks.as_mut(),
            changelog: self.changelog.as_mut(),
            stores: self.stores.as_mut(),
        }
    }
}

/// Runs tasks. All of them share one open epoch.
pub struct Worker {
    ports: Ports,
    stages: Vec<Arc<Stage>>,
    operators: Vec<Vec<Box<dyn Operator>>>,
    /// The tasks that it has been given, and whether it has claimed them since.
    held: BTreeMap<TaskId, bool>,
    tasks: BTreeMap<TaskId, Task>,
    /// Those of them that were claimed and are not built yet.
    restoring: Restoring,
    open: Option<Open>,
    records: BTreeMap<u16, u64>,
    terms: Terms,
    /// The time of day as it was told last. All else that is called `now` here is of the steady clock.
    time: Timestamp,
    aborts: u32,
    distrust: Distrust,
    /// Whether what an earlier process may have left open is decided.
    clean: bool,
    /// Whether tasks were moved.
    moved: bool,
    events: Vec<Event>,
}

impl Worker {
    /// A worker without tasks. `operators` has an instance for each node of each stage.
    pub fn new(ports: Ports, stages: Vec<Arc<Stage>>, operators: Vec<Vec<Box<dyn Operator>>>, terms: Terms) -> Self {
        let (held, tasks) = (BTreeMap::new(), BTreeMap::new());
        Self {
            ports,
            stages,
            operators,
            held,
            tasks,
            restoring: Restoring::default(),
            open: None,
            records: BTreeMap::new(),
            terms,
            time: Timestamp::NONE,
            aborts: 0,
            distrust: Distrust::default(),
            clean: false,
            moved: false,
            events: Vec::new(),
        }
    }

    /// The tasks that it was given.
    pub fn held(&self) -> impl Iterator<Item = TaskId> {
        self.held.keys().copied()
    }

    /// The tasks that are built.
    pub fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.tasks.values()
    }

    /// What happened since it was asked last.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Takes over tasks, each where the log says it stands. The open epoch is sealed first.
    pub fn acquire(&mut self, ids: &[TaskId], now: Now) -> Result<(), Fault> {
        self.seal(now)?;
        let now = now.steady;
        self.held.extend(ids.iter().map(|&id| (id, false)));
        let acquired = self.clean().and_then(|()| self.start(ids, now));
        self.recover(acquired, now)
    }

    /// Makes the sink ready before there are tasks: that takes a while where a transactional id is to be initialized.
    pub fn prepare(&mut self) -> Result<(), Fault> {
        self.clean()
    }

    fn clean(&mut self) -> Result<(), Fault> {
        if !self.clean {
            self.ports.sink.reset()?;
            self.clean = true;
        }
        Ok(())
    }

    /// Lets go of tasks: what they did is committed first, or lost.
    pub fn release(&mut self, ids: &[TaskId], now: Now) -> Result<(), Fault> {
        self.seal(now)?;
        let now = now.steady;
        let released = self.write_behind(ids).and_then(|()| self.disown(ids));
        self.recover(released, now)?;
        for id in ids {
            self.held.remove(id);
            self.tasks.remove(id);
            self.ports.source.unassign(*id)?;
        }
        self.forget(ids);
        self.renew();
        Ok(())
    }

    /// Brings the stores of tasks up to date, so that a start where they are reads nothing anew.
    fn write_behind(&mut self, ids: &[TaskId]) -> Result<(), Fault> {
        for step in [State::flush, State::sync] {
            for id in ids {
                let Some(task) = self.tasks.get_mut(id) else { continue };
                self.distrust.check(*id, task.states().try_for_each(|(_, state)| step(state)))?;
            }
        }
        Ok(())
    }

    /// The last act on a task: its row names nobody any more.
    fn disown(&mut self, ids: &[TaskId]) -> Result<(), Fault> {
        let mut sealed = Vec::new();
        // What a repair made of a row holds only with the epoch that says so.
        let stands = self.terms.repair == Repair::Never || self.moved;
        for task in ids.iter().filter_map(|id| self.tasks.get(id)).filter(|_| stands) {
            if self.ports.tasks.lease(task.id()) == Some(task.lease()) {
                sealed.push(Sealed { task: task.id(), lease: task.lease(), row: task.release(self.terms.revision) });
            }
        }
        for restore in self.restoring.iter().filter(|restore| ids.contains(&restore.id())) {
            if self.ports.tasks.lease(restore.id()) == Some(restore.lease()) {
                sealed.push(restore.release());
            }
        }
        if !sealed.is_empty() {
            self.ports.sink.begin()?;
            self.ports.sink.flush()?;
            self.ports.sink.commit(&sealed)?;
        }
        Ok(())
    }

    /// Makes one turn, waiting for records at most `wait`, ends the epoch if it is time, and goes on with tasks that are
    /// restored. Answers whether anything was done.
    pub fn step(&mut self, now: Now, wait: Duration) -> Result<bool, Fault> {
        let now = self.hear(now);
        let stepped = self.advance(now, wait);
        let done = matches!(stepped, Ok(true));
        self.recover(stepped.map(|_| ()), now)?;
        Ok(done)
    }

    /// Takes note of the time of day. Answers the time of the steady clock.
    fn hear(&mut self, now: Now) -> Timestamp {
        self.time = now.time;
        now.steady
    }

    fn clocks(&self, now: Timestamp) -> Now {
        Now { time: self.time, steady: now }
    }

    fn advance(&mut self, now: Timestamp, wait: Duration) -> Result<bool, Fault> {
        self.resume(now)?;
        let mut done = false;
        let waiting = |task: &Task| task.has_work() && task.paused().is_none();
        match self.tasks.values().find(|task| waiting(task)).map(Task::id) {
            Some(id) => {
                self.turn(id, now)?;
                done = true;
            }
            None => done |= self.poll(now, self.restoring.due(now).map_or(wait, |due| due.min(wait)))?,
        }
        for id in self.tasks.keys().copied().collect::<Vec<_>>() {
            done |= self.tick(id, now)?;
        }
        let rows = self.tasks.values().map(Task::bytes).sum();
        if self.open.is_some_and(|open| open.is_due(&self.terms.bounds, rows, now)) {
            self.commit(now)?;
            done = true;
        }
        if !self.restoring.is_empty() {
            let wait = if done { Duration::ZERO } else { self.patience(now, wait)? };
            done |= self.restore(now, wait)?;
        }
        Ok(done)
    }

    /// Reads the inputs of tasks again whose pause is over.
    fn resume(&mut self, now: Timestamp) -> Result<(), Fault> {
        for task in self.tasks.values_mut() {
            if let Some(positions) = task.resume(now) {
                self.ports.source.assign(task.id(), &positions)?;
            }
        }
        Ok(())
    }

    fn poll(&mut self, now: Timestamp, wait: Duration) -> Result<bool, Fault> {
        let wait = self.wait(now, wait)?;
        match self.ports.source.poll(wait)? {
            Polled::Nothing => Ok(false),
            Polled::Records(fetched) => {
                let id = fetched.task;
                let Some(task) = self.tasks.get_mut(&id) else { return Ok(true) };
                task.accept(fetched, now);
                self.turn(id, now)?;
                Ok(true)
            }
            Polled::End { task, input, next } => {
                if let Some(task) = self.tasks.get_mut(&task) {
                    task.ended(input, next);
                }
                Ok(true)
            }
        }
    }

    /// How long a poll may wait before something else is due.
    fn wait(&mut self, now: Timestamp, longest: Duration) -> Result<Duration, Fault> {
        let now = self.clocks(now);
        let open = self.open.map(|open| now.until(open.due_at(&self.terms.bounds)));
        let mut least = open.unwrap_or(longest).min(longest);
        for task in self.tasks.values_mut() {
            let tick = self.distrust.check(task.id(), task.next_tick(now))?;
            least = tick.map_or(least, |left| left.min(least));
        }
        Ok(least)
    }

    fn tick(&mut self, id: TaskId, now: Timestamp) -> Result<bool, Fault> {
        let Some(task) = self.tasks.get_mut(&id) else { return Ok(false) };
        let due = self.distrust.check(id, task.tick(Now { time: self.time, steady: now }))?;
        if due {
            self.turn(id, now)?;
        }
        let Some(task) = self.tasks.get_mut(&id) else { return Ok(due) };
        let Some(control) = task.tell(now) else { return Ok(due) };
        let repartitions = task.stage().repartitions.clone();
        self.begin(now)?;
        for target in repartitions {
            self.ports.sink.tell(target, control)?;
        }
        Ok(true)
    }

    /// Makes a turn of a task, with the care that is due after processes that had it died.
    fn turn(&mut self, id: TaskId, now: Timestamp) -> Result<(), Fault> {
        let singly = self.tasks.get(&id).is_some_and(|task| task.care().is_singly());
        if singly {
            // Nothing may be open when a call is announced, and no other one of this process announced beside it.
            self.commit(now)?;
            self.ports.tasks.alone(true);
        }
        let mut turned = self.make_turn(id, now);
        if turned.is_ok() && self.tasks.get(&id).is_some_and(Task::is_due) {
            turned = self.commit(now);
        }
        if singly {
            self.ports.tasks.alone(false);
        }
        turned
    }

    fn make_turn(&mut self, id: TaskId, now: Timestamp) -> Result<(), Fault> {
        let (Some(task), Some(operators)) = (self.tasks.get_mut(&id), self.operators.get_mut(usize::from(id.stage)))
        else {
            return Ok(());
        };
        let (before, clocks) = (task.records(), Now { time: self.time, steady: now });
        let Ports { sink, tasks, .. } = &mut self.ports;
        let lease = task.lease();
        let row = task.care().is_singly().then(|| task.stands(tasks.id(), self.terms.revision));
        let mut announce = |care: &Care| {
            let row = TaskRow { care: *care, ..row.clone().unwrap_or_default() };
            sink.begin()?;
            sink.commit(&[Sealed { task: id, lease, row }]).map(drop)
        };
        match self.distrust.check(id, task.turn(operators, clocks, &mut announce))? {
            Turned::Done(effects) => {
                let records = task.records() - before;
                self.begin(now)?;
                self.send(id, effects, records)
            }
            Turned::Dropped(reason) => {
                self.events.push(Event::Dropped { task: id, reason });
                // What went well stays, and no trial that takes time runs in a transaction that is open.
                self.commit(now)?;
                self.suspend(id)
            }
        }
    }

    /// Reads no inputs of a task that waits, so that the others go on and its records do not pile up.
    fn suspend(&mut self, id: TaskId) -> Result<(), Fault> {
        match self.tasks.get_mut(&id).filter(|task| task.paused().is_some()) {
            Some(task) => {
                task.suspend();
                self.ports.source.unassign(id)
            }
            None => Ok(()),
        }
    }

    /// Does about a fault what it asks for. Only one that the worker cannot go on from comes out.
    fn recover(&mut self, result: Result<(), Fault>, now: Timestamp) -> Result<(), Fault> {
        let mut result = result;
        while let Err(fault) = result {
            let reason = match &fault {
                Fault::Fatal(_) => return Err(fault),
                Fault::Abort(reason) | Fault::Unknown(reason) | Fault::Store(reason) => reason.clone(),
            };
            // A store that fails for the first time is none of those that no attempt helps.
            self.aborts += u32::from(!(self.distrust.take_fresh() && matches!(fault, Fault::Store(_))));
            if self.aborts > MAX_ABORTS {
                return Err(Fault::Fatal(format!(
                    "{MAX_ABORTS} epochs in a row were lost, the last because of: {reason}"
                )));
            }
            self.events.push(Event::Aborted { reason });
            if self.aborts > 1 {
                // A source that cannot even wait fails again at the next call.
                let _ = self.ports.source.idle(pause(self.aborts - 1));
            }
            result = self.restart(&fault, now);
        }
        Ok(())
    }

    /// Starts all tasks over where the log says they stand.
    fn restart(&mut self, fault: &Fault, now: Timestamp) -> Result<(), Fault> {
        self.renew();
        self.records.clear();
        let open = self.open.take();
        // What is not withdrawn from the changelogs belongs to the stores as well: they are read anew.
        let withdrawn = matches!(fault, Fault::Abort(_)) && self.ports.sink.abort().is_ok();
        if withdrawn && open.is_some() && self.terms.guarantee == Guarantee::ExactlyOnce {
            for task in self.tasks.values_mut() {
                let positions = task.rewind();
                self.ports.source.assign(task.id(), &positions)?;
            }
            return Ok(());
        }
        self.ports.sink.reset()?;
        let ids: Vec<_> = self.held.keys().copied().collect();
        self.start(&ids, now)
    }

    /// An instance's memory must not be ahead of the log.
    fn renew(&mut self) {
        self.operators.iter_mut().flatten().for_each(|operator| operator.renew());
    }

    /// Whether nothing is open and nothing waits.
    pub fn is_quiet(&self) -> bool {
        self.open.is_none() && self.restoring.is_empty() && self.tasks.values().all(Task::is_quiet)
    }

    /// Where each input of each task is read to its end; `None` where it is not.
    pub fn ends(&self) -> impl Iterator<Item = (TaskId, u32, Option<Offset>)> {
        self.tasks.values().flat_map(|task| task.ends().iter().zip(0..).map(|(&end, input)| (task.id(), input, end)))
    }
}

/// How long to wait after so many failures in a row.
fn pause(failures: u32) -> Duration {
    BACKOFF.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(MAX_BACKOFF)
}
