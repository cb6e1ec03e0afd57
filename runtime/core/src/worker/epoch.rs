//! The open epoch of a worker, from its first effect to its commit.

use crate::commit::{Guarantee, Open};
use crate::port::{Fault, Sealed, Written};
use crate::record::{Now, TaskId, Timestamp};
use crate::row::{self, Kind, META};
use crate::task::memory::Local;
use crate::task::turn::Effects;
use crate::worker::{Event, Worker};

impl Worker {
    pub(super) fn begin(&mut self, now: Timestamp) -> Result<(), Fault> {
        if self.open.is_none() {
            self.ports.sink.begin()?;
            self.open = Some(Open { since: now, ..Open::default() });
            self.events.push(Event::Begun);
        }
        Ok(())
    }

    pub(super) fn send(&mut self, id: TaskId, effects: Effects, records: u64) -> Result<(), Fault> {
        let mut bytes = 0;
        for (target, flow) in &effects.outputs {
            for chunk in flow.chunks() {
                bytes += chunk.records.bytes() as u64;
                self.ports.sink.send(*target, id.partition, &chunk.records)?;
            }
        }
        if let Some(open) = &mut self.open {
            open.bytes += bytes;
            open.records += records;
            *self.records.entry(id.stage).or_default() += records;
        }
        let (stage, task) = (id.stage, id);
        let verdicts = effects.verdicts.into_iter().map(|(node, reason)| Event::AtFault { task, node, reason });
        let measured = effects.measurements.into_iter().map(|(node, value)| Event::Measured { stage, node, value });
        self.events.extend(verdicts.chain(measured));
        Ok(())
    }

    /// Ends the open epoch now, if there is one.
    pub fn seal(&mut self, now: Now) -> Result<(), Fault> {
        let now = self.hear(now);
        let committed = self.commit(now);
        self.recover(committed, now)
    }

    pub(super) fn commit(&mut self, now: Timestamp) -> Result<(), Fault> {
        let Some(open) = self.open else { return Ok(()) };
        if self.terms.guarantee == Guarantee::AtLeastOnce {
            // A timer that is gone from the changelog will not fire again: what it caused must be in the log before.
            self.ports.sink.flush()?;
        }
        let sealed = self.change()?;
        self.ports.sink.flush()?;
        let written = self.ports.sink.commit(&sealed)?;
        self.open = None;
        self.aborts = 0;
        self.distrust.committed();
        for Sealed { task, lease, .. } in &sealed {
            if self.ports.tasks.lease(*task) == Some(*lease) {
                self.apply(*task, &written, now)?;
            } else {
                self.held.remove(task);
                self.tasks.remove(task);
                self.ports.source.unassign(*task)?;
            }
        }
        let records = std::mem::take(&mut self.records);
        self.events.push(Event::Committed { tasks: sealed.len(), records, bytes: open.bytes });
        Ok(())
    }

    /// Writes what the tasks changed to their changelogs, and says what their rows will be.
    fn change(&mut self) -> Result<Vec<Sealed>, Fault> {
        let owner = self.ports.tasks.id().to_owned();
        let mut sealed = Vec::new();
        for task in self.tasks.values_mut().filter(|task| task.is_dirty()) {
            let (id, partition, stage) = (task.id(), task.id().partition, task.stage().clone());
            self.distrust.check(id, task.measure())?;
            let meta = task.meta(self.terms.revision);
            let home = stage.home().map(|(node, _)| node);
            for (node, state) in task.states() {
                let Some(changelog) = stage.nodes[node].changelog else { continue };
                for (row, value, _) in state.overlay().iter().filter(|(row, ..)| row::kind(row) != Some(Kind::Index)) {
                    self.ports.sink.change(changelog, partition, row, value)?;
                }
                if home == Some(node) || !state.overlay().is_empty() {
                    self.ports.sink.change(changelog, partition, &META, Some(&meta))?;
                }
            }
            sealed.push(Sealed { task: id, lease: task.lease(), row: task.seal(&owner, &self.terms) });
        }
        Ok(sealed)
    }

    /// Moves what a committed epoch wrote to the task's committed rows, and those behind to its stores when it is time.
    fn apply(&mut self, id: TaskId, written: &[Written], now: Timestamp) -> Result<(), Fault> {
        let Some(task) = self.tasks.get_mut(&id) else { return Ok(()) };
        let stage = task.stage().clone();
        let (meta, epoch) = (task.meta(self.terms.revision), task.epoch().next());
        let lag = self.terms.row_cache.lag;
        let mut flushed = Ok(());
        for (node, state) in task.states() {
            let changelog = stage.nodes[node].changelog;
            let next = written.iter().find(|w| Some(w.changelog) == changelog && w.partition == id.partition);
            let (Some(next), Some(changelog)) = (next, changelog) else { continue };
            let identity = self.ports.changelog.identity(changelog)?;
            let local = Local { identity, next: next.next, epoch: Some(epoch) }.encode();
            let last = vec![(META.to_vec(), Some(meta.clone())), (Local::ROW.to_vec(), Some(local))];
            flushed = flushed.and(state.apply(last, now));
            if state.is_due(lag, now) {
                flushed = flushed.and(state.flush());
            }
        }
        self.distrust.check(id, flushed)?;
        task.advance(self.terms.guarantee);
        Ok(())
    }
}
