//! Tasks from their claim until they are built: those whose rows must be read first are restored a slice at a time, and the
//! others go on in between.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::commit::Slice;
use crate::port::Fault;
use crate::record::{Now, TaskId, Timestamp};
use crate::recovery::{self, Builder, Left, Restore};
use crate::task::Task;
use crate::task::trial::Trial;
use crate::watermark::millis;
use crate::worker::{Event, MAX_ABORTS, Ports, Worker, pause};

/// How many slices one is if no other task is there.
const ALONE: usize = 16;

/// The longest wait for records of a changelog while other tasks may get some.
const WAIT: Duration = Duration::from_millis(10);

/// Tasks that are restored, one after the other.
#[derive(Default)]
pub(super) struct Restoring {
    /// In the order in which they are.
    restores: Vec<Restore>,
    /// How often in a row nothing could be read.
    failures: u32,
    /// Until when it is not tried again.
    paused: Option<Timestamp>,
}

impl Restoring {
    fn push(&mut self, restore: Restore) {
        let order = restore.order();
        let at = self.restores.partition_point(|before| before.order() < order);
        self.restores.insert(at, restore);
    }

    /// Takes out what `taken` says. What was being read is not read on.
    fn take(&mut self, ports: &mut Ports, mut taken: impl FnMut(&mut Ports, &Restore) -> bool) -> Vec<Restore> {
        let all = std::mem::take(&mut self.restores);
        let (gone, left): (Vec<_>, _) = all.into_iter().partition(|restore| taken(ports, restore));
        self.restores = left;
        if !gone.is_empty() {
            ports.changelog.close();
        }
        gone
    }

    /// Takes out one of which all was read, but none of these.
    fn take_whole(&mut self, but: &BTreeSet<TaskId>) -> Option<Restore> {
        let at = self.restores.iter().position(|restore| restore.is_whole() && !but.contains(&restore.id()))?;
        Some(self.restores.remove(at))
    }

    /// Has tasks that were built already built anew, of other operators.
    pub(super) fn unbuild(&mut self, stages: &BTreeSet<u16>) {
        self.restores.iter_mut().filter(|restore| stages.contains(&restore.id().stage)).for_each(Restore::unbuild);
        self.restores.sort_by_key(Restore::order);
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.restores.is_empty()
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Restore> {
        self.restores.iter()
    }

    /// All of them.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Restore> {
        self.restores.iter_mut()
    }

    /// How long may be waited before there is something to restore; `None` if there is nothing.
    pub(super) fn due(&self, now: Timestamp) -> Option<Duration> {
        let until = self.paused.map_or(0, |until| until.0.saturating_sub(now.0).max(0));
        (!self.is_empty()).then(|| Duration::from_millis(until as u64))
    }

    /// Takes note that nothing could be read.
    fn failed(&mut self, task: TaskId, reason: &str, now: Timestamp) -> Result<(), Fault> {
        self.failures += 1;
        if self.failures > MAX_ABORTS {
            return Err(Fault::Fatal(format!(
                "restore task {task}: it failed {MAX_ABORTS} times in a row, the last because of: {reason}"
            )));
        }
        self.paused = Some(now.plus(millis(pause(self.failures))));
        Ok(())
    }
}

impl Worker {
    /// What is left to be read of changelogs before all tasks are built, where that is known.
    pub fn restoring(&self) -> impl Iterator<Item = Left> {
        self.restoring.iter().flat_map(Restore::left)
    }

    /// Claims tasks, and builds those whose rows are where the log stands. The others are restored.
    pub(super) fn start(&mut self, ids: &[TaskId], now: Timestamp) -> Result<(), Fault> {
        let mut before = self.close(ids);
        let claimed = recovery::claim(&mut self.ports.world(), &self.stages, &self.terms, ids, &self.held)?;
        self.held.extend(claimed.iter().map(|claimed| (claimed.id(), true)));
        for claimed in claimed {
            let verdicts = before.remove(&claimed.id());
            let mut restore = Restore::new(claimed, verdicts);
            while !restore.is_open() {
                self.open(&mut restore)?;
            }
            self.restoring.push(restore);
        }
        self.build(now)
    }

    /// Closes tasks: nothing of one may be open when its stores are opened. Answers what was learnt about failing records.
    fn close(&mut self, ids: &[TaskId]) -> BTreeMap<TaskId, Trial> {
        let mut verdicts = BTreeMap::new();
        for restore in self.restoring.take(&mut self.ports, |_, restore| ids.contains(&restore.id())) {
            let id = restore.id();
            verdicts.extend(restore.into_verdicts().map(|trial| (id, trial)));
        }
        let built = ids.iter().filter_map(|id| Some((*id, self.tasks.remove(id)?)));
        verdicts.extend(built.map(|(id, task)| (id, task.into_verdicts())));
        verdicts
    }

    /// Lets go of tasks that are restored.
    pub(super) fn forget(&mut self, ids: &[TaskId]) {
        self.restoring.take(&mut self.ports, |_, restore| ids.contains(&restore.id()));
    }

