//! Committed rows in memory, over those of the store.
//!
//! Rows that the store does not have yet are written behind, in one sorted batch that carries its place in the
//! changelog: nothing is lost by lagging, since the changelog has them. Rows that it has are dropped, the longest
//! unread first, when they take too much room: those read lately are young, and the old ones go when the young have
//! filled their share. As long as none was dropped, over a store that was empty, a row that is not here is nowhere.

use std::sync::Arc;

use crate::batch::Blobs;
use crate::overlay::Overlay;
use crate::port::{Store, StoreError, Write};
use crate::record::Timestamp;
use crate::table::{Access, Found, Hash, Table};
use crate::writes::{Pair, Writes};

/// Shares of the budget that dirty, young and old rows have, each one of so many.
const SHARES: usize = 3;

/// Bytes of room for what is read that stay where nothing is kept.
const KEPT: usize = 64 << 10;

/// Committed rows of one operator of one task.
#[derive(Debug, Default)]
pub struct Cache {
    dirty: Table,
    young: Table,
    old: Table,
    /// What was read last, where nothing is kept.
    read: Blobs,
    budget: usize,
    /// Whether all rows of the store are here, too; `None` where nobody has looked.
    whole: Option<bool>,
    /// What goes with the dirty rows: what the task remembers, and their place in the changelog.
    last: Vec<Write>,
    changes: u64,
    since: Option<Timestamp>,
}

/// Where a row is in a cache, until something is written to it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    Dirty(Found),
    Young(Found),
    Old(Found),
    Read(usize),
}

impl Cache {
    /// Bounds the bytes that it takes. Without any, rows go to the store with each epoch, and none is kept.
    pub(crate) fn bound(&mut self, budget: usize) {
        self.budget = budget;
    }

    /// Finds a row.
    pub(crate) fn find(&mut self, row: &[u8]) -> Option<Place> {
        let hash = Hash::of(row);
        if let Some(found) = self.dirty.find_hashed(hash, row) {
            return Some(Place::Dirty(found));
        }
        if let Some(found) = self.young.find_hashed(hash, row) {
            return Some(Place::Young(found));
        }
        self.find_old(hash, row)
    }

    /// Whether a row that is not found is nowhere; `None` where that must be asked of the store.
    pub(crate) fn is_whole(&self) -> Option<bool> {
        if self.budget == 0 { Some(false) } else { self.whole }
    }

    /// Whether the store has no rows at all.
    pub(crate) fn is_over_nothing(&mut self, nothing: bool) {
        self.whole = Some(nothing);
    }

    /// Finds a row among the old ones; as long as there is room it is a young one then, unless none need be dropped.
    pub(crate) fn find_old(&mut self, hash: Hash, row: &[u8]) -> Option<Place> {
        let found = self.old.find_hashed(hash, row)?;
        if self.whole == Some(true) || self.young.size() >= self.budget / SHARES {
            return Some(Place::Old(found));
        }
        Some(Place::Young(self.young.keep(row, self.old.value(found))))
    }

    /// Finds rows, each with its number and hash, and hands over those that are neither old nor missing.
    pub(crate) fn find_each<'r>(
        &self,
        rows: impl Iterator<Item = (usize, Hash, &'r [u8])> + Clone,
        candidates: &mut Vec<Option<Found>>,
        found: &mut [Option<Place>],
    ) {
        self.young.find_each(rows.clone(), candidates, |number, place| found[number] = Some(Place::Young(place)));
        self.dirty.find_each(rows, candidates, |number, place| found[number] = Some(Place::Dirty(place)));
    }

    /// The value of a row; `None` where it is known that there is none.
    pub(crate) fn value(&self, place: Place) -> Option<&[u8]> {
        match place {
            Place::Dirty(found) => self.dirty.value(found),
            Place::Young(found) => self.young.value(found),
            Place::Old(found) => self.old.value(found),
            Place::Read(number) => self.read.get(number),
        }
    }

