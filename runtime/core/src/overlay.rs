//! Rows written in the open epoch, over those of the store.

use std::collections::BTreeMap;
use std::mem;
use std::ops::Bound;

use crate::port::{Store, StoreError, Write};

/// Rows written since the last commit. What a call or a turn wrote can be taken back until it is settled.
#[derive(Debug, Default)]
pub struct Overlay {
    rows: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    undo: Vec<(Vec<u8>, Before)>,
    bytes: usize,
}

/// What was written to a row before: `None` if nothing was, `Some(None)` if it was deleted.
type Before = Option<Option<Vec<u8>>>;

/// A moment to which an overlay can be taken back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Mark {
    undo: usize,
    bytes: usize,
}

impl Overlay {
    /// What was written to a row: `None` if nothing was, `Some(None)` if it was deleted.
    pub fn get(&self, row: &[u8]) -> Option<Option<&[u8]>> {
        self.rows.get(row).map(Option::as_deref)
    }

    /// Writes a row; no value deletes it.
    pub fn put(&mut self, row: Vec<u8>, value: Option<Vec<u8>>) {
        self.bytes += row.len() + value.as_ref().map_or(0, Vec::len);
        let before = self.rows.insert(row.clone(), value);
        self.undo.push((row, before));
    }

    /// Now.
    pub fn mark(&self) -> Mark {
        Mark { undo: self.undo.len(), bytes: self.bytes }
    }

    /// Takes back what was written since a mark.
    pub fn undo(&mut self, mark: Mark) {
        self.bytes = mark.bytes;
        for (row, before) in self.undo.drain(mark.undo..).rev() {
            match before {
                Some(value) => self.rows.insert(row, value),
                None => self.rows.remove(&row),
            };
        }
    }

    /// Nothing written so far will be taken back, but by dropping all of it.
    pub fn settle(&mut self) {
        self.undo.clear();
    }

    /// Bytes written, rows written twice counted twice.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows that were written, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.rows.iter().map(|(row, value)| (row.as_slice(), value.as_deref()))
    }

    /// Takes all rows out, in order.
    pub fn take(&mut self) -> Vec<Write> {
        self.undo.clear();
        self.bytes = 0;
        mem::take(&mut self.rows).into_iter().collect()
    }

    /// Hands over the rows of the store as this overlay changes them, in order, from the first at or behind `from`,
    /// until `visit` says `false`.
    pub fn scan(
        &self,
        store: &dyn Store,
        from: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        let mut written = self.rows.range::<[u8], _>((Bound::Included(from), Bound::Unbounded)).peekable();
        let mut on = true;
        store.scan(from, &mut |row, value| {
            while let Some((changed, new)) = written.next_if(|(changed, _)| changed.as_slice() <= row) {
                if let Some(new) = new {
                    on = on && visit(changed, new);
                }
                if changed.as_slice() == row || !on {
                    return on;
                }
            }
            on = on && visit(row, value);
            on
        })?;
        for (row, value) in written {
            if let Some(value) = value {
                on = on && visit(row, value);
            }
            if !on {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A store in memory.
    #[derive(Debug, Default)]
    pub(crate) struct Map(pub(crate) BTreeMap<Vec<u8>, Vec<u8>>);

    impl Store for Map {
        fn get(&self, row: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
            Ok(self.0.get(row).cloned())
        }

        fn scan(&self, from: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StoreError> {
            let _ = self
                .0
                .range::<[u8], _>((Bound::Included(from), Bound::Unbounded))
                .all(|(row, value)| visit(row, value));
            Ok(())
        }

        fn apply(&mut self, writes: Vec<Write>) -> Result<(), StoreError> {
            for (row, value) in writes {
                match value {
                    Some(value) => self.0.insert(row, value),
                    None => self.0.remove(&row),
                };
            }
            Ok(())
        }

        fn clear(&mut self) -> Result<(), StoreError> {
            self.0.clear();
            Ok(())
        }
    }

    fn scanned(overlay: &Overlay, store: &Map, from: &[u8], limit: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut rows = Vec::new();
        let mut visit = |row: &[u8], value: &[u8]| {
            rows.push((row.to_vec(), value.to_vec()));
            rows.len() < limit
        };
        assert_eq!(overlay.scan(store, from, &mut visit), Ok(()));
        rows
    }

    fn row() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(0_u8..3, 0..3)
    }

    proptest! {
        #[test]
        fn a_scan_sees_the_store_as_the_overlay_changes_it(
            stored in proptest::collection::btree_map(row(), row(), 0..12),
            written in proptest::collection::vec((row(), proptest::option::of(row())), 0..12),
            from in row(),
            limit in 1_usize..9,
        ) {
            let mut overlay = Overlay::default();
            let store = Map(stored.clone());
            let mut expected = Map(stored);
            for (row, value) in written {
                overlay.put(row.clone(), value.clone());
                expected.apply(vec![(row, value)]).ok();
            }
            let expected: Vec<_> = expected.0.range(from.clone()..).take(limit).map(|(r, v)| (r.clone(), v.clone())).collect();
            prop_assert_eq!(scanned(&overlay, &store, &from, limit), expected);
        }

        #[test]
        fn what_is_undone_was_never_written(
            kept in proptest::collection::vec((row(), proptest::option::of(row())), 0..9),
            undone in proptest::collection::vec((row(), proptest::option::of(row())), 0..9),
        ) {
            let mut overlay = Overlay::default();
            kept.into_iter().for_each(|(row, value)| overlay.put(row, value));
            let before = overlay.rows.clone();
            let mark = overlay.mark();
            undone.into_iter().for_each(|(row, value)| overlay.put(row, value));
            overlay.undo(mark);
            prop_assert_eq!(&overlay.rows, &before);
        }
    }
}
