//! Rows: the bytes under which everything is kept that an operator remembers.
//!
//! ```text
//! meta          0
//! value         1  state: u8  key: u32 length, bytes  field            -> flags: u8  [written: i64]  encoding: u8  value
//! timer         2  domain: u8 key: u32 length, bytes  name             -> time
//! timer index   3  domain: u8 time  key: u32 length, bytes  name       -> (nothing)
//! ```
//!
//! Numbers are big-endian, times with their sign bit flipped, so that the order of bytes is the order of meaning. The
//! index is derived: it is in the store only, never in the changelog. Its third domain holds what expires: there the
//! key is the row that does, and the name is empty.

use crate::operator::Domain;
use crate::record::Timestamp;

/// What a row holds; its first byte.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Kind {
    /// What the task remembers.
    Meta = 0,
    /// A value of a declared state.
    Value = 1,
    /// A timer under its name.
    Timer = 2,
    /// A timer under its time.
    Index = 3,
}

/// The row of the task's memory.
pub const META: [u8; 1] = [Kind::Meta as u8];

/// What waits for a time.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum Due {
    /// A timer on the watermark.
    Event = 0,
    /// A timer on the host's clock.
    Processing = 1,
    /// A value whose time to live ends with the watermark.
    Expiry = 2,
}

impl From<Domain> for Due {
    fn from(domain: Domain) -> Self {
        match domain {
            Domain::EventTime => Self::Event,
            Domain::ProcessingTime => Self::Processing,
        }
    }
}

/// The row of a state's value; of an ordered map, the part that all fields share where `field` is empty.
pub fn value(state: u8, key: &[u8], field: &[u8]) -> Vec<u8> {
    made(|row| put_value(row, state, key, field))
}

/// Writes the row of a state's value in place of what is in `row`.
pub fn put_value(row: &mut Vec<u8>, state: u8, key: &[u8], field: &[u8]) {
    put_keyed(row, Kind::Value, state, key, field);
}

/// The row of a timer under its name.
pub fn timer(domain: Domain, key: &[u8], name: &[u8]) -> Vec<u8> {
    made(|row| put_timer(row, domain, key, name))
}

/// Writes the row of a timer in place of what is in `row`.
pub fn put_timer(row: &mut Vec<u8>, domain: Domain, key: &[u8], name: &[u8]) {
    put_keyed(row, Kind::Timer, Due::from(domain) as u8, key, name);
}

fn put_keyed(row: &mut Vec<u8>, kind: Kind, second: u8, key: &[u8], last: &[u8]) {
    row.clear();
    row.extend_from_slice(&[kind as u8, second]);
    push_key(row, key);
    row.extend_from_slice(last);
}

fn made(put: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut row = Vec::new();
    put(&mut row);
    row
}

fn push_key(row: &mut Vec<u8>, key: &[u8]) {
    row.extend_from_slice(&(key.len() as u32).to_be_bytes());
    row.extend_from_slice(key);
}

/// The row under which something is found when its time comes.
pub fn index(due: Due, at: Timestamp, key: &[u8], name: &[u8]) -> Vec<u8> {
    made(|row| put_index(row, due, at, key, name))
}

/// Writes the row of the index in place of what is in `row`.
pub fn put_index(row: &mut Vec<u8>, due: Due, at: Timestamp, key: &[u8], name: &[u8]) {
    put_index_from(row, due, at);
    push_key(row, key);
    row.extend_from_slice(name);
}

/// Where the rows of the index begin that are due at a time or later.
pub fn index_from(due: Due, at: Timestamp) -> Vec<u8> {
    made(|row| put_index_from(row, due, at))
}

fn put_index_from(row: &mut Vec<u8>, due: Due, at: Timestamp) {
    row.clear();
    row.extend_from_slice(&[Kind::Index as u8, due as u8]);
    row.extend_from_slice(&time(at));
}

/// A time whose bytes sort as it does.
pub fn time(at: Timestamp) -> [u8; 8] {
    (at.0 ^ i64::MIN).to_be_bytes()
}

