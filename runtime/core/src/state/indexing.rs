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
        let (mut found, mut next) = (Vec::new(), None);
        let first = if from.is_empty() { of } else { from.as_slice() };
        self.rows.scan(first, &mut |row, stored| {
            if !row.starts_with(of) {
                return false;
            }
            if !slice.take(row.len() + stored.len()) {
                next = Some(row.to_vec());
                return false;
            }
            let written = Value::decode(stored).and_then(|value| value.written);
            found.extend(written.and_then(|written| Some((row.to_vec(), self.ends(row, written)?))));
            true
        })?;
        if !found.is_empty() {
            found.iter().for_each(|(row, ends)| self.await_expiry(row, *ends));
            self.settle();
            self.apply(Vec::new(), Timestamp::NONE)?;
            self.flush()?;
        }
        let is_whole = next.is_none();
        *from = next.unwrap_or_default();
        Ok(is_whole)
    }
}
