//! A task whose rows are where its changelogs stand, until its stores count as current.

use crate::commit::{Guarantee, Slice};
use crate::port::Fault;
use crate::record::{Now, Timestamp};
use crate::recovery::{Left, Restored};
use crate::state::{Counted, Indexing};
use crate::task::Task;
use crate::task::memory::Local;

/// A task that is built, and stores of it that count as behind.
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
    node: usize,
    /// What it will stand at, without the epoch.
    local: Local,
    index: Indexing,
    counted: Counted,
}

impl Behind {
    pub(super) fn new(node: usize, local: Local) -> Self {
        Self { node, local, index: Indexing::default(), counted: Counted::default() }
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

    /// Goes on with the stores that are behind, as far as a slice goes: what expires is indexed, and at least once all rows
    /// are counted, for the changelog may have some of an epoch that the memory knows nothing of.
    ///
    /// A store counts as current from then on, at least once from the next epoch on: until then what it says of the task
    /// does not count all of its rows.
    pub(super) fn go_on(&mut self, slice: &mut Slice, now: Timestamp) -> Result<(), Fault> {
        let epoch = self.task.epoch();
        for mut behind in std::mem::take(&mut self.behind) {
            let Some((_, state)) = self.task.states().find(|(node, _)| *node == behind.node) else { continue };
            let is_indexed = state.index_expiry(&mut behind.index, slice)?;
            match self.guarantee {
                _ if !is_indexed => self.behind.push(behind),
                Guarantee::ExactlyOnce => {
                    let local = Local { epoch: Some(epoch), ..behind.local };
                    state.apply(vec![(Local::ROW.to_vec(), Some(local.encode()))], now)?;
                    state.flush()?;
                }
                Guarantee::AtLeastOnce if state.count(&mut behind.counted, slice)? => {
                    self.task.recount(behind.node, behind.counted.size);
                }
                Guarantee::AtLeastOnce => self.behind.push(behind),
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