    /// Opens the stores of a task. Where one fails they are closed, to be emptied by the next call; the second time it is the
    /// disk.
    fn open(&mut self, restore: &mut Restore) -> Result<(), Fault> {
        let id = restore.id();
        let Some(stage) = self.stages.get(usize::from(id.stage)) else {
            return Err(Fault::Fatal(format!("task {id} is of a stage that this pipeline does not have")));
        };
        let wipe = self.distrust.distrusts(id);
        let opened = restore.open(&mut self.ports.world(), stage, self.terms.revision, wipe);
        self.trust(restore, opened)
    }

    /// What is broken is emptied and read anew; the second time it is the disk.
    fn trust(&mut self, restore: &mut Restore, answer: Result<(), Fault>) -> Result<(), Fault> {
        match self.distrust.check(restore.id(), answer) {
            Err(Fault::Store(reason)) if !restore.is_wiped() => {
                restore.wipe(reason);
                Ok(())
            }
            answer => answer,
        }
    }

    /// Goes on with the task that is restored first. Answers whether anything came of it.
    pub(super) fn restore(&mut self, now: Timestamp, wait: Duration) -> Result<bool, Fault> {
        // Somebody else may have the stores of those that were lost.
        let lost = |ports: &mut Ports, restore: &Restore| ports.tasks.lease(restore.id()) != Some(restore.lease());
        for restore in self.restoring.take(&mut self.ports, lost) {
            self.held.remove(&restore.id());
        }
        if self.restoring.due(now).is_none_or(|due| !due.is_zero()) {
            return Ok(false);
        }
        let mut restore = self.restoring.restores.remove(0);
        let id = restore.id();
        let read = self.read(&mut restore, wait);
        if matches!(read, Err(Fault::Abort(_))) {
            // What it found may hold no longer: the changelog was cleaned, or begins elsewhere.
            restore.close();
            self.ports.changelog.close();
        }
        self.restoring.push(restore);
        match read {
            Ok(came) => {
                (self.restoring.failures, self.restoring.paused) = (0, None);
                self.build(now)?;
                Ok(came)
            }
            // Nothing of it is open: the epoch of the others is not lost with it.
            Err(Fault::Abort(reason)) => {
                self.restoring.failed(id, &reason, now)?;
                self.events.push(Event::Interrupted { task: id, reason });
                Ok(true)
            }
            Err(fault) => Err(fault),
        }
    }

    fn read(&mut self, restore: &mut Restore, wait: Duration) -> Result<bool, Fault> {
        if !restore.is_open() {
            return self.open(restore).map(|()| true);
        }
        let (slice, mut came) = (self.slice(), true);
        let read = restore.read(self.ports.changelog.as_mut(), slice, wait).map(|any| came = any);
        self.trust(restore, read).map(|()| came)
    }

    /// How much of a task is restored at a time.
    fn slice(&self) -> Slice {
        if self.tasks.is_empty() { self.terms.slice.times(ALONE) } else { self.terms.slice }
    }

    /// Goes on with tasks that are restored, and does nothing else. Answers whether there were any.
    pub fn restore_only(&mut self, now: Now, wait: Duration) -> Result<bool, Fault> {
        let now = self.hear(now);
        let Some(due) = self.restoring.due(now) else { return Ok(false) };
        let restored =
            if due.is_zero() { self.restore(now, wait).map(drop) } else { self.ports.source.idle(due.min(wait)) };
        self.recover(restored, now)?;
        Ok(true)
    }

    /// How long the next slice may wait for records, if it is to wait so long at most.
    pub(super) fn patience(&mut self, now: Timestamp, longest: Duration) -> Result<Duration, Fault> {
        if self.tasks.is_empty() { Ok(longest) } else { self.wait(now, longest.min(WAIT)) }
    }

    /// Goes on with the tasks of which nothing is left to be read, until they are built.
    fn build(&mut self, now: Timestamp) -> Result<(), Fault> {
        let (repair, mut slice, mut tried) = (self.terms.repair, self.slice(), BTreeSet::new());
        while let Some(mut restore) = self.restoring.take_whole(&tried) {
            let id = restore.id();
            tried.insert(id);
            if self.ports.tasks.lease(id) != Some(restore.lease()) {
                self.held.remove(&id);
                continue;
            }
            let stage = usize::from(id.stage);
            let (Some(stage), Some(operators)) = (self.stages.get(stage), self.operators.get(stage)) else { continue };
            let (by, mut built) = (Builder { stage, operators, repair, now }, None);
            let answer = restore.build(&by, &mut slice).map(|task| built = task);
            if answer.is_ok() {
                self.distrust.acquit(id);
            }
            let trusted = self.trust(&mut restore, answer);
            let Some((task, restored)) = built else {
                self.restoring.push(restore);
                trusted?;
                continue;
            };
            self.events.push(Event::Acquired { task: id, epoch: task.epoch(), restored, care: *task.care() });
            let (positions, paused) = (task.positions(), task.paused().is_some());
            self.tasks.insert(id, task);
            self.ports.source.assign(id, &positions)?;
            if paused {
                self.ports.source.unassign(id)?;
            }
        }
        self.share();
        Ok(())
    }

    /// Divides the room for committed rows among all states.
    fn share(&mut self) {
        let states = self.tasks.values_mut().flat_map(Task::states).count().max(1);
        let each = self.terms.row_cache.bytes / states;
        self.tasks.values_mut().flat_map(Task::states).for_each(|(_, state)| state.bound(each));
    }
}
