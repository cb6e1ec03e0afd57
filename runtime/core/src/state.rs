//! All that one operator remembers on one task: values, timers, and what is due when.

mod indexing;
mod size;
mod timers;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::batch::Blobs;
use crate::cache::Lag;
use crate::layers::Layers;
use crate::operator::{StateDeclaration, StateKind};
use crate::overlay::{self, Overlay};
use crate::port::{Store, StoreError, Write};
use crate::record::Timestamp;
use crate::row::{self, Kind, Value};
use crate::table::Access;

pub use self::indexing::Indexing;
pub(crate) use self::size::Counted;
pub use self::size::Size;
pub use self::timers::Fired;

/// What a field costs beside its bytes.
const FIELD: usize = 64;

/// Fields that are deleted at a time.
const DELETED: usize = 1_024;

/// The earliest time there is: whether anything is due must be looked up.
const UNKNOWN: Timestamp = Timestamp(i64::MIN + 1);

/// A declared state and the number that its rows carry.
#[derive(Clone, Debug)]
pub struct Kept {
    /// As the operator declares it.
    pub declaration: StateDeclaration,
    /// The second byte of its rows.
    pub number: u8,
}

/// The rows of an operator on a task.
#[derive(Debug)]
pub struct State {
    rows: Layers,
    states: Arc<[Kept]>,
    /// Before which nothing is due, for each of what may be.
    bounds: [Timestamp; 3],
    /// Where rows and values are put together.
    row: Vec<u8>,
    value: Vec<u8>,
    many: Blobs,
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
        let (row, value, many) = (Vec::new(), Vec::new(), Blobs::default());
        Self { rows: Layers::new(store), states, bounds: [UNKNOWN; 3], row, value, many }
    }

    /// The declared states.
    pub fn kept(&self) -> &[Kept] {
        &self.states
    }

    /// Goes on with other declarations, numbered by name. Rows of states that are not among them stay as they are.
    pub fn declare(&mut self, states: Arc<[Kept]>) {
        self.states = states;
    }

    /// Bounds the bytes of committed rows that are kept in memory.
    pub fn bound(&mut self, budget: usize) {
        self.rows.bound(budget);
    }

    /// What the open epoch wrote.
    pub fn overlay(&self) -> &Overlay {
        self.rows.overlay()
    }

    /// The rows at rest.
    pub fn into_store(self) -> Box<dyn Store> {
        self.rows.into_store()
    }

    /// Now.
    pub fn mark(&self) -> Mark {
        Mark { overlay: self.rows.mark(), bounds: self.bounds }
    }

    /// Takes back what was written since a mark.
    pub fn undo(&mut self, mark: Mark) {
        self.rows.undo(mark.overlay);
        self.bounds = mark.bounds;
    }

    /// What was written so far stays, unless the epoch is dropped.
    pub fn settle(&mut self) {
        self.rows.settle();
    }

    /// Drops what the open epoch wrote.
    pub fn drop_epoch(&mut self) {
        self.rows.drop_epoch();
        self.bounds = [UNKNOWN; 3];
    }

    /// Deletes all rows, with the open epoch.
    pub(crate) fn delete_all(&mut self) -> Result<(), StoreError> {
        let mut from = vec![Kind::Value as u8];
        loop {
            let mut rows: Vec<Vec<u8>> = Vec::new();
            self.rows.scan(&from, &mut |row, _| {
                rows.push(row.to_vec());
                rows.len() < DELETED
            })?;
            let Some(last) = rows.last() else { break };
            from.clone_from(last);
            rows.iter().for_each(|row| self.rows.put(row, None, Access::Scanned));
        }
        self.bounds = [UNKNOWN; 3];
        Ok(())
    }

    /// What the open epoch wrote is committed. `last` goes to the store with it.
    pub fn apply(&mut self, last: Vec<Write>, now: Timestamp) -> Result<(), StoreError> {
        self.rows.apply(last, now)
    }

    /// Whether it is time to bring the store up to date.
    pub fn is_due(&self, lag: Lag, now: Timestamp) -> bool {
        self.rows.is_due(lag, now)
    }

    /// Brings the store up to date with the last commit.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        self.rows.flush()
    }

    /// Hands what was derived from a changelog to the store, and `last` with it. `anew`: the store was emptied for it.
    pub fn load(&mut self, last: &[Write], anew: bool) -> Result<(), StoreError> {
        self.rows.load(last, anew)
    }

    /// Waits until a restart of the process finds what was written behind.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        self.rows.sync()
    }

    /// Writes a row as a changelog has it; no value deletes it. With a timer its place in the index is written.
    pub fn derive(&mut self, row: &[u8], value: Option<&[u8]>) -> Result<(), StoreError> {
        if row::kind(row) == Some(Kind::Timer) {
            return self.derive_timer(row, value);
        }
        self.rows.put(row, value, self.access(row));
        Ok(())
    }

    fn access(&self, row: &[u8]) -> Access {
        let of = |number: &u8| self.states.iter().find(|kept| kept.number == *number);
        let map = || row.get(1).and_then(of).is_some_and(Kept::is_map);
        match row::kind(row) {
            Some(Kind::Index) => Access::Scanned,
            Some(Kind::Value) if map() => Access::Scanned,
            _ => Access::Point,
        }
    }

    /// The value of a state, its encoding byte first; `None` where there is none or its time is over.
    pub fn value(
        &mut self,
        state: usize,
        key: &[u8],
        field: &[u8],
        watermark: Timestamp,
    ) -> Result<Option<&[u8]>, StoreError> {
        let Some(kept) = self.states.get(state) else { return Ok(None) };
        row::put_value(&mut self.row, kept.number, key, field);
        let stored = self.rows.get(&self.row)?;
        Ok(stored.and_then(|stored| live(kept, stored, watermark)))
    }

    /// The values of some states under some keys, as [`State::value`] reads each, key by key.
    pub fn values<'k>(
        &mut self,
        states: &[u32],
        keys: impl Iterator<Item = &'k [u8]>,
        watermark: Timestamp,
        visit: &mut dyn FnMut(Option<&[u8]>),
    ) -> Result<(), StoreError> {
        let states: Vec<_> = states.iter().filter_map(|&state| self.states.get(state as usize)).collect();
        self.many.clear();
        for key in keys {
            for kept in &states {
                row::put_value(&mut self.row, kept.number, key, b"");
                self.many.push(Some(&self.row));
            }
        }
        let mut kept = states.iter().cycle();
        self.rows.get_many(&self.many, &mut |stored| {
            let kept = kept.next();
            visit(stored.and_then(|stored| live(kept?, stored, watermark)));
        })
    }

    /// Writes a value, its encoding byte first, or deletes it. `written` is where its time to live begins.
    pub fn put(
        &mut self,
        state: usize,
        key: &[u8],
        field: &[u8],
        bytes: Option<&[u8]>,
        written: Timestamp,
    ) -> Result<(), StoreError> {
        let Some(kept) = self.states.get(state) else { return Ok(()) };
        row::put_value(&mut self.row, kept.number, key, field);
        let access = if kept.is_map() { Access::Scanned } else { Access::Point };
        let Some(bytes) = bytes else {
            self.rows.put(&self.row, None, access);
            return Ok(());
        };
        let ttl = kept.declaration.ttl;
        Value { written: ttl.map(|_| written), bytes }.encode_into(&mut self.value);
        // What was written without a time to live is not in the index yet.
        let is_limited = |stored| Value::decode(stored).is_some_and(|value| value.written.is_some());
        if let Some(ttl) = ttl
            && !self.rows.get(&self.row)?.is_some_and(is_limited)
        {
            let row = std::mem::take(&mut self.row);
            self.await_expiry(&row, expiry(written, ttl));
            self.row = row;
        }
        self.rows.put(&self.row, Some(&self.value), access);
        Ok(())
    }

    /// Fields and values of a map, in order of the fields, from `start` (inclusive) to `end` (exclusive); `None` if they
    /// take more than `room` bytes.
    pub fn scan(
        &self,
        state: usize,
        key: &[u8],
        range: &Range<'_>,
        watermark: Timestamp,
        room: usize,
    ) -> Result<Option<Vec<Field>>, StoreError> {
        let Some(kept) = self.states.get(state) else { return Ok(Some(Vec::new())) };
        if range.limit == 0 {
            return Ok(Some(Vec::new()));
        }
        let prefix = row::value(kept.number, key, b"");
        let from = row::value(kept.number, key, range.start);
        let (mut found, mut bytes) = (VecDeque::new(), 0);
        let size = |(field, value): &Field| field.len() + value.len() + FIELD;
        self.rows.scan(&from, &mut |row, value| {
            let Some(field) = row.strip_prefix(prefix.as_slice()) else { return false };
            if range.end.is_some_and(|end| field >= end) {
                return false;
            }
            if let Some(value) = live(kept, value, watermark) {
                if found.len() == range.limit {
                    bytes -= found.pop_front().as_ref().map_or(0, size);
                }
                let pair = (field.to_vec(), value.to_vec());
                bytes += size(&pair);
                found.push_back(pair);
            }
            bytes <= room && (range.reverse || found.len() < range.limit)
        })?;
        let mut found: Vec<_> = found.into();
        if range.reverse {
            found.reverse();
        }
        Ok((bytes <= room).then_some(found))
    }

    /// Deletes the fields of a range; answers `false` where that takes more than `room` bytes, and some are left.
    pub fn delete_range(
        &mut self,
        state: usize,
        key: &[u8],
        range: &Range<'_>,
        room: usize,
    ) -> Result<bool, StoreError> {
        let Some(kept) = self.states.get(state) else { return Ok(true) };
        let prefix = row::value(kept.number, key, b"");
        let mut from = row::value(kept.number, key, range.start);
        let mut bytes = 0;
        loop {
            let mut rows: Vec<Vec<u8>> = Vec::new();
            self.rows.scan(&from, &mut |row, _| {
                let Some(field) = row.strip_prefix(prefix.as_slice()) else { return false };
                let within = range.end.is_none_or(|end| field < end) && rows.len() < DELETED;
                if within {
                    rows.push(row.to_vec());
                }
                within
            })?;
            let Some(last) = rows.last() else { return Ok(true) };
            from.clone_from(last);
            for row in &rows {
                bytes += row.len() + FIELD;
                self.rows.put(row, None, Access::Scanned);
            }
            if bytes > room {
                return Ok(false);
            }
        }
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
mod tests;
