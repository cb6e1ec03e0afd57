//! The index of what expires, written anew for rows that came from a changelog.

use super::State;
use crate::commit::Slice;
use crate::port::StoreError;
use crate::record::Timestamp;
use crate::row::{Kind, Value};

/// How far the index of what expires is written.
#[derive(Debug, Default)]
pub struct Indexing {
    /// The state that it stands at.
    state: usize,
    /// The row of it that is looked at next; the first, if there is none.
    from: Vec<u8>,
}

impl State {
    /// Goes on with the index of what expires, for rows of the store that came from a changelog: a slice of the rows is
    /// looked at, and what is due of them goes to the store. Answers whether it is whole. It may be begun again.
    pub fn index_expiry(&mut self, at: &mut Indexing, slice: &mut Slice) -> Result<bool, StoreError> {
        let states = self.states.clone();
        while let Some(kept) = states.get(at.state) {
            let of = [Kind::Value as u8, kept.number];
            if kept.declaration.ttl.is_some() && !self.index_some(&of, &mut at.from, slice)? {
                return Ok(false);
            }
            *at = Indexing { state: at.state + 1, from: Vec::new() };
        }
        Ok(true)
    }

    /// Indexes rows of a state, from one on, which becomes the one to go on from. Answers whether these were all.
    fn index_some(&mut self, of: &[u8], from: &mut Vec<u8>, slice: &mut Slice) -> Result<bool, StoreError> {
        let mut found = Vec::new();
        let is_whole = self.scan_some(of, from, slice, &|row| row.starts_with(of), &mut |row, stored| {
            let written = Value::decode(stored).and_then(|value| value.written);
            found.extend(written.and_then(|written| Some((row.to_vec(), self.ends(row, written)?))));
        })?;
        if !found.is_empty() {
            found.iter().for_each(|(row, ends)| self.await_expiry(row, *ends));
            self.settle();
            self.apply(Vec::new(), Timestamp::NONE)?;
            self.flush()?;
        }
        Ok(is_whole)
    }

    /// Goes through a slice of those rows behind `first` that `of` takes, from one on, which becomes the one to go on from; none is the
    /// first. Answers whether these were all.
    pub(super) fn scan_some(
        &self,
        first: &[u8],
        from: &mut Vec<u8>,
        slice: &mut Slice,
        of: &dyn Fn(&[u8]) -> bool,
        visit: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<bool, StoreError> {
        let at = std::mem::take(from);
        self.rows.scan(if at.is_empty() { first } else { &at }, &mut |row, value| {
            if !of(row) {
                return false;
            }
            let takes = slice.take(row.len() + value.len());
            if takes {
                visit(row, value);
            } else {
                *from = row.to_vec();
            }
            takes
        })?;
        Ok(from.is_empty())
    }
}
