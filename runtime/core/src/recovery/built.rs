//! A task whose rows are where its changelogs stand, until what expires of them is indexed.

use crate::commit::{Guarantee, Slice};
use crate::port::Fault;
use crate::record::{Now, Timestamp};
use crate::recovery::{Left, Restored};
use crate::state::Indexing;
use crate::task::Task;
use crate::task::memory::Local;

/// A task that is built, and stores of it that count as behind until their index is whole.
#[derive(Debug)]
pub(super) struct Built {
    task: Task,
    restored: Restored,
    guarantee: Guarantee,
    behind: Vec<Behind>,
    read: Vec<Left>,
}

/// A store to which a changelog was read.
#[derive(Debug)]
pub(super) struct Behind {
    /// Whose it is.
    pub(super) node: usize,
    /// What it will stand at, without the epoch.
    pub(super) local: Local,
    index: Indexing,
}

impl Behind {
    pub(super) fn new(node: usize, local: Local) -> Self {
        Self { node, local, index: Indexing::default() }
    }
}

impl Built {
    /// A task with the guarantee of its row, and what was read for it.
    pub(super) fn new(
        task: Task,
        restored: Restored,
        guarantee: Guarantee,
        behind: Vec<Behind>,
        read: Vec<Left>,
    ) -> Self {
        Self { task, restored, guarantee, behind, read }
    }

    /// What was read of each changelog: nothing is left.
    pub(super) fn read(&self) -> impl Iterator<Item = Left> {
        self.read.iter().copied()
    }

    /// Whether no store is behind any more.
    pub(super) fn is_current(&self) -> bool {
        self.behind.is_empty()
    }

    /// Goes on with the index of each store that is behind. Those of which it is whole count as current from now on, at
    /// least once from the next epoch on: until then what they say of the task does not count all of their rows.
    pub(super) fn index(&mut self, slice: Slice, now: Timestamp) -> Result<(), Fault> {
        for behind in std::mem::take(&mut self.behind) {
            let Behind { node, local, mut index } = behind;
            let epoch = self.task.epoch();
            let Some((_, state)) = self.task.states().find(|(of, _)| *of == node) else { continue };
            if !state.index_expiry(&mut index, slice)? {
                self.behind.push(Behind { node, local, index });
            } else if self.guarantee == Guarantee::ExactlyOnce {
                let local = Local { epoch: Some(epoch), ..local };
                state.apply(vec![(Local::ROW.to_vec(), Some(local.encode()))], now)?;
                state.flush()?;
            }
        }
        Ok(())
    }

    /// The task, which goes on from here. It is read from for the first time, so that a store that opens well and cannot be
    /// read is found out here.
    pub(super) fn finish(mut self, now: Timestamp) -> Result<(Task, Restored), Fault> {
        self.task.next_tick(Now { time: now, steady: now })?;
        Ok((self.task, self.restored))
    }
}
