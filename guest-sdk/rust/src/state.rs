//! Keyed state, declared by [`Setup::state`](crate::Setup::state).
//!
//! Handles take the [`Context`](crate::Context) and reach the state of its key only. What is written is stored with the
//! output of the call, or not at all.
//!
//! A stored value is one byte, the version of its encoding, and the bytes that [`Value::encode`] wrote. The handles add the
//! byte, and take it off again.

mod cells;
mod ordered_map;
mod single;
mod value;

pub use ordered_map::{Fields, OrderedMap};
pub use single::Single;
pub use value::{Json, Value};

pub(crate) use cells::Cells;

use crate::{Error, Result};

/// Reads a value of another encoding: its version, and its bytes.
pub type Older<T> = fn(u8, &[u8]) -> Result<T>;

/// What a handle knows of its state.
#[derive(Clone, Debug)]
pub(crate) struct Declared<T> {
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) encoding: u8,
    pub(crate) older: Option<Older<T>>,
}

/// Where the host keeps a state during a call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// In the call's cells, at this index among the prefetched states.
    Cell(usize),
    /// Behind the `state` interface, at this index among all states.
    Row(u32),
}

impl<T: Value> Declared<T> {
    fn read(&self, stored: &[u8]) -> Result<T> {
        let (encoding, bytes) = stored.split_first().ok_or_else(|| self.unreadable("it has no encoding"))?;
        if *encoding == self.encoding {
            return T::decode(bytes);
        }
        let unknown = || self.unreadable(&format!("it is in encoding {encoding}, not in {}", self.encoding));
        self.older.ok_or_else(unknown)?(*encoding, bytes)
    }

    fn write(&self, value: &T, stored: &mut Vec<u8>) -> Result<()> {
        stored.push(self.encoding);
        value.encode(stored)
    }

    fn unreadable(&self, why: &str) -> Error {
        Error::Permanent(format!("read a value of state `{}`: {why}", self.name))
    }
}
