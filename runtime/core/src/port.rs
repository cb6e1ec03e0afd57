//! What the worker needs from the world.
//!
//! All calls block, and all are made by the worker's one thread. Kafka, the embedded log and the simulation each
//! implement them.

use std::fmt;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::batch::Batch;
use crate::record::{Offset, Partition, TaskId, Timestamp};
use crate::task::row::TaskRow;
use crate::writes::{Pair, Writes};

/// A failure of a port, sorted by what the worker must do about it.
#[derive(Clone, Debug, Error, Eq, PartialEq)]
pub enum Fault {
    /// This epoch is lost: abort it and go on from the last one that was committed.
    #[error("{0}")]
    Abort(String),
    /// A commit was sent and its answer is not known: ask the log which epoch stands, and go on from there.
    #[error("{0}")]
    Unknown(String),
    /// A task's local rows cannot be trusted: wipe them and read the changelog.
    #[error("{0}")]
    Store(String),
    /// This worker cannot go on.
    #[error("{0}")]
    Fatal(String),
}

/// What an input's offsets count in, where its topic's name does not say it: for a file, which file it is. Kept in the
/// task's row beside the offset that it belongs to, and given back with it; only the source reads it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Mark(pub [u64; 5]);

impl Mark {
    /// There is nothing to know.
    pub const NONE: Self = Self([0; 5]);
}

/// Where the worker reads an input of a task.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Position {
    /// Index of the input in the task's stage.
    pub input: u32,
    /// The next record to read.
    pub next: Offset,
    /// What the offset counts in.
    pub mark: Mark,
}

/// What an upstream task tells by a control record in a repartition topic.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Control {
    /// The task that tells it.
    pub from: TaskId,
    /// No record with an event time at or below this comes from that task any more.
    pub watermark: Timestamp,
    /// Nothing is expected from that task for now, so nobody should wait for it.
    pub idle: bool,
}

/// Records of one input of one task, in the order of their partition.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Fetched {
    /// Whose they are.
    pub task: TaskId,
    /// Index of the input in the task's stage.
    pub input: u32,
    /// The records, without control records.
    pub records: Batch,
    /// The offset of each record.
    pub offsets: Vec<i64>,
    /// The control records among them, each with the index of the first record behind it.
    pub controls: Vec<(usize, Control)>,
    /// Where reading goes on.
    pub next: Offset,
    /// What `next` counts in.
    pub mark: Mark,
}

/// What a poll brought.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Polled {
    /// Nothing within the wait.
    Nothing,
    /// Records or control records.
    Records(Fetched),
    /// An input has been read to its end; the next record, if one comes, is at this offset or later.
    End {
        /// Whose input.
        task: TaskId,
        /// Which.
        input: u32,
        /// Where it ends.
        next: Offset,
    },
}

/// Where records come from.
pub trait Source {
    /// Reads a task's inputs from these positions on; in place of those it had, if it was read before.
    fn assign(&mut self, task: TaskId, positions: &[Position]) -> Result<(), Fault>;

    /// No longer reads a task's inputs. Nothing of it is polled afterwards.
    fn unassign(&mut self, task: TaskId) -> Result<(), Fault>;

    /// Waits for records, at most `wait`. Brings at most a few hundred of one input at a time.
    fn poll(&mut self, wait: Duration) -> Result<Polled, Fault>;

    /// Waits, without reading anything.
    fn idle(&mut self, wait: Duration) -> Result<(), Fault>;

    /// Where an input that starts without any committed position begins.
    fn start(&mut self, task: TaskId, input: u32) -> Result<Offset, Fault>;
}

/// A topic that the worker writes to, as an index into the plan's list.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Target(pub u16);

/// A changelog, as the index of its operator in the plan's list of stateful ones.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ChangelogId(pub u16);

/// Under what right a worker has a task. Two leases of a task are equal only if nobody else had it in between.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Lease {
    /// Generation of the group at which the task was granted.
    pub generation: i32,
    /// Counts the grants of this process.
    pub serial: u64,
}

/// What an epoch commits of a task.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sealed {
    /// The task.
    pub task: TaskId,
    /// The right that its row was read under.
    pub lease: Lease,
    /// Its new row.
    pub row: TaskRow,
}

/// Where a changelog's partition stands after an epoch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Written {
    /// The changelog.
    pub changelog: ChangelogId,
    /// Its partition.
    pub partition: Partition,
    /// The offset behind the epoch's last record in it.
    pub next: Offset,
}

/// Where messages go, one transaction at a time.
pub trait Sink {
    /// Opens a transaction.
    fn begin(&mut self) -> Result<(), Fault>;

    /// Adds records to it. A record goes to the partition of its key's murmur2 hash, as Java's default partitioner
    /// has it; one without key goes to partition `from` modulo their number.
    fn send(&mut self, target: Target, from: Partition, records: &Batch) -> Result<(), Fault>;

    /// Adds a control record to every partition of a repartition topic.
    fn tell(&mut self, target: Target, control: Control) -> Result<(), Fault>;

    /// Adds a row to a partition of a changelog. No value: the row is deleted.
    fn change(
        &mut self,
        changelog: ChangelogId,
        partition: Partition,
        row: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), Fault>;

    /// Waits until the log has all of it.
    fn flush(&mut self) -> Result<(), Fault>;

    /// Commits all of it together with the tasks' rows. `sealed` is checked against the leases that hold now.
    /// Answers where the changelogs that were written stand.
    fn commit(&mut self, sealed: &[Sealed]) -> Result<Vec<Written>, Fault>;

