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
    index: HashTable<Slot>,
    entries: Vec<Entry>,
    bytes: Vec<u8>,
    order: BTreeMap<Vec<u8>, u32>,
}

/// A row's hash beside its entry: growing, and passing over other rows, need not look at any row.
#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: Hash,
    entry: u32,
}

/// What a row is found by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Hash(u32);

/// A row and its value. Half a cache line: with many rows, what is looked at is what is waited for.
#[derive(Clone, Copy, Debug)]
struct Entry {
    row_at: usize,
    value_at: usize,
    row_length: u32,
    /// [`DELETED`] where there is no value.
    value_length: u32,
    hash: Hash,
    access: Access,
}

const DELETED: u32 = u32::MAX;

/// Bytes of the arena.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    at: usize,
    length: u32,
}

impl Entry {
    fn row(&self) -> Span {
        Span { at: self.row_at, length: self.row_length }
    }

    fn value(&self) -> Option<Span> {
        (self.value_length != DELETED).then_some(Span { at: self.value_at, length: self.value_length })
    }

    fn set_value(&mut self, value: Option<Span>) {
        (self.value_at, self.value_length) = value.map_or((0, DELETED), |span| (span.at, span.length));
    }
}

impl Hash {
    pub(crate) fn of(row: &[u8]) -> Self {
        let hash = (HASHER.hash_one(row) >> 32) as u32;
        // In tests, rows often have the hash of another one.
        Self(if cfg!(test) { hash % 8 } else { hash })
    }

    /// All bits of it where the index looks for some: at both ends.
    fn spread(self) -> u64 {
        u64::from(self.0).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }
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
        self.find_hashed(Hash::of(row), row)
    }

    /// Finds a row whose hash is known.
    pub(crate) fn find_hashed(&self, hash: Hash, row: &[u8]) -> Option<Found> {
        let is_it = |slot: &Slot| slot.hash == hash && self.row(Found(slot.entry)) == row;
        self.index.find(hash.spread(), is_it).map(|slot| Found(slot.entry))
    }

    /// Finds rows, and hands over each that is there with its number. The slots of all of them are looked at before any
    /// row is, so that the processor need not wait for one after the other.
    pub(crate) fn find_each<'r>(
        &self,
        rows: impl Iterator<Item = (usize, Hash, &'r [u8])> + Clone,
        candidates: &mut Vec<Option<Found>>,
        mut found: impl FnMut(usize, Found),
    ) {
        if self.entries.is_empty() {
            return;
        }
        candidates.clear();
        candidates.extend(rows.clone().map(|(_, hash, _)| self.candidate(hash)));
        for ((number, hash, row), candidate) in rows.zip(candidates) {
            let Some(candidate) = *candidate else { continue };
            let place = if self.row(candidate) == row { Some(candidate) } else { self.find_hashed(hash, row) };
            if let Some(place) = place {
                found(number, place);
            }
        }
    }

    /// The first entry of a hash, which is the row that is looked for but for one in four thousand million.
    fn candidate(&self, hash: Hash) -> Option<Found> {
        self.index.find(hash.spread(), |slot| slot.hash == hash).map(|slot| Found(slot.entry))
    }

    /// The value of a row; `None` if it was deleted.
    pub(crate) fn value(&self, found: Found) -> Option<&[u8]> {
        self.entries.get(found.0 as usize).and_then(|entry| Some(self.slice(entry.value()?)))
    }

    fn row(&self, found: Found) -> &[u8] {
        self.entries.get(found.0 as usize).map_or(&[], |entry| self.slice(entry.row()))
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
        let hash = Hash::of(row);
        let Some(found) = self.find_hashed(hash, row) else {
            self.insert(hash, row, value, access);
            return None;
        };
        let value = value.map(|value| self.store(value));
        let entry = self.entries.get_mut(found.0 as usize)?;
        let overwritten = Overwritten { found, value: entry.value() };
        entry.set_value(value);
        Some(overwritten)
    }

    /// Writes a row that may be there and is found by its bytes alone, over its old value where the new one fits.
    pub(crate) fn keep(&mut self, row: &[u8], value: Option<&[u8]>) -> Found {
        let hash = Hash::of(row);
        match self.find_hashed(hash, row) {
            Some(found) => {
                self.overwrite(found, value);
                found
            }
            None => self.insert(hash, row, value, Access::Point),
        }
    }

    /// Takes over what another table has of rows.
    pub(crate) fn absorb(&mut self, other: &Self) {
        let (mut places, mut candidates) = (Vec::new(), Vec::new());
        let rows = other.entries.iter().map(|entry| (entry.hash, other.slice(entry.row()))).zip(0..);
        let rows = rows.map(|((hash, row), number)| (number, hash, row));
        places.resize(other.len(), None);
        self.find_each(rows, &mut candidates, |number, found| places[number] = Some(found));
        for (entry, place) in other.entries.iter().zip(places) {
            let value = entry.value().map(|value| other.slice(value));
            match place {
                Some(found) => self.overwrite(found, value),
                // The rows of a table differ, so none of those before it was this.
                None => _ = self.insert(entry.hash, other.slice(entry.row()), value, entry.access),
            }
        }
    }

    fn overwrite(&mut self, found: Found, value: Option<&[u8]>) {
        let old = self.entries.get(found.0 as usize).and_then(Entry::value);
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
            entry.set_value(new);
        }
    }

    /// From now on no row is scanned.
    pub(crate) fn forget_order(&mut self) {
        self.order.clear();
    }

    fn insert(&mut self, hash: Hash, row: &[u8], value: Option<&[u8]>, access: Access) -> Found {
        let entry = self.entries.len() as u32;
        let (Span { at: row_at, length: row_length }, value) = (self.store(row), value.map(|value| self.store(value)));
        let mut new = Entry { row_at, row_length, value_at: 0, value_length: DELETED, hash, access };
        new.set_value(value);
        self.entries.push(new);
        self.index.insert_unique(hash.spread(), Slot { hash, entry }, |slot| slot.hash.spread());
        if access == Access::Scanned {
            self.order.insert(row.to_vec(), entry);
        }
        Found(entry)
    }

    /// Puts back what was overwritten.
    pub(crate) fn restore(&mut self, overwritten: Overwritten) {
        if let Some(entry) = self.entries.get_mut(overwritten.found.0 as usize) {
            entry.set_value(overwritten.value);
        }
    }

    /// Forgets what was added since a moment. What was overwritten since must have been put back.
    pub(crate) fn truncate(&mut self, to: Extent) {
        for number in to.entries..self.entries.len() {
            let entry = self.entries[number];
            if let Ok(found) = self.index.find_entry(entry.hash.spread(), |slot| slot.entry as usize == number) {
                found.remove();
            }
            if entry.access == Access::Scanned {
                self.order.remove(&self.bytes[entry.row_at..entry.row_at + entry.row_length as usize]);
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
            .map(|entry| (self.slice(entry.row()), entry.value().map(|value| self.slice(value)), entry.access))
    }

    /// The rows, each with its hash and whether it has a value, in the order in which they were first written.
    pub(crate) fn hashed(&self) -> impl Iterator<Item = (Hash, &[u8], bool)> {
        self.entries.iter().map(|entry| (entry.hash, self.slice(entry.row()), entry.value().is_some()))
    }

    /// The rows that are scanned, in order, from the first at or behind one.
    pub(crate) fn range(&self, from: &[u8]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let rows = self.order.range::<[u8], _>((Bound::Included(from), Bound::Unbounded));
        rows.map(|(row, &entry)| (row.as_slice(), self.value(Found(entry))))
    }
}