/// Reads what [`time`] wrote.
pub fn parse_time(bytes: &[u8]) -> Option<Timestamp> {
    Some(Timestamp(i64::from_be_bytes(bytes.try_into().ok()?) ^ i64::MIN))
}

/// A row of the index, taken apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Indexed<'a> {
    /// What waits.
    pub due: Due,
    /// Until when.
    pub at: Timestamp,
    /// The timer's key, or the row that expires.
    pub key: &'a [u8],
    /// The timer's name.
    pub name: &'a [u8],
}

/// Takes a row of the index apart; `None` if it is another.
pub fn parse_index(row: &[u8]) -> Option<Indexed<'_>> {
    let (&[kind, due], rest) = row.split_first_chunk::<2>()?;
    if kind != Kind::Index as u8 {
        return None;
    }
    let due = match due {
        0 => Due::Event,
        1 => Due::Processing,
        2 => Due::Expiry,
        _ => return None,
    };
    let (at, rest) = rest.split_first_chunk::<8>()?;
    let (key, name) = split_key(rest)?;
    Some(Indexed { due, at: parse_time(at)?, key, name })
}

/// Takes the row of a value or of a timer apart: state or domain, key, field or name.
pub fn parse_keyed(row: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[_, second], rest) = row.split_first_chunk::<2>()?;
    let (key, last) = split_key(rest)?;
    Some((second, key, last))
}

fn split_key(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_be_bytes(*length) as usize)
}

/// The kind of a row; `None` if there is no such kind.
pub fn kind(row: &[u8]) -> Option<Kind> {
    match row.first()? {
        0 => Some(Kind::Meta),
        1 => Some(Kind::Value),
        2 => Some(Kind::Timer),
        3 => Some(Kind::Index),
        _ => None,
    }
}

/// What stands in a row of a state.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Value<'a> {
    /// When it was last written, in a state with a time to live.
    pub written: Option<Timestamp>,
    /// Encoding byte and value.
    pub bytes: &'a [u8],
}

impl<'a> Value<'a> {
    /// As a row holds it.
    pub fn encode(&self) -> Vec<u8> {
        made(|row| self.encode_into(row))
    }

    /// Writes it in place of what is in `row`.
    pub fn encode_into(&self, row: &mut Vec<u8>) {
        row.clear();
        row.push(u8::from(self.written.is_some()));
        if let Some(written) = self.written {
            row.extend_from_slice(&time(written));
        }
        row.extend_from_slice(self.bytes);
    }

    /// Reads what [`Value::encode`] wrote.
    pub fn decode(row: &'a [u8]) -> Option<Self> {
        match row.split_first()? {
            (0, bytes) => Some(Self { written: None, bytes }),
            (1, rest) => {
                let (written, bytes) = rest.split_first_chunk::<8>()?;
                Some(Self { written: Some(parse_time(written)?), bytes })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_index_sorts_by_time_first(a: i64, b: i64, x: Vec<u8>, y: Vec<u8>) {
            let row = |at, key| index(Due::Event, Timestamp(at), key, b"");
            prop_assume!(a != b);
            prop_assert_eq!(row(a, &x) < row(b, &y), a < b);
        }

        #[test]
        fn rows_come_apart_as_they_were_made(at: i64, key: Vec<u8>, name: Vec<u8>) {
            let row = index(Due::Processing, Timestamp(at), &key, &name);
            let parts = Indexed { due: Due::Processing, at: Timestamp(at), key: &key, name: &name };
            prop_assert_eq!(parse_index(&row), Some(parts));
            let row = value(3, &key, &name);
            prop_assert_eq!(parse_keyed(&row), Some((3, &key[..], &name[..])));
        }

        #[test]
        fn no_key_is_the_beginning_of_another(a: Vec<u8>, b: Vec<u8>, field: Vec<u8>) {
            prop_assume!(a != b);
            prop_assert!(!value(0, &b, &field).starts_with(&value(0, &a, b"")));
        }

        #[test]
        fn values_come_back(written: Option<i64>, bytes: Vec<u8>) {
            let value = Value { written: written.map(Timestamp), bytes: &bytes };
            let row = value.encode();
            prop_assert_eq!(Value::decode(&row), Some(value));
        }
    }
}
