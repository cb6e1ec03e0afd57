//! All that one operator remembers on one task: values, timers, and what is due when.

use std::sync::Arc;

use crate::batch::Blobs;
use crate::operator::{Domain, StateDeclaration, StateKind};
use crate::overlay::{self, Overlay};
use crate::port::{Store, StoreError, Write};
use crate::record::Timestamp;
use crate::row::{self, Due, Indexed, Kind, Value};

/// The earliest time there is: whether anything is due must be looked up.
const UNKNOWN: Timestamp = Timestamp(i64::MIN + 1);

/// Later than anything is due.
const NEVER: Timestamp = Timestamp(i64::MAX);

/// A declared state and the number that its rows carry.
#[derive(Clone, Debug)]
pub struct Kept {
    /// As the operator declares it.
    pub declaration: StateDeclaration,
    /// The second byte of its rows.
    pub number: u8,
}

/// A timer that came due, or a row whose time to live did.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fired {
    /// The time that it was set for.
    pub at: Timestamp,
    /// The timer's key, or the row that expires.
    pub key: Vec<u8>,
    /// The timer's name.
    pub name: Vec<u8>,
}

/// The rows of an operator on a task: those of its store under those of the open epoch.
#[derive(Debug)]
pub struct State {
    store: Box<dyn Store>,
    overlay: Overlay,
    states: Arc<[Kept]>,
    bounds: [Timestamp; 3],
}

/// A moment to which a state can be taken back.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    overlay: overlay::Mark,
    bounds: [Timestamp; 3],
}

impl State {
    /// The state over a store's rows.
    pub fn new(store: Box<dyn Store>, states: Arc<[Kept]>) -> Self {
        Self { store, overlay: Overlay::default(), states, bounds: [UNKNOWN; 3] }
    }

    /// The declared states.
    pub fn kept(&self) -> &[Kept] {
        &self.states
    }

    /// What the open epoch wrote.
    pub fn overlay(&self) -> &Overlay {
        &self.overlay
    }

    /// The rows at rest.
    pub fn store(&mut self) -> &mut dyn Store {
        self.store.as_mut()
    }

    /// The rows at rest, without those of the open epoch.
    pub fn into_store(self) -> Box<dyn Store> {
        self.store
    }

    /// Writes the index of what expires anew, for rows that came from a changelog.
    pub fn index_expiry(&mut self) -> Result<(), StoreError> {
        let limited: Vec<_> = self.states.iter().filter(|kept| kept.declaration.ttl.is_some()).cloned().collect();
        for kept in limited {
            let from = [Kind::Value as u8, kept.number];
            let mut found = Vec::new();
            self.overlay.scan(self.store.as_ref(), &from, &mut |row, stored| {
                if !row.starts_with(&from) {
                    return false;
                }
                found.extend(self.ends(row, stored).map(|ends| (row.to_vec(), ends)));
                true
            })?;
            found.iter().for_each(|(row, ends)| self.await_expiry(row, *ends));
        }
        self.apply([])
    }

    /// Now.
    pub fn mark(&self) -> Mark {
        Mark { overlay: self.overlay.mark(), bounds: self.bounds }
    }

    /// Takes back what was written since a mark.
    pub fn undo(&mut self, mark: Mark) {
        self.overlay.undo(mark.overlay);
        self.bounds = mark.bounds;
    }

    /// What was written so far stays, unless the epoch is dropped.
    pub fn settle(&mut self) {
        self.overlay.settle();
    }

    /// Drops what the open epoch wrote.
    pub fn drop_epoch(&mut self) {
        self.overlay.take();
        self.bounds = [UNKNOWN; 3];
    }

    /// Moves what the open epoch wrote to the store, in one batch with some rows more.
    pub fn apply(&mut self, more: impl IntoIterator<Item = Write>) -> Result<(), StoreError> {
        let mut writes = self.overlay.take();
        writes.extend(more);
        self.store.apply(writes)
    }

    /// Reads a row.
    pub fn read(&self, row: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.overlay.get(row) {
            Some(value) => Ok(value.map(<[u8]>::to_vec)),
            None => self.store.get(row),
        }
    }

    /// Writes a row; no value deletes it.
    pub fn write(&mut self, row: Vec<u8>, value: Option<Vec<u8>>) {
        self.overlay.put(row, value);
    }

    /// The value of a state, its encoding byte first; `None` where there is none or its time is over.
    pub fn value(
        &self,
        kept: &Kept,
        key: &[u8],
        field: &[u8],
        watermark: Timestamp,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let stored = self.read(&row::value(kept.number, key, field))?;
        Ok(stored.and_then(|stored| live(kept, &stored, watermark).map(<[u8]>::to_vec)))
    }

