//! A row is where it was written last: in the open epoch, in the cache of committed rows, in the store.

use std::iter::Peekable;

use crate::batch::Blobs;
use crate::cache::{self, Cache, Lag};
use crate::overlay::{Mark, Overlay};
use crate::port::{Store, StoreError, Write};
use crate::record::Timestamp;
use crate::row::Kind;
use crate::table::{Access, Found, Hash};
use crate::writes::Pair;

/// Where a row is in memory, until something is written.
#[derive(Clone, Copy)]
enum Place {
    Overlay(Found),
    Cache(cache::Place),
}

/// The rows of an operator on a task.
#[derive(Debug)]
pub struct Layers {
    overlay: Overlay,
    cache: Cache,
    store: Box<dyn Store>,
}

impl Layers {
    /// The rows of a store.
    pub fn new(store: Box<dyn Store>) -> Self {
        Self { overlay: Overlay::default(), cache: Cache::default(), store }
    }

    /// Bounds the bytes of committed rows in memory beside those of a store that has its own there.
    pub fn bound(&mut self, budget: usize) {
        self.cache.bound(if self.store.is_in_memory() { 0 } else { budget });
    }

    /// What the open epoch wrote.
    pub fn overlay(&self) -> &Overlay {
        &self.overlay
    }

    /// The rows at rest.
    pub fn into_store(self) -> Box<dyn Store> {
        self.store
    }

    /// Reads a row.
    pub fn get(&mut self, row: &[u8]) -> Result<Option<&[u8]>, StoreError> {
        let place = if let Some(place) = self.find(row) {
            place
        } else if self.is_whole()? {
            return Ok(None);
        } else {
            let value = self.store.get(row)?;
            self.cache.make_room();
            Place::Cache(self.cache.keep(row, value.as_deref()))
        };
        Ok(self.value(place))
    }

    /// Reads rows, and hands over their values in the order in which the rows are given. What is not in memory is read
    /// from the store at once.
    pub fn get_many(&mut self, rows: &Blobs, visit: &mut dyn FnMut(Option<&[u8]>)) -> Result<(), StoreError> {
        let (mut places, mut missing) = (vec![None; rows.len()], Vec::new());
        let rows = rows.iter().map(Option::unwrap_or_default);
        let rows: Vec<_> = rows.enumerate().map(|(number, row)| (number, Hash::of(row), row)).collect();
        let (mut cached, mut candidates) = (vec![None; rows.len()], Vec::new());
        self.cache.find_each(rows.iter().copied(), &mut candidates, &mut cached);
        let written = |number: usize, found| places[number] = Some(Place::Overlay(found));
        self.overlay.table().find_each(rows.iter().copied(), &mut candidates, written);
        for ((number, hash, row), cached) in rows.into_iter().zip(cached) {
            if places[number].is_none() {
                places[number] = cached.or_else(|| self.cache.find_old(hash, row)).map(Place::Cache);
            }
            if places[number].is_none() {
                missing.push((row, number));
            }
        }
        if missing.is_empty() || self.is_whole()? {
            places.iter().for_each(|place| visit(place.and_then(|place| self.value(place))));
            return Ok(());
        }
        self.read_missing(missing, &mut places)?;
        places.iter().for_each(|place| visit(place.and_then(|place| self.value(place))));
        self.cache.make_room();
        Ok(())
    }

    /// Reads rows from the store, each with the index of its place.
    fn read_missing(
        &mut self,
        mut missing: Vec<(&[u8], usize)>,
        places: &mut [Option<Place>],
    ) -> Result<(), StoreError> {
        if !self.store.is_in_memory() {
            missing.sort_unstable();
        }
        let (wanted, indexes): (Vec<_>, Vec<usize>) = missing.into_iter().unzip();
        let mut indexes = indexes.into_iter();
        self.store.get_many(&wanted, &mut |row, value| {
            let place = Place::Cache(self.cache.keep(row, value));
            if let Some(missed) = indexes.next().and_then(|index| places.get_mut(index)) {
                *missed = Some(place);
            }
        })
    }