    /// Finds a row among the old ones, and leaves it there.
    pub(crate) fn peek_old(&self, hash: Hash, row: &[u8]) -> Option<Place> {
        self.old.find_hashed(hash, row).map(Place::Old)
    }

    /// Keeps a row that was read from the store; without room, until room is made.
    pub(crate) fn keep(&mut self, row: &[u8], value: Option<&[u8]>) -> Place {
        if self.budget == 0 {
            self.read.push(value);
            return Place::Read(self.read.len() - 1);
        }
        Place::Young(self.young.keep(row, value))
    }

    /// Drops the longest unread rows when the young ones have filled their share. No place holds behind it.
    pub(crate) fn make_room(&mut self) {
        self.read.clear_to(KEPT);
        if self.young.size() >= self.budget / SHARES {
            self.age();
        }
    }

    /// Bytes that it takes, about.
    #[cfg(test)]
    pub(crate) fn size(&self) -> usize {
        [&self.dirty, &self.young, &self.old].into_iter().map(Table::size).sum()
    }

    fn age(&mut self) {
        if self.old.len() > 0 {
            self.whole = self.whole.map(|_| false);
        }
        std::mem::swap(&mut self.young, &mut self.old);
        self.young.clear();
    }

    /// Takes over what an epoch wrote, and what goes with it to the store.
    pub(crate) fn absorb(&mut self, overlay: &Overlay, last: Vec<Write>, now: Timestamp) {
        self.dirty.absorb(overlay.table());
        self.changes += overlay.table().len() as u64;
        self.last = last;
        self.since.get_or_insert(now);
    }

    /// The rows that the store does not have yet and that are scanned, in order, from the first at or behind one.
    pub(crate) fn range(&self, from: &[u8]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.dirty.range(from)
    }

    /// Forgets the rows that the store has as well.
    pub(crate) fn forget(&mut self) {
        self.young.clear();
        self.old.clear();
        self.whole = None;
    }

    /// Makes room for the rows that were written, which are young ones then.
    fn receive(&mut self) {
        let size: usize = [&self.dirty, &self.young, &self.old].into_iter().map(Table::size).sum();
        if self.whole == Some(true) && size <= self.budget / SHARES * (SHARES - 1) {
            self.old.absorb(&self.young);
            self.young.clear();
        } else {
            self.age();
        }
        std::mem::swap(&mut self.dirty, &mut self.young);
    }

    /// Whether it is time to write behind.
    pub(crate) fn is_due(&self, lag: Lag, now: Timestamp) -> bool {
        let Some(since) = self.since else { return false };
        self.dirty.size() >= self.budget / SHARES
            || self.changes >= lag.changes
            || now >= since.plus(crate::watermark::millis(lag.age))
    }

    /// Writes what the store does not have yet.
    pub(crate) fn flush(&mut self, store: &mut dyn Store) -> Result<(), StoreError> {
        if self.since.is_none() {
            return Ok(());
        }
        store.apply(Arc::new(Writes::of(with(self.dirty.iter(), &self.last))))?;
        (self.changes, self.since) = (0, None);
        self.dirty.forget_order();
        self.receive();
        if self.budget == 0 {
            self.forget();
        }
        Ok(())
    }
}

/// Rows that were written, and those that go to the store with them.
pub(crate) fn with<'a>(
    rows: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>, Access)>,
    last: &'a [Write],
) -> impl Iterator<Item = Pair<'a>> {
    let last = last.iter().map(|(row, value)| (row.as_slice(), value.as_deref()));
    rows.map(|(row, value, _)| (row, value)).chain(last)
}

/// How far a store may lag behind its changelog.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Lag {
    /// Changes to write behind, at most.
    pub changes: u64,
    /// How long a change waits, at most.
    pub age: std::time::Duration,
}

impl Default for Lag {
    fn default() -> Self {
        Self { changes: 1_000_000, age: std::time::Duration::from_secs(30) }
    }
}
