//! How many rows an operator has. It is counted as epochs are committed: nobody has to go through a store for it.

use super::State;
use crate::commit::Slice;
use crate::port::StoreError;
use crate::row::{self, Kind};

/// How much an operator remembers on a task.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Size {
    /// Values of its states; each field of an ordered map is one.
    pub rows: u64,
    /// Timers that are set, in both domains.
    pub timers: u64,
}

/// How many rows were counted so far.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    pub(crate) size: Size,
    /// The row that is counted next; the first, if there is none.
    from: Vec<u8>,
}

impl Size {
    /// Adds that of another task.
    pub fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.timers += other.timers;
    }

    fn of(&mut self, row: &[u8]) -> Option<&mut u64> {
        match row::kind(row)? {
            Kind::Value => Some(&mut self.rows),
            Kind::Timer => Some(&mut self.timers),
            Kind::Meta | Kind::Index => None,
        }
    }
}

impl State {
    /// How large the state will be once the open epoch is committed, if it is so large without it.
    ///
    /// What was written is looked for among the committed rows, each row once in an epoch. Those that were read before
    /// they were written, as most are, are in the cache, if there is one.
    pub fn size(&self, committed: Size) -> Result<Size, StoreError> {
        let mut size = committed;
        self.rows.changes(&counts, &mut |row, was, is| {
            if let Some(count) = size.of(row).filter(|_| was != is) {
                *count = if is { *count + 1 } else { count.saturating_sub(1) };
            }
        })?;
        Ok(size)
    }

    /// Goes on with a count of all rows, which must be in the store: for one whose changelog may be ahead of what the task
    /// remembers. Answers whether it is over.
    pub(crate) fn count(&self, counted: &mut Counted, slice: &mut Slice) -> Result<bool, StoreError> {
        let Counted { size, from } = counted;
        self.scan_some(&[Kind::Value as u8], from, slice, &counts, &mut |row, _| {
            size.of(row).into_iter().for_each(|count| *count += 1);
        })
    }
}

/// Whether a row is one that is counted.
fn counts(row: &[u8]) -> bool {
    matches!(row::kind(row), Some(Kind::Value | Kind::Timer))
}