    /// Writes a value, its encoding byte first, or deletes it. `written` is where its time to live begins.
    pub fn put(
        &mut self,
        kept: &Kept,
        key: &[u8],
        field: &[u8],
        bytes: Option<&[u8]>,
        written: Timestamp,
    ) -> Result<(), StoreError> {
        let row = row::value(kept.number, key, field);
        let Some(bytes) = bytes else {
            self.write(row, None);
            return Ok(());
        };
        let Some(ttl) = kept.declaration.ttl else {
            self.write(row, Some(Value { written: None, bytes }.encode()));
            return Ok(());
        };
        if self.read(&row)?.is_none() {
            self.await_expiry(&row, expiry(written, ttl));
        }
        self.write(row, Some(Value { written: Some(written), bytes }.encode()));
        Ok(())
    }

    /// Fields and values of a map, in order of the fields, from `start` (inclusive) to `end` (exclusive).
    pub fn scan(
        &self,
        kept: &Kept,
        key: &[u8],
        range: &Range<'_>,
        watermark: Timestamp,
    ) -> Result<Vec<Field>, StoreError> {
        let prefix = row::value(kept.number, key, b"");
        let from = row::value(kept.number, key, range.start);
        let mut found = Vec::new();
        self.overlay.scan(self.store.as_ref(), &from, &mut |row, value| {
            let Some(field) = row.strip_prefix(prefix.as_slice()) else { return false };
            if range.end.is_some_and(|end| field >= end) {
                return false;
            }
            if let Some(value) = live(kept, value, watermark) {
                found.push((field.to_vec(), value.to_vec()));
            }
            range.reverse || found.len() < range.limit
        })?;
        if range.reverse {
            found.reverse();
        }
        found.truncate(range.limit);
        Ok(found)
    }

    /// Deletes the fields of a range.
    pub fn delete_range(&mut self, kept: &Kept, key: &[u8], range: &Range<'_>) -> Result<(), StoreError> {
        for (field, _) in self.scan(kept, key, range, Timestamp::NONE)? {
            self.write(row::value(kept.number, key, &field), None);
        }
        Ok(())
    }

    /// Sets a timer, or moves it.
    pub fn set_timer(&mut self, domain: Domain, key: &[u8], name: &[u8], at: Timestamp) -> Result<(), StoreError> {
        self.cancel_timer(domain, key, name)?;
        self.write(row::timer(domain, key, name), Some(row::time(at).to_vec()));
        self.await_due(domain.into(), at, key, name);
        Ok(())
    }

    /// Cancels a timer, if it is set.
    pub fn cancel_timer(&mut self, domain: Domain, key: &[u8], name: &[u8]) -> Result<(), StoreError> {
        let row = row::timer(domain, key, name);
        if let Some(at) = self.read(&row)?.and_then(|at| row::parse_time(&at)) {
            self.write(row::index(domain.into(), at, key, name), None);
            self.write(row, None);
        }
        Ok(())
    }

    fn await_due(&mut self, due: Due, at: Timestamp, key: &[u8], name: &[u8]) {
        self.write(row::index(due, at, key, name), Some(Vec::new()));
        let bound = &mut self.bounds[due as usize];
        *bound = (*bound).min(at);
    }

    fn await_expiry(&mut self, row: &[u8], at: Timestamp) {
        self.await_due(Due::Expiry, at, row, b"");
    }

    /// A time before which nothing is due; `None` if nothing is due ever.
    pub fn earliest(&mut self, due: Due) -> Result<Option<Timestamp>, StoreError> {
        if self.bounds[due as usize] == UNKNOWN {
            let first = self.indexed(due, NEVER, 1)?;
            self.bounds[due as usize] = first.first().map_or(NEVER, |first| first.at);
        }
        let bound = self.bounds[due as usize];
        Ok((bound != NEVER).then_some(bound))
    }

    /// What is due at `now`, in order of time, key and name, at most `limit`. Each must be taken or expired next.
    pub fn due(&mut self, due: Due, now: Timestamp, limit: usize) -> Result<Vec<Fired>, StoreError> {
        if self.bounds[due as usize] > now {
            return Ok(Vec::new());
        }
        let mut fired = self.indexed(due, NEVER, limit + 1)?;
        let beyond = fired.iter().position(|fired| fired.at > now).unwrap_or(fired.len()).min(limit);
        // The caller takes these, so what follows them is the earliest.
        self.bounds[due as usize] = fired.get(beyond).map_or(NEVER, |next| next.at);
        fired.truncate(beyond);
        Ok(fired)
    }

    fn indexed(&self, due: Due, until: Timestamp, limit: usize) -> Result<Vec<Fired>, StoreError> {
        let mut found = Vec::new();
        let from = row::index_from(due, self.bounds[due as usize]);
        self.overlay.scan(self.store.as_ref(), &from, &mut |row, _| {
            let Some(Indexed { due: of, at, key, name }) = row::parse_index(row) else { return false };
            if of != due || at > until {
                return false;
            }
            found.push(Fired { at, key: key.to_vec(), name: name.to_vec() });
            found.len() < limit
        })?;
        Ok(found)
    }