    /// Whether a row that is not in memory is nowhere.
    fn is_whole(&mut self) -> Result<bool, StoreError> {
        if let Some(is) = self.cache.is_whole() {
            return Ok(is);
        }
        let mut nothing = true;
        // What the task remembers is not read through here.
        self.store.scan(&[Kind::Value as u8], &mut |_, _| {
            nothing = false;
            false
        })?;
        self.cache.is_over_nothing(nothing);
        Ok(nothing)
    }

    fn find(&mut self, row: &[u8]) -> Option<Place> {
        let written = self.overlay.find(row).map(Place::Overlay);
        written.or_else(|| self.cache.find(row).map(Place::Cache))
    }

    fn value(&self, place: Place) -> Option<&[u8]> {
        match place {
            Place::Overlay(found) => self.overlay.value(found),
            Place::Cache(place) => self.cache.value(place),
        }
    }

    /// Writes a row; no value deletes it.
    pub fn put(&mut self, row: &[u8], value: Option<&[u8]>, access: Access) {
        self.overlay.put(row, value, access);
    }

    /// Hands over the rows that are scanned, in order, from the first at or behind `from`, until `visit` says `false`.
    pub fn scan(&self, from: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StoreError> {
        scan_over(merge(self.overlay.range(from), self.cache.range(from)), self.store.as_ref(), from, visit)
    }

    /// Hands over the rows that the open epoch wrote and that `wanted` takes, in any order: each with whether it was there
    /// before, and whether it is now. What is not in memory is looked for in the store at once.
    pub(crate) fn changes(
        &self,
        wanted: &dyn Fn(&[u8]) -> bool,
        visit: &mut dyn FnMut(&[u8], bool, bool),
    ) -> Result<(), StoreError> {
        let written = self.overlay.table().hashed().filter(|(_, row, _)| wanted(row));
        let (rows, is): (Vec<_>, Vec<_>) =
            written.enumerate().map(|(number, (hash, row, is))| ((number, hash, row), is)).unzip();
        let (mut cached, mut candidates) = (vec![None; rows.len()], Vec::new());
        self.cache.find_each(rows.iter().copied(), &mut candidates, &mut cached);
        let mut missing = Vec::new();
        let is_whole = self.cache.is_whole() == Some(true);
        for (((_, hash, row), is), place) in rows.into_iter().zip(is).zip(cached) {
            match place.or_else(|| self.cache.peek_old(hash, row)) {
                Some(place) => visit(row, self.cache.value(place).is_some(), is),
                None if is_whole => visit(row, false, is),
                None => missing.push((row, is)),
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        if !self.store.is_in_memory() {
            missing.sort_unstable();
        }
        let (rows, mut is): (Vec<_>, Vec<_>) = missing.into_iter().unzip();
        let mut is = is.drain(..);
        self.store.get_many(&rows, &mut |row, before| visit(row, before.is_some(), is.next().unwrap_or_default()))
    }

    /// Now.
    pub fn mark(&self) -> Mark {
        self.overlay.mark()
    }

    /// Takes back what was written since a mark.
    pub fn undo(&mut self, mark: Mark) {
        self.overlay.undo(mark);
    }

    /// What was written so far stays, unless the epoch is dropped.
    pub fn settle(&mut self) {
        self.overlay.settle();
    }

    /// Drops what the open epoch wrote.
    pub fn drop_epoch(&mut self) {
        self.overlay.clear();
    }

    /// Moves what the open epoch wrote to the committed rows. `last` goes to the store with them, which is at once where
    /// that is in memory.
    pub fn apply(&mut self, last: Vec<Write>, now: Timestamp) -> Result<(), StoreError> {
        let applied = if self.store.is_in_memory() {
            self.store.apply_each(&mut cache::with(self.overlay.iter(), &last))
        } else {
            self.cache.absorb(&self.overlay, last, now);
            Ok(())
        };
        self.overlay.clear();
        applied
    }

    /// Whether it is time to bring the store up to date.
    pub fn is_due(&self, lag: Lag, now: Timestamp) -> bool {
        self.cache.is_due(lag, now)
    }

    /// Brings the store up to date with the last commit.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        self.cache.flush(self.store.as_mut())
    }

    /// Hands what the open epoch wrote to the store as it is, and `last` with it: rows that come from a changelog. `anew`:
    /// the store was emptied for it.
    pub fn load(&mut self, last: &[Write], anew: bool) -> Result<(), StoreError> {
        let mut rows = cache::with(self.overlay.iter(), last);
        let loaded = if anew { self.store.restore_each(&mut rows) } else { self.store.apply_each(&mut rows) };
        drop(rows);
        self.overlay.clear();
        self.cache.forget();
        loaded
    }

    /// Waits until a restart of the process finds what was written behind.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        self.store.sync()
    }
}

/// Hands over the rows of a store as others change them, which come in order, from the first at or behind `from`, until
/// `visit` says `false`.
pub fn scan_over<'a>(
    changes: impl Iterator<Item = Pair<'a>>,
    store: &dyn Store,
    from: &[u8],
    visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
) -> Result<(), StoreError> {
    let mut changes = changes.peekable();
    let mut on = true;
    store.scan(from, &mut |row, value| {
        while let Some((changed, new)) = changes.next_if(|&(changed, _)| changed <= row) {
            if let Some(new) = new {
                on = on && visit(changed, new);
            }
            if changed == row || !on {
                return on;
            }
        }
        on = on && visit(row, value);
        on
    })?;
    for (row, value) in changes {
        if let Some(value) = value {
            on = on && visit(row, value);
        }
        if !on {
            break;
        }
    }
    Ok(())
}

