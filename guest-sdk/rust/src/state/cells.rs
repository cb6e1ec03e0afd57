use crate::Result;
use crate::bindings::operator::wasmill::plugin::types::{Blobs, KeyedOutcome, Slots};
use crate::record::bytes;

/// The prefetched states of a call: a cell for each slot and state. They are read in place; what is written is gathered
/// beside them, once for each cell.
#[derive(Debug)]
pub(crate) struct Cells<'a> {
    values: &'a Blobs,
    states: usize,
    /// Index in `spans` of each cell's new value, where it has one.
    change_of: Vec<Option<usize>>,
    changed: Vec<u32>,
    spans: Vec<i32>,
    data: Vec<u8>,
}

impl<'a> Cells<'a> {
    pub(crate) fn new(slots: &'a Slots, states: usize) -> Self {
        let change_of = vec![None; slots.values.spans.len() / 2];
        Self { values: &slots.values, states, change_of, changed: Vec::new(), spans: Vec::new(), data: Vec::new() }
    }

    pub(crate) fn get(&self, slot: usize, state: usize) -> Option<&[u8]> {
        let cell = slot * self.states + state;
        let (data, spans, at) = match self.change_of.get(cell)? {
            Some(change) => (&self.data, &self.spans, *change),
            None => (&self.values.data, &self.values.spans, 2 * cell),
        };
        bytes(data, *spans.get(at)?, *spans.get(at + 1)?)
    }

    /// Writes what `write` appends. Where it fails the cell stays as it was.
    pub(crate) fn put(
        &mut self,
        slot: usize,
        state: usize,
        write: impl FnOnce(&mut Vec<u8>) -> Result<()>,
    ) -> Result<()> {
        let start = self.data.len();
        if let Err(error) = write(&mut self.data) {
            self.data.truncate(start);
            return Err(error);
        }
        let length = self.data.len() - start;
        let Some(span) = self.span(slot, state) else { return Ok(()) };
        if usize::try_from(span[1]).is_ok_and(|old| length <= old) {
            let old = span[0] as usize;
            span[1] = length as i32;
            self.data.copy_within(start.., old);
            self.data.truncate(start);
        } else {
            *span = [start as i32, length as i32];
        }
        Ok(())
    }

    pub(crate) fn delete(&mut self, slot: usize, state: usize) {
        if let Some(span) = self.span(slot, state) {
            *span = [0, -1];
        }
    }

    /// The span of the cell's new value.
    fn span(&mut self, slot: usize, state: usize) -> Option<&mut [i32; 2]> {
        let cell = slot * self.states + state;
        let change = *self.change_of.get_mut(cell)?.get_or_insert_with(|| {
            self.changed.push(cell as u32);
            self.spans.extend([0, -1]);
            self.spans.len() - 2
        });
        self.spans.get_mut(change..)?.first_chunk_mut()
    }

    pub(crate) fn finish(self) -> KeyedOutcome {
        let values = Blobs { spans: self.spans, data: self.data };
        KeyedOutcome { failures: Vec::new(), cells: self.changed, values }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    fn put(cells: &mut Cells<'_>, slot: usize, state: usize, value: &[u8]) {
        let written = cells.put(slot, state, |bytes| {
            bytes.extend(value);
            Ok(())
        });
        assert_eq!(written, Ok(()));
    }

    #[test]
    fn a_changed_cell_is_read_back_and_reported_once() {
        let values = Blobs { spans: vec![0, 2, 0, -1, 2, 1, 0, -1], data: b"abc".to_vec() };
        let slots = Slots { slot_of: vec![0, 1], values };
        let mut cells = Cells::new(&slots, 2);
        assert_eq!(cells.get(0, 0), Some(&b"ab"[..]));
        assert_eq!(cells.get(0, 1), None);
        for value in [&b"long"[..], b"s", b"longer still", b"", b"last"] {
            put(&mut cells, 1, 0, value);
            assert_eq!(cells.get(1, 0), Some(value));
        }
        put(&mut cells, 0, 1, b"new");
        cells.delete(0, 0);
        assert_eq!(cells.get(0, 0), None);
        let outcome = cells.finish();
        assert_eq!(outcome.cells, [2, 1, 0]);
        let spans = outcome.values.spans.chunks(2);
        let values: Vec<_> = spans.map(|span| bytes(&outcome.values.data, span[0], span[1])).collect();
        assert_eq!(values, [Some(&b"last"[..]), Some(b"new"), None]);
    }

    #[test]
    fn a_write_that_fails_changes_nothing() {
        let values = Blobs { spans: vec![0, 1], data: b"a".to_vec() };
        let slots = Slots { slot_of: vec![0], values };
        let mut cells = Cells::new(&slots, 1);
        let failed = cells.put(0, 0, |bytes| {
            bytes.extend(b"half");
            Err(Error::failure("no"))
        });
        assert!(failed.is_err());
        assert_eq!(cells.get(0, 0), Some(&b"a"[..]));
        assert!(cells.finish().cells.is_empty());
    }
}
