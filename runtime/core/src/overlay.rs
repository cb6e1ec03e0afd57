//! Rows written in the open epoch.

use crate::table::{Access, Extent, Found, Overwritten, Table};

/// Rows written since the last commit. What a call or a turn wrote can be taken back until it is settled.
#[derive(Debug, Default)]
pub struct Overlay {
    rows: Table,
    undo: Vec<Overwritten>,
}

/// A moment to which an overlay can be taken back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Mark {
    undo: usize,
    rows: Extent,
}

impl Overlay {
    /// Finds a row that was written.
    pub(crate) fn find(&self, row: &[u8]) -> Option<Found> {
        self.rows.find(row)
    }

    /// The table of the rows.
    pub(crate) fn table(&self) -> &Table {
        &self.rows
    }

    /// What was written to a row; `None` if it was deleted.
    pub(crate) fn value(&self, found: Found) -> Option<&[u8]> {
        self.rows.value(found)
    }

    /// Writes a row; no value deletes it.
    pub fn put(&mut self, row: &[u8], value: Option<&[u8]>, access: Access) {
        self.undo.extend(self.rows.put(row, value, access));
    }

    /// Now.
    pub fn mark(&self) -> Mark {
        Mark { undo: self.undo.len(), rows: self.rows.extent() }
    }

    /// Takes back what was written since a mark.
    pub fn undo(&mut self, mark: Mark) {
        for overwritten in self.undo.drain(mark.undo..).rev() {
            self.rows.restore(overwritten);
        }
        self.rows.truncate(mark.rows);
    }

    /// Nothing written so far will be taken back, but by dropping all of it.
    pub fn settle(&mut self) {
        self.undo.clear();
    }

    /// Drops all of it.
    pub fn clear(&mut self) {
        self.undo.clear();
        self.rows.clear();
    }

    /// Bytes that it takes; those of values that were overwritten count until the epoch ends.
    pub fn bytes(&self) -> usize {
        self.rows.size()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.rows.len() == 0
    }

    /// The rows that were written, in the order in which they first were.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>, Access)> {
        self.rows.iter()
    }

    /// The rows written that are scanned, in order, from the first at or behind one.
    pub(crate) fn range(&self, from: &[u8]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.rows.range(from)
    }
}