    /// Takes a timer that came due off the rows.
    pub fn take_timer(&mut self, domain: Domain, fired: &Fired) {
        self.write(row::index(domain.into(), fired.at, &fired.key, &fired.name), None);
        self.write(row::timer(domain, &fired.key, &fired.name), None);
    }

    /// Deletes a row whose time to live is over at the watermark, or waits on if it was written since.
    pub fn expire(&mut self, fired: &Fired, watermark: Timestamp) -> Result<(), StoreError> {
        self.write(row::index(Due::Expiry, fired.at, &fired.key, b""), None);
        let Some(stored) = self.read(&fired.key)? else { return Ok(()) };
        let Some(ends) = self.ends(&fired.key, &stored) else { return Ok(()) };
        if ends <= watermark {
            self.write(fired.key.clone(), None);
        } else {
            self.await_expiry(&fired.key, ends);
        }
        Ok(())
    }

    fn ends(&self, row: &[u8], stored: &[u8]) -> Option<Timestamp> {
        let (number, _, _) = row::parse_keyed(row)?;
        let kept = self.states.iter().find(|kept| kept.number == number)?;
        Some(expiry(Value::decode(stored)?.written?, kept.declaration.ttl?))
    }

    /// What a row of the changelog means for the store: the row itself, and for a timer its place in the index.
    pub fn derive(&self, row: &[u8], value: Option<&[u8]>) -> Result<Vec<Write>, StoreError> {
        let mut writes = vec![(row.to_vec(), value.map(<[u8]>::to_vec))];
        if let (Some(Kind::Timer), Some((domain, key, name))) = (row::kind(row), row::parse_keyed(row)) {
            let due = if domain == Due::Event as u8 { Due::Event } else { Due::Processing };
            let mut indexed = |time: Option<&[u8]>, entry: Option<Vec<u8>>| {
                if let Some(at) = time.and_then(row::parse_time) {
                    writes.push((row::index(due, at, key, name), entry));
                }
            };
            indexed(self.read(row)?.as_deref(), None);
            indexed(value, Some(Vec::new()));
        }
        Ok(writes)
    }
}

/// A field of a map and its value.
pub type Field = (Vec<u8>, Vec<u8>);

/// Which fields of a map.
#[derive(Clone, Copy, Debug)]
pub struct Range<'a> {
    /// The first, inclusive.
    pub start: &'a [u8],
    /// The end, exclusive; `None`: the last.
    pub end: Option<&'a [u8]>,
    /// How many at most.
    pub limit: usize,
    /// From the end to the start.
    pub reverse: bool,
}

impl Range<'_> {
    /// All fields.
    pub const ALL: Self = Range { start: b"", end: None, limit: usize::MAX, reverse: false };
}

fn expiry(written: Timestamp, ttl: u64) -> Timestamp {
    written.plus(i64::try_from(ttl).unwrap_or(i64::MAX))
}

/// The value in a row, unless its time is over.
fn live<'a>(kept: &Kept, stored: &'a [u8], watermark: Timestamp) -> Option<&'a [u8]> {
    let value = Value::decode(stored)?;
    let over = match (value.written, kept.declaration.ttl) {
        (Some(written), Some(ttl)) => watermark.is_some() && expiry(written, ttl) <= watermark,
        _ => false,
    };
    (!over).then_some(value.bytes)
}

/// Numbers the declared states: those known by name keep their number, new ones get the next.
pub fn number(declared: &[StateDeclaration], names: &mut Vec<String>) -> Arc<[Kept]> {
    declared
        .iter()
        .map(|declaration| {
            let known = names.iter().position(|name| *name == declaration.name);
            let number = known.unwrap_or_else(|| {
                names.push(declaration.name.clone());
                names.len() - 1
            });
            Kept { declaration: declaration.clone(), number: number as u8 }
        })
        .collect()
}

/// Byte strings as pairs in columns.
pub(crate) fn pairs(found: &[Field]) -> Blobs {
    let mut blobs = Blobs::default();
    for (field, value) in found {
        blobs.push(Some(field));
        blobs.push(Some(value));
    }
    blobs
}

