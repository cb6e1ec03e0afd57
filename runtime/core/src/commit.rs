//! What epochs are committed under, and when the open one ends.

use std::time::Duration;

use crate::cache::Lag;
use crate::record::Timestamp;
use crate::watermark::millis;

/// How often what a record causes may be seen in the log.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum Guarantee {
    /// Once, whatever crashes: outputs, changelogs and rows are committed together.
    #[default]
    ExactlyOnce,
    /// Once, or again after a failure: outputs and changelogs are in the log before the rows that say so.
    AtLeastOnce,
}

/// What a worker's epochs are committed under.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Terms {
    /// How large an epoch may grow.
    pub bounds: Bounds,
    /// How much of what is committed stays in memory.
    pub row_cache: RowCache,
    /// How much of a changelog is read at a time.
    pub slice: Slice,
    /// The revision of the pipeline.
    pub revision: u64,
    /// What its readers may rely on.
    pub guarantee: Guarantee,
    /// What is done where a task's row and its changelogs contradict each other.
    pub repair: Repair,
}

/// What is done where a task's row and its changelogs contradict each other, because somebody changed one of them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Repair {
    /// Nothing: the worker ends, and says which.
    #[default]
    Never,
    /// The changelogs are believed: the task goes on from the last epoch that they know of.
    FromChangelog,
    /// The task is to forget what they say anyway.
    Forget,
}

/// How large an epoch may grow. Whichever comes first ends it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bounds {
    /// Time since its first effect.
    pub age: Duration,
    /// Records taken in.
    pub records: u64,
    /// Bytes sent.
    pub bytes: u64,
    /// Bytes of rows written.
    pub rows: usize,
}

/// How much of what is committed stays in memory, of all tasks of a worker.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RowCache {
    /// Bytes of rows. Without any, each epoch goes straight to the stores.
    pub bytes: usize,
    /// How far the stores may lag behind.
    pub lag: Lag,
}

/// How much of a changelog is read at a time while other tasks have work. Whichever comes first ends it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Slice {
    /// Records.
    pub records: usize,
    /// Bytes of them.
    pub bytes: usize,
}

impl Slice {
    /// A slice of so many times the size.
    #[must_use]
    pub fn times(self, times: usize) -> Self {
        Self { records: self.records.saturating_mul(times), bytes: self.bytes.saturating_mul(times) }
    }

    /// Takes a record of so many bytes out of it, if anything is left of it.
    pub fn take(&mut self, bytes: usize) -> bool {
        let takes = !self.is_spent();
        if takes {
            (self.records, self.bytes) = (self.records - 1, self.bytes.saturating_sub(bytes));
        }
        takes
    }

    /// Whether nothing is left of it.
    pub fn is_spent(&self) -> bool {
        self.records == 0 || self.bytes == 0
    }
}

impl Default for Slice {
    fn default() -> Self {
        Self { records: 2_000, bytes: 1 << 20 }
    }
}

impl Default for RowCache {
    fn default() -> Self {
        Self { bytes: 128 << 20, lag: Lag::default() }
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self { age: Duration::from_millis(100), records: 200_000, bytes: 16 << 20, rows: 64 << 20 }
    }
}

/// The open epoch, as far as deciding its end needs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Open {
    /// When its first effect was.
    pub since: Timestamp,
    /// Records taken in.
    pub records: u64,
    /// Bytes sent.
    pub bytes: u64,
}

impl Open {
    /// Whether it is time to end it.
    pub fn is_due(&self, bounds: &Bounds, rows: usize, now: Timestamp) -> bool {
        self.records >= bounds.records
            || self.bytes >= bounds.bytes
            || rows >= bounds.rows
            || now >= self.due_at(bounds)
    }

    /// When it ends by its age.
    pub fn due_at(&self, bounds: &Bounds) -> Timestamp {
        self.since.plus(millis(bounds.age))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whichever_bound_is_reached_first_ends_it() {
        let bounds = Bounds { age: Duration::from_millis(100), records: 10, bytes: 1000, rows: 50 };
        #[rustfmt::skip]
        let table = [
            // records bytes rows  now  due
            (1,        1,    1,    99,  false),
            (1,        1,    1,    100, true),
            (10,       1,    1,    0,   true),
            (1,        1000, 1,    0,   true),
            (1,        1,    50,   0,   true),
        ];
        for (records, bytes, rows, now, due) in table {
            let open = Open { since: Timestamp(0), records, bytes };
            assert_eq!(open.is_due(&bounds, rows, Timestamp(now)), due, "{open:?} {rows} {now}");
        }
    }
}