    /// Drops the transaction.
    fn abort(&mut self) -> Result<(), Fault>;

    /// Brings the sink to a state where no transaction of its own is undecided, whatever happened before.
    fn reset(&mut self) -> Result<(), Fault>;
}

/// The committed rows of tasks.
pub trait Tasks {
    /// The right under which this worker has a task now; `None` if it has none.
    fn lease(&mut self, task: TaskId) -> Option<Lease>;

    /// The transactional id in a task's committed row, at once, although a newer row may be undecided.
    fn owner(&mut self, task: TaskId) -> Result<Option<String>, Fault>;

    /// Ends whatever transaction an id has open and locks out who has it.
    fn fence(&mut self, owner: &str) -> Result<(), Fault>;

    /// The committed row of a task.
    fn row(&mut self, task: TaskId) -> Result<Option<TaskRow>, Fault>;

    /// The transactional id that this worker commits with.
    fn id(&self) -> &str;

    /// Waits until no other worker of this process is alone, and is from then on, until it says `false`: while one makes
    /// a call on which the process may die, no other is to be taken for the cause.
    fn alone(&mut self, alone: bool) {
        let _ = alone;
    }
}

/// Takes a record of a changelog: offset, row, value. Answers whether to go on behind it.
pub type Visit<'a> = dyn FnMut(Offset, &[u8], Option<&[u8]>) -> ControlFlow<()> + 'a;

/// Reads changelogs.
pub trait Changelog {
    /// What tells this changelog from another one of the same name: cluster and topic id.
    fn identity(&mut self, changelog: ChangelogId) -> Result<String, Fault>;

    /// The end of a partition, open transactions included.
    fn end(&mut self, changelog: ChangelogId, partition: Partition) -> Result<Offset, Fault>;

    /// Deletions before this offset may be gone: rows that stand before it cannot be brought to the end, and are read
    /// anew.
    fn tail_from(&mut self, changelog: ChangelogId, partition: Partition) -> Result<Offset, Fault> {
        let _ = (changelog, partition);
        Ok(Offset(0))
    }

    /// Hands over the committed records of a range, in order: offset, row, value. It stops at the end, where `visit` says so,
    /// or where nothing more has come for `wait`. Answers where reading goes on: at the end or behind it if all was read.
    ///
    /// A read that begins where the last one stopped continues it: nothing is fetched twice.
    fn read(
        &mut self,
        changelog: ChangelogId,
        partition: Partition,
        offsets: Range<Offset>,
        wait: Duration,
        visit: &mut Visit<'_>,
    ) -> Result<Offset, Fault>;

    /// The read that stopped last is not continued.
    fn close(&mut self) {}
}

/// A failure of a store.
#[derive(Clone, Debug, Error, Eq, PartialEq)]
pub enum StoreError {
    /// Its rows cannot be trusted any more: they are read anew.
    #[error("{0}")]
    Broken(String),
    /// It takes no rows, and would not if they were read anew: the disk is full, or failed.
    #[error("{0}")]
    Unwritable(String),
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Broken(reason) => Self::Store(reason),
            StoreError::Unwritable(reason) => Self::Fatal(reason),
        }
    }
}

/// A row, which has a byte at least, and its new value; no value deletes it.
pub type Write = (Vec<u8>, Option<Vec<u8>>);

/// Takes a row that was looked for and its value, if it is there.
pub type Found<'a> = dyn FnMut(&[u8], Option<&[u8]>) + 'a;

/// The rows of one operator of one task, in order of their bytes. A cache of the changelog: it may lag behind, and may
/// forget its latest batches, but each batch is all there or not at all, and none is there without those before it.
pub trait Store: fmt::Debug {
    /// Reads a row.
    fn get(&self, row: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Reads rows, and hands over each with its value. They are given in the order of their bytes, unless all are in
    /// memory.
    fn get_many(&self, rows: &[&[u8]], visit: &mut Found<'_>) -> Result<(), StoreError>;

    /// Hands over rows in order, from the first at or behind `from`, until `visit` says `false`.
    fn scan(&self, from: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StoreError>;

    /// Whether its rows are in memory: it makes no sense to keep them there once more, nor to ask for them in order.
    fn is_in_memory(&self) -> bool {
        false
    }

    /// Writes rows, all or none; they are read from then on.
    fn apply(&mut self, writes: Arc<Writes>) -> Result<(), StoreError>;

    /// The same for rows in any order, each once.
    fn apply_each(&mut self, rows: &mut dyn Iterator<Item = Pair<'_>>) -> Result<(), StoreError> {
        self.apply(Arc::new(Writes::of(rows)))
    }

    /// [`Store::apply`] for many rows of a store that was emptied and is filled again.
    fn restore(&mut self, writes: Arc<Writes>) -> Result<(), StoreError> {
        self.apply(writes)
    }

    /// The same for rows in any order, each once.
    fn restore_each(&mut self, rows: &mut dyn Iterator<Item = Pair<'_>>) -> Result<(), StoreError> {
        self.restore(Arc::new(Writes::of(rows)))
    }

    /// Waits until a restart of the process finds what was written.
    fn sync(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Drops all rows.
    fn clear(&mut self) -> Result<(), StoreError>;
}

/// Opens stores.
pub trait Stores {
    /// The rows of an operator of a task, which must not be open at this moment.
    fn open(&mut self, task: TaskId, changelog: ChangelogId) -> Result<Box<dyn Store>, StoreError>;
}