impl Kept {
    /// Whether it is an ordered map.
    pub fn is_map(&self) -> bool {
        self.declaration.kind == StateKind::OrderedMap
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overlay::tests::Map;

    fn state(ttl: Option<u64>) -> (State, Kept) {
        let declaration =
            StateDeclaration { name: "s".into(), kind: StateKind::OrderedMap, prefetch: false, ttl, encoding: 1 };
        let states = number(&[declaration], &mut Vec::new());
        let kept = states[0].clone();
        (State::new(Box::new(Map::default()), states), kept)
    }

    fn due(state: &mut State, now: i64, limit: usize) -> Vec<(i64, Vec<u8>)> {
        let fired = state.due(Due::Event, Timestamp(now), limit).unwrap();
        fired.iter().for_each(|fired| state.take_timer(Domain::EventTime, fired));
        fired.into_iter().map(|fired| (fired.at.0, fired.key)).collect()
    }

    #[test]
    fn timers_fire_in_order_and_once() {
        let (mut state, _) = state(None);
        for (key, at) in [(b"b", 20), (b"a", 20), (b"c", 5), (b"d", 30)] {
            state.set_timer(Domain::EventTime, key, b"", Timestamp(at)).unwrap();
        }
        state.set_timer(Domain::EventTime, b"c", b"", Timestamp(25)).unwrap();
        assert_eq!(state.earliest(Due::Event), Ok(Some(Timestamp(20))));
        assert_eq!(due(&mut state, 4, 9), []);
        assert_eq!(due(&mut state, 25, 2), [(20, b"a".to_vec()), (20, b"b".to_vec())]);
        state.apply([]).unwrap();
        state.set_timer(Domain::EventTime, b"z", b"", Timestamp(1)).unwrap();
        assert_eq!(due(&mut state, 25, 9), [(1, b"z".to_vec()), (25, b"c".to_vec())]);
        assert_eq!(due(&mut state, 25, 9), []);
        state.cancel_timer(Domain::EventTime, b"d", b"").unwrap();
        assert_eq!(due(&mut state, 99, 9), []);
        state.apply([]).unwrap();
        let mut left = 0;
        state
            .store
            .scan(b"", &mut |_, _| {
                left += 1;
                true
            })
            .unwrap();
        assert_eq!(left, 0);
    }

    #[test]
    fn what_is_undone_is_due_again() {
        let (mut state, _) = state(None);
        state.set_timer(Domain::EventTime, b"k", b"", Timestamp(5)).unwrap();
        state.settle();
        let mark = state.mark();
        assert_eq!(due(&mut state, 9, 9).len(), 1);
        assert_eq!(state.earliest(Due::Event), Ok(None));
        state.undo(mark);
        assert_eq!(due(&mut state, 9, 9).len(), 1);
    }

    #[test]
    fn values_live_as_long_as_they_are_written() {
        let (mut state, kept) = state(Some(10));
        let read = |state: &State, at| state.value(&kept, b"k", b"f", Timestamp(at)).unwrap();
        state.put(&kept, b"k", b"f", Some(b"1"), Timestamp(0)).unwrap();
        state.put(&kept, b"k", b"f", Some(b"2"), Timestamp(5)).unwrap();
        assert_eq!(read(&state, 14), Some(b"2".to_vec()));
        assert_eq!(read(&state, 15), None);
        for (now, left) in [(10, 1), (15, 0)] {
            for fired in state.due(Due::Expiry, Timestamp(now), 9).unwrap() {
                state.expire(&fired, Timestamp(now)).unwrap();
            }
            assert_eq!(usize::from(read(&state, 0).is_some()), left);
        }
        assert_eq!(state.earliest(Due::Expiry), Ok(None));
    }

    #[test]
    fn a_map_is_scanned_both_ways() {
        let (mut state, kept) = state(None);
        for field in [b"a", b"b", b"c", b"d"] {
            state.put(&kept, b"k", field, Some(field), Timestamp(0)).unwrap();
        }
        state.put(&kept, b"kk", b"x", Some(b"x"), Timestamp(0)).unwrap();
        let fields = |state: &State, range: Range<'_>| -> Vec<u8> {
            let found = state.scan(&kept, b"k", &range, Timestamp::NONE).unwrap();
            found.into_iter().flat_map(|(field, _)| field).collect()
        };
        assert_eq!(fields(&state, Range::ALL), b"abcd");
        assert_eq!(fields(&state, Range { start: b"b", end: Some(b"d"), limit: 9, reverse: true }), b"cb");
        assert_eq!(fields(&state, Range { limit: 2, reverse: true, ..Range::ALL }), b"dc");
        state.delete_range(&kept, b"k", &Range { start: b"b", ..Range::ALL }).unwrap();
        assert_eq!(fields(&state, Range::ALL), b"a");
    }

    #[test]
    fn the_index_follows_from_the_changelog() {
        let (mut state, _) = state(None);
        let row = row::timer(Domain::EventTime, b"k", b"n");
        for at in [Some(5), Some(7)] {
            let writes = state.derive(&row, at.map(|at| row::time(Timestamp(at))).as_ref().map(|t| &t[..])).unwrap();
            state.store().apply(writes).unwrap();
        }
        assert_eq!(due(&mut state, 9, 9), [(7, b"k".to_vec())]);
    }
}