/// Rows of two layers in order; of one that both have, that of the upper.
fn merge<'a>(
    upper: impl Iterator<Item = Pair<'a>>,
    lower: impl Iterator<Item = Pair<'a>>,
) -> impl Iterator<Item = Pair<'a>> {
    let (mut upper, mut lower) = (upper.peekable(), lower.peekable());
    std::iter::from_fn(move || next(&mut upper, &mut lower))
}

fn next<'a>(
    upper: &mut Peekable<impl Iterator<Item = Pair<'a>>>,
    lower: &mut Peekable<impl Iterator<Item = Pair<'a>>>,
) -> Option<Pair<'a>> {
    let Some(&(first, _)) = upper.peek() else { return lower.next() };
    match lower.next_if(|&(row, _)| row <= first) {
        Some((row, value)) if row < first => Some((row, value)),
        _ => upper.next(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;
    use std::ops::Bound;
    use std::sync::Arc;

    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    use super::*;
    use crate::port;
    use crate::writes::Writes;

    /// A store in memory.
    #[derive(Debug, Default)]
    pub(crate) struct Map(pub(crate) BTreeMap<Vec<u8>, Vec<u8>>);

    /// The same, to whom order is nothing.
    #[derive(Debug, Default)]
    struct Unordered(Map);

    impl Store for Unordered {
        fn get(&self, row: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
            self.0.get(row)
        }

        fn get_many(&self, rows: &[&[u8]], visit: &mut port::Found<'_>) -> Result<(), StoreError> {
            rows.iter().for_each(|&row| visit(row, self.0.0.get(row).map(Vec::as_slice)));
            Ok(())
        }

        fn scan(&self, from: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StoreError> {
            self.0.scan(from, visit)
        }

        fn is_in_memory(&self) -> bool {
            true
        }

        fn apply(&mut self, writes: Arc<Writes>) -> Result<(), StoreError> {
            self.0.apply(writes)
        }

        fn clear(&mut self) -> Result<(), StoreError> {
            self.0.clear()
        }
    }

    impl Store for Map {
        fn get(&self, row: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
            Ok(self.0.get(row).cloned())
        }

        fn get_many(&self, rows: &[&[u8]], visit: &mut port::Found<'_>) -> Result<(), StoreError> {
            assert!(rows.is_sorted());
            rows.iter().for_each(|&row| visit(row, self.0.get(row).map(Vec::as_slice)));
            Ok(())
        }

        fn scan(&self, from: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StoreError> {
            let rows = self.0.range::<[u8], _>((Bound::Included(from), Bound::Unbounded));
            let _ = { rows }.all(|(row, value)| visit(row, value));
            Ok(())
        }

        fn apply(&mut self, writes: Arc<Writes>) -> Result<(), StoreError> {
            writes.iter().for_each(|(row, value)| put(&mut self.0, row.to_vec(), value.map(<[u8]>::to_vec)));
            Ok(())
        }

        fn clear(&mut self) -> Result<(), StoreError> {
            self.0.clear();
            Ok(())
        }
    }

    #[derive(Clone, Debug)]
    enum Act {
        Put(Vec<u8>, Option<Vec<u8>>),
        Get(Vec<u8>),
        GetMany(Vec<Vec<u8>>),
        Scan(Vec<u8>, usize),
        /// Writes that are taken back.
        Undo(Vec<(Vec<u8>, Option<Vec<u8>>)>),
        Drop,
        Commit,
        Flush,
    }

    fn row() -> impl Strategy<Value = Vec<u8>> {
        vec(1_u8..4, 1..4)
    }

    fn value() -> impl Strategy<Value = Option<Vec<u8>>> {
        proptest::option::of(vec(any::<u8>(), 0..4))
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            4 => (row(), value()).prop_map(|(row, value)| Act::Put(row, value)),
            3 => row().prop_map(Act::Get),
            3 => vec(row(), 0..9).prop_map(Act::GetMany),
            2 => (row(), 1_usize..9).prop_map(|(from, limit)| Act::Scan(from, limit)),
            1 => vec((row(), value()), 0..9).prop_map(Act::Undo),
            1 => Just(Act::Drop),
            1 => Just(Act::Commit),
            1 => Just(Act::Flush),
        ]
    }

    fn put(rows: &mut BTreeMap<Vec<u8>, Vec<u8>>, row: Vec<u8>, value: Option<Vec<u8>>) {
        match value {
            Some(value) => rows.insert(row, value),
            None => rows.remove(&row),
        };
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn rows_are_those_of_a_plain_map(
            stored in prop_oneof![Just(BTreeMap::new()), btree_map(row(), vec(any::<u8>(), 0..4), 0..12)],
            acts in vec(act(), 0..60),
            budget in prop_oneof![Just(0_usize), 1_usize..2_000],
            is_in_memory in any::<bool>(),
        ) {
            let map = Map(stored.clone());
            let mut layers = Layers::new(if is_in_memory { Box::new(Unordered(map)) } else { Box::new(map) });
            layers.bound(budget);
            let (mut now, mut committed) = (stored.clone(), stored);
            for act in acts {
                match act {
                    Act::Put(row, value) => {
                        layers.put(&row, value.as_deref(), Access::Scanned);
                        put(&mut now, row, value);
                    }
                    Act::Get(row) => prop_assert_eq!(layers.get(&row).unwrap(), now.get(&row).map(Vec::as_slice)),
                    Act::GetMany(rows) => {
                        let (mut wanted, mut found) = (Blobs::default(), Vec::new());
                        rows.iter().for_each(|row| wanted.push(Some(row)));
                        layers.get_many(&wanted, &mut |value| found.push(value.map(<[u8]>::to_vec))).unwrap();
                        prop_assert_eq!(found, rows.iter().map(|row| now.get(row).cloned()).collect::<Vec<_>>());
                    }
                    Act::Scan(from, limit) => {
                        let mut found = Vec::new();
                        layers.scan(&from, &mut |row, value| {
                            found.push((row.to_vec(), value.to_vec()));
                            found.len() < limit
                        }).unwrap();
                        let expected = now.range(from..).take(limit).map(|(row, value)| (row.clone(), value.clone()));
                        prop_assert_eq!(found, expected.collect::<Vec<_>>());
                    }
                    Act::Undo(writes) => {
                        let mark = layers.mark();
                        writes.iter().for_each(|(row, value)| layers.put(row, value.as_deref(), Access::Scanned));
                        layers.undo(mark);
                    }
                    Act::Drop => {
                        layers.drop_epoch();
                        now.clone_from(&committed);
                    }
                    Act::Commit => {
                        layers.apply(Vec::new(), Timestamp(0)).unwrap();
                        committed.clone_from(&now);
                    }
                    Act::Flush => layers.flush().unwrap(),
                }
            }
            layers.drop_epoch();
            layers.flush().unwrap();
            let mut rest = BTreeMap::new();
            layers.into_store().scan(b"", &mut |row, value| rest.insert(row.to_vec(), value.to_vec()).is_none()).unwrap();
            prop_assert_eq!(rest, committed);
        }
    }

    #[test]
    fn no_more_is_kept_than_its_budget() {
        let mut layers = Layers::new(Box::new(Map::default()));
        layers.bound(30_000);
        let lag = Lag { changes: u64::MAX, age: std::time::Duration::from_hours(1) };
        for number in 0..10_000 {
            layers.put(&numbered(number), Some(&[7; 20]), Access::Point);
            layers.apply(Vec::new(), Timestamp(0)).unwrap();
            if layers.is_due(lag, Timestamp(0)) {
                layers.flush().unwrap();
            }
            assert_eq!(layers.get(&numbered(number / 2)).unwrap(), Some(&[7; 20][..]));
            assert!(layers.cache.size() < 31_000, "{}", layers.cache.size());
        }
    }

    fn numbered(number: u32) -> [u8; 5] {
        let [a, b, c, d] = number.to_be_bytes();
        [Kind::Value as u8, a, b, c, d]
    }

    /// A store that is written to, and read only by order.
    #[derive(Debug, Default)]
    struct Unread(Map);

    impl Store for Unread {
        fn get(&self, row: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
            Err(StoreError::Broken(format!("read {row:?}")))
        }

        fn get_many(&self, rows: &[&[u8]], _: &mut port::Found<'_>) -> Result<(), StoreError> {
            Err(StoreError::Broken(format!("read {rows:?}")))
        }

        fn scan(&self, from: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StoreError> {
            self.0.scan(from, visit)
        }

        fn apply(&mut self, writes: Arc<Writes>) -> Result<(), StoreError> {
            self.0.apply(writes)
        }

        fn clear(&mut self) -> Result<(), StoreError> {
            self.0.clear()
        }
    }

    #[test]
    fn new_rows_are_not_looked_for_in_a_store_that_was_empty() {
        let mut layers = Layers::new(Box::new(Unread::default()));
        layers.bound(300_000);
        for round in 0_u8..4 {
            for number in 0..1_000 {
                let is = round.checked_sub(1).map(|before| [before; 8]);
                assert_eq!(layers.get(&numbered(number)).unwrap(), is.as_ref().map(<[u8; 8]>::as_slice));
                layers.put(&numbered(number), Some(&[round; 8]), Access::Point);
            }
            layers.changes(&|_| true, &mut |_, was, is| assert_eq!((was, is), (round > 0, true))).unwrap();
            layers.apply(Vec::new(), Timestamp(0)).unwrap();
            layers.flush().unwrap();
        }
        layers.load(&[], false).unwrap();
        assert!(layers.get(&numbered(0)).is_err());
    }
}
