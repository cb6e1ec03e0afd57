//! Rows in one piece of memory: their bytes in an arena, found by hash; in order those that are scanned.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::ops::Bound;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

/// Whether a row is ever looked for by order: the index of what is due, and the fields of ordered maps.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Access {
    /// Found by its bytes alone.
    Point,
    /// Found by order as well.
    Scanned,
}

/// Rows and what was written to them last; a row may have been deleted.
#[derive(Debug, Default)]
pub(crate) struct Table {
    index: HashTable<u32>,
    entries: Vec<Entry>,
    bytes: Vec<u8>,
    order: BTreeMap<Vec<u8>, u32>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    row: Span,
    /// `None`: the row was deleted.
    value: Option<Span>,
    access: Access,
}

/// Bytes of the arena.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    at: usize,
    length: u32,
}

/// A row of a table, until something is written to the table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Found(u32);

/// How large a table is at a moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Extent {
    entries: usize,
    bytes: usize,
}

/// What was in a row before it was overwritten.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Overwritten {
    found: Found,
    value: Option<Span>,
}

const HASHER: FixedState = FixedState::with_seed(1);

/// Bytes that an entry takes beside those of its row and value, about.
const ENTRY: usize = 48;

/// Entries and bytes that an emptied table keeps room for.
const KEPT: usize = 64 << 10;

impl Table {
    /// Finds a row.
    pub(crate) fn find(&self, row: &[u8]) -> Option<Found> {
        self.index.find(HASHER.hash_one(row), |&entry| self.row(Found(entry)) == row).copied().map(Found)
    }

    /// The value of a row; `None` if it was deleted.
    pub(crate) fn value(&self, found: Found) -> Option<&[u8]> {
        self.entries.get(found.0 as usize).and_then(|entry| Some(self.slice(entry.value?)))
    }

    fn row(&self, found: Found) -> &[u8] {
        self.entries.get(found.0 as usize).map_or(&[], |entry| self.slice(entry.row))
    }

    fn slice(&self, span: Span) -> &[u8] {
        self.bytes.get(span.at..span.at + span.length as usize).unwrap_or_default()
    }

    fn store(&mut self, bytes: &[u8]) -> Span {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        Span { at, length: bytes.len() as u32 }
    }

    /// Writes a row that may be there. Answers what it overwrites, whose bytes stay until they are cut off.
    pub(crate) fn put(&mut self, row: &[u8], value: Option<&[u8]>, access: Access) -> Option<Overwritten> {
        let Some(found) = self.find(row) else {
            self.insert(row, value, access);
            return None;
        };
        let value = value.map(|value| self.store(value));
        let entry = self.entries.get_mut(found.0 as usize)?;
        Some(Overwritten { found, value: std::mem::replace(&mut entry.value, value) })
    }

    /// Writes a row that may be there, over its old value where the new one fits.
    pub(crate) fn replace(&mut self, row: &[u8], value: Option<&[u8]>, access: Access) -> Found {
        let Some(found) = self.find(row) else { return self.insert(row, value, access) };
        let old = self.entries.get(found.0 as usize).and_then(|entry| entry.value);
        let new = value.map(|value| match old {
            Some(Span { at, length }) if value.len() <= length as usize => {
                if let Some(bytes) = self.bytes.get_mut(at..at + value.len()) {
                    bytes.copy_from_slice(value);
                }
                Span { at, length: value.len() as u32 }
            }
            _ => self.store(value),
        });
        if let Some(entry) = self.entries.get_mut(found.0 as usize) {
            entry.value = new;
        }
        found
    }

    /// Writes a row that is found by its bytes alone.
    pub(crate) fn keep(&mut self, row: &[u8], value: Option<&[u8]>) -> Found {
        self.replace(row, value, Access::Point)
    }

    /// From now on no row is scanned.
    pub(crate) fn forget_order(&mut self) {
        self.order.clear();
    }

    fn insert(&mut self, row: &[u8], value: Option<&[u8]>, access: Access) -> Found {
        let entry = self.entries.len() as u32;
        let (span, value) = (self.store(row), value.map(|value| self.store(value)));
        self.entries.push(Entry { row: span, value, access });
        let (entries, bytes) = (&self.entries, &self.bytes);
        let hash = |&entry: &u32| {
            let Span { at, length } = entries[entry as usize].row;
            HASHER.hash_one(&bytes[at..at + length as usize])
        };
        self.index.insert_unique(HASHER.hash_one(row), entry, hash);
        if access == Access::Scanned {
            self.order.insert(row.to_vec(), entry);
        }
        Found(entry)
    }

    /// Puts back what was overwritten.
    pub(crate) fn restore(&mut self, overwritten: Overwritten) {
        if let Some(entry) = self.entries.get_mut(overwritten.found.0 as usize) {
            entry.value = overwritten.value;
        }
    }

    /// Forgets what was added since a moment. What was overwritten since must have been put back.
    pub(crate) fn truncate(&mut self, to: Extent) {
        for number in to.entries..self.entries.len() {
            let row = self.entries[number].row;
            let row = &self.bytes[row.at..row.at + row.length as usize];
            if let Ok(found) = self.index.find_entry(HASHER.hash_one(row), |&entry| entry as usize == number) {
                found.remove();
            }
            if self.entries[number].access == Access::Scanned {
                self.order.remove(row);
            }
        }
        self.entries.truncate(to.entries);
        self.bytes.truncate(to.bytes);
    }

    /// How large it is.
    pub(crate) fn extent(&self) -> Extent {
        Extent { entries: self.entries.len(), bytes: self.bytes.len() }
    }

    /// Bytes that it takes, about.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len() + self.entries.len() * ENTRY
    }

    /// Rows that it has, deleted ones too.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Empties it, and keeps some of its room.
    pub(crate) fn clear(&mut self) {
        self.index.clear();
        self.entries.clear();
        self.bytes.clear();
        self.order.clear();
        self.entries.shrink_to(KEPT);
        self.bytes.shrink_to(KEPT * 16);
    }

    /// The rows, in the order in which they were first written.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>, Access)> {
        self.entries
            .iter()
            .map(|entry| (self.slice(entry.row), entry.value.map(|value| self.slice(value)), entry.access))
    }

    /// The rows that are scanned, in order, from the first at or behind one.
    pub(crate) fn range(&self, from: &[u8]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let rows = self.order.range::<[u8], _>((Bound::Included(from), Bound::Unbounded));
        rows.map(|(row, &entry)| (row.as_slice(), self.value(Found(entry))))
    }
}
