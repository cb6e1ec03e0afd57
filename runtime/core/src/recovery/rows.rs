//! The rows of one operator, on their way to where its changelog stands.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use crate::commit::{Guarantee, Slice};
use crate::port::{Changelog, ChangelogId, Fault, Store, StoreError, Write};
use crate::record::{Offset, Partition, TaskId};
use crate::recovery::{Claimed, World};
use crate::state::State;
use crate::task::memory::Local;

/// Bytes of a changelog's rows that go to the store in one sorted batch.
const BATCH: usize = 64 << 20;

/// The rows of an operator of a task that is being restored.
#[derive(Debug)]
pub(super) struct Rows {
    /// Index of the operator in the stage.
    pub node: usize,
    changelog: ChangelogId,
    partition: Partition,
    /// The rows; those that were read last are in its overlay.
    state: State,
    /// What the store lacks of the changelog; nothing if it was current.
    tail: Option<Tail>,
    /// Whether the store was emptied although it had something.
    pub wiped: bool,
}

/// A part of a changelog that a store lacks.
#[derive(Debug)]
struct Tail {
    identity: String,
    from: Offset,
    next: Offset,
    end: Offset,
    rows: u64,
    /// Whether all of it is in the store.
    is_loaded: bool,
}

/// What is left to be read of a changelog before a task can be built.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Left {
    /// The task.
    pub task: TaskId,
    /// Index of the operator in the stage.
    pub node: usize,
    /// Offsets that were read.
    pub done: u64,
    /// Offsets that are left.
    pub left: u64,
}

impl Rows {
    /// Opens a store and looks how far it is behind. `wipe`: what it holds is dropped.
    pub(super) fn open(
        world: &mut World<'_>,
        claimed: &Claimed,
        (node, changelog): (usize, ChangelogId),
        wipe: bool,
    ) -> Result<Self, Fault> {
        let (partition, row) = (claimed.id.partition, &claimed.row);
        let mut store = world.stores.open(claimed.id, changelog)?;
        let identity = world.changelog.identity(changelog)?;
        let end = world.changelog.end(changelog, partition)?;
        let stored = if wipe { None } else { store.get(&Local::ROW)? };
        let local = stored.as_deref().and_then(Local::decode);
        let valid = local
            .filter(|local| local.identity == identity && local.epoch <= Some(row.epoch))
            .filter(|local| local.next <= end);
        // At least once, the changelog may be ahead of the row.
        let is_current = |local: &Local| {
            let read = row.guarantee == Guarantee::ExactlyOnce || local.next == end;
            local.epoch == Some(row.epoch) && read
        };
        let (from, wiped) = match valid {
            Some(local) if is_current(&local) => (None, false),
            Some(local) if world.changelog.tail_from(changelog, partition)? <= local.next => (Some(local.next), false),
            Some(_) | None => {
                store.clear()?;
                (Some(Offset(0)), wipe || stored.is_some())
            }
        };
        let tail = from.map(|from| Tail { identity, from, next: from, end, rows: 0, is_loaded: false });
        let mut rows = Self { node, changelog, partition, state: State::new(store, Arc::new([])), tail, wiped };
        rows.load_if_read()?;
        Ok(rows)
    }

    /// Whether all that the changelog has is in the store.
    pub(super) fn is_whole(&self) -> bool {
        self.tail.as_ref().is_none_or(|tail| tail.is_loaded)
    }

    /// Whether the changelog is read from its beginning.
    pub(super) fn is_anew(&self) -> bool {
        self.tail.as_ref().is_some_and(Tail::is_anew)
    }

    /// How much of the changelog was read, and how much is left.
    pub(super) fn left(&self, task: TaskId) -> Left {
        let extent = |tail: &Tail| (tail.next.0 - tail.from.0, tail.end.0 - tail.next.0);
        let (done, left) = self.tail.as_ref().map_or((0, 0), extent);
        Left { task, node: self.node, done: done.max(0) as u64, left: left.max(0) as u64 }
    }

    /// Rows that were read.
    pub(super) fn count(&self) -> u64 {
        self.tail.as_ref().map_or(0, |tail| tail.rows)
    }

    /// Reads a slice of the changelog, in batches that each carry the offset that they end at. Answers whether anything came.
    pub(super) fn read(
        &mut self,
        changelog: &mut dyn Changelog,
        mut slice: Slice,
        wait: Duration,
    ) -> Result<bool, Fault> {
        let Some(tail) = self.tail.as_mut().filter(|tail| !tail.is_loaded) else { return Ok(false) };
        let (state, begun) = (&mut self.state, tail.next);
        let mut failed = None;
        let read = changelog.read(self.changelog, self.partition, begun..tail.end, wait, &mut |offset, row, value| {
            let taken = state.derive(row, value).and_then(|()| {
                state.settle();
                tail.next = offset.next();
                tail.rows += 1;
                if state.overlay().bytes() < BATCH { Ok(()) } else { state.load(&tail.unfinished(), tail.is_anew()) }
            });
            slice.take(row.len() + value.map_or(0, <[u8]>::len));
            failed = taken.err();
            if failed.is_none() && !slice.is_spent() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        if let Some(error) = failed {
            return Err(error.into());
        }
        tail.next = tail.next.max(read?);
        let came = tail.next > begun;
        self.load_if_read()?;
        Ok(came)
    }

    fn load_if_read(&mut self) -> Result<(), StoreError> {
        if let Some(tail) = self.tail.as_mut().filter(|tail| tail.next >= tail.end) {
            self.state.load(&tail.unfinished(), tail.is_anew())?;
            tail.is_loaded = true;
        }
        Ok(())
    }

    /// What they will stand at if they were behind, without the epoch.
    pub(super) fn local(&self) -> Option<Local> {
        self.tail.as_ref().map(Tail::local)
    }

    /// The rows at rest.
    pub(super) fn into_store(self) -> Box<dyn Store> {
        self.state.into_store()
    }
}

impl Tail {
    fn is_anew(&self) -> bool {
        self.from == Offset(0)
    }

    fn local(&self) -> Local {
        Local { identity: self.identity.clone(), next: self.next, epoch: None }
    }

    fn unfinished(&self) -> [Write; 1] {
        [(Local::ROW.to_vec(), Some(self.local().encode()))]
    }
}
