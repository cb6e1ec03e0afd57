//! Rows found by their bytes, and in order once somebody asks for that.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use foldhash::fast::RandomState;
use smallvec::SmallVec;

/// A row's name, in the table itself up to as many bytes.
type Name = SmallVec<[u8; 24]>;

/// The same of a value.
type Value = SmallVec<[u8; 16]>;

/// Rows, divided by their first byte: as a rule, those that begin with one are scanned, or are not.
#[derive(Debug, Default)]
pub(super) struct Rows(BTreeMap<u8, Part>);

/// The rows that begin with a byte. The names are in order only where they were asked for like that: with many rows, a
/// tree of them is slow to look things up in.
#[derive(Debug, Default)]
struct Part {
    values: HashMap<Name, Value, RandomState>,
    order: Option<BTreeSet<Name>>,
}

impl Rows {
    /// The value of a row.
    pub(super) fn get(&self, row: &[u8]) -> Option<&[u8]> {
        let value = self.0.get(row.first()?)?.values.get(row)?;
        Some(value)
    }

    /// Writes a row, which has a byte at least; no value deletes it.
    pub(super) fn put(&mut self, row: &[u8], value: Option<&[u8]>) {
        let Some(&first) = row.first() else { return };
        let part = self.0.entry(first).or_default();
        match value {
            Some(value) => part.insert(row, value),
            None => part.remove(row),
        }
    }

    /// Hands over rows in order, from the first at or behind `from`, until `visit` says `false`.
    pub(super) fn scan(&mut self, from: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) {
        let first = from.first().copied().unwrap_or_default();
        for part in self.0.range_mut(first..).map(|(_, part)| part) {
            if !part.scan(from, visit) {
                break;
            }
        }
    }
}

impl Part {
    fn insert(&mut self, row: &[u8], value: &[u8]) {
        if let Some(there) = self.values.get_mut(row) {
            there.clear();
            there.extend_from_slice(value);
            return;
        }
        if let Some(order) = &mut self.order {
            order.insert(row.into());
        }
        self.values.insert(row.into(), value.into());
    }

    fn remove(&mut self, row: &[u8]) {
        self.values.remove(row);
        if let Some(order) = &mut self.order {
            order.remove(row);
        }
    }

    /// Answers whether `visit` wants more.
    fn scan(&mut self, from: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> bool {
        let Self { values, order } = self;
        let order = order.get_or_insert_with(|| values.keys().cloned().collect());
        let mut names = order.range::<[u8], _>((Bound::Included(from), Bound::Unbounded));
        names.all(|name| values.get(name).is_none_or(|value| visit(name, value)))
    }
}
