//! What goes to a store at once: rows and their new values in one piece of memory, in the order of the rows.

/// Rows, each once, and their new values, in the order of the rows; no value deletes a row. A row has a byte at least.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Writes {
    entries: Vec<Entry>,
    bytes: Vec<u8>,
}

/// Where a row is, with its value behind it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Entry {
    at: usize,
    row: u32,
    value: Option<u32>,
}

/// A row and its new value.
pub type Pair<'a> = (&'a [u8], Option<&'a [u8]>);

impl Writes {
    /// Puts writes in order. Of writes to one row the last counts.
    pub fn of<'a>(writes: impl Iterator<Item = Pair<'a>>) -> Self {
        let mut sorted: Vec<_> = writes.collect();
        sorted.sort_by_key(|(row, _)| *row);
        let size = |(row, value): &Pair<'_>| row.len() + value.map_or(0, <[u8]>::len);
        let mut made = Self {
            entries: Vec::with_capacity(sorted.len()),
            bytes: Vec::with_capacity(sorted.iter().map(size).sum()),
        };
        let mut sorted = sorted.into_iter().peekable();
        while let Some((row, value)) = sorted.next() {
            if sorted.peek().is_none_or(|(next, _)| *next != row) {
                made.push(row, value);
            }
        }
        made
    }

    fn push(&mut self, row: &[u8], value: Option<&[u8]>) {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(row);
        self.bytes.extend_from_slice(value.unwrap_or_default());
        self.entries.push(Entry { at, row: row.len() as u32, value: value.map(|value| value.len() as u32) });
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Pair<'_>> {
        self.entries.iter().map(|entry| self.pair(entry))
    }

    /// Those from the first at or behind a row, in order.
    pub fn range(&self, from: &[u8]) -> impl ExactSizeIterator<Item = Pair<'_>> {
        let first = self.entries.partition_point(|entry| self.pair(entry).0 < from);
        self.entries.get(first..).unwrap_or_default().iter().map(|entry| self.pair(entry))
    }

    /// What is written to a row, if anything is.
    pub fn get(&self, row: &[u8]) -> Option<Pair<'_>> {
        let found = self.entries.binary_search_by(|entry| self.pair(entry).0.cmp(row)).ok()?;
        self.entries.get(found).map(|entry| self.pair(entry))
    }

    fn pair(&self, entry: &Entry) -> Pair<'_> {
        let behind = entry.at + entry.row as usize;
        let slice = |from: usize, length: u32| self.bytes.get(from..from + length as usize).unwrap_or_default();
        (slice(entry.at, entry.row), entry.value.map(|length| slice(behind, length)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn of_writes_to_one_row_the_last_counts(
            writes in vec((vec(0_u8..3, 1..4), proptest::option::of(vec(any::<u8>(), 0..4))), 0..40),
            from in vec(0_u8..3, 0..4),
        ) {
            let map: BTreeMap<_, _> = writes.iter().cloned().collect();
            let made = Writes::of(writes.iter().map(|(row, value)| (row.as_slice(), value.as_deref())));
            let pairs = || map.iter().map(|(row, value)| (row.as_slice(), value.as_deref()));
            prop_assert_eq!(made.len(), map.len());
            prop_assert!(made.iter().eq(pairs()));
            prop_assert!(made.range(&from).eq(pairs().skip_while(|(row, _)| *row < from.as_slice())));
            prop_assert_eq!(made.get(&from), pairs().find(|(row, _)| *row == from.as_slice()));
        }
    }
}
