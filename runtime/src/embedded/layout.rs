//! Keys and values as bytes; the table is at the head of the module above.

use sha2::{Digest, Sha256};
use wasmill_core::batch::Message;
use wasmill_core::record::{Epoch, Offset, Partition, Timestamp};
use wasmill_core::task::row::TaskRow;
use wasmill_core::varint::{put, take, take_bytes};

use super::catalog::{Extent, Kind};

pub(super) const ID: &[u8] = b"I";
pub(super) const COMMIT: &[u8] = b"C";
pub(super) const TOPIC: u8 = b'T';
pub(super) const EXTENT: u8 = b'E';
const ROW: u8 = b'R';

const KEY: u8 = 1;
const VALUE: u8 = 2;
const HEADERS: u8 = 4;

/// Longer rows are found by their digest: the database takes keys of up to 64 KiB.
const LONGEST_ROW: usize = 32 << 10;

/// A partition of a topic, as keys begin with it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct Place {
    pub(super) topic: u32,
    pub(super) partition: Partition,
}

impl Place {
    pub(super) fn bytes(self) -> [u8; 8] {
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&self.topic.to_be_bytes());
        bytes[4..].copy_from_slice(&self.partition.0.to_be_bytes());
        bytes
    }

    pub(super) fn record(self, offset: Offset) -> [u8; 16] {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&self.bytes());
        key[8..].copy_from_slice(&offset.0.to_be_bytes());
        key
    }

    pub(super) fn latest(self, row: &[u8]) -> Vec<u8> {
        if row.len() > LONGEST_ROW {
            return [&self.bytes()[..], &[1], &Sha256::digest(row)].concat();
        }
        [&self.bytes()[..], &[0], row].concat()
    }

    pub(super) fn extent(self) -> [u8; 9] {
        let mut key = [EXTENT; 9];
        key[1..].copy_from_slice(&self.bytes());
        key
    }
}

pub(super) fn offset_of(record_key: &[u8]) -> Option<Offset> {
    record_key.get(8..).and_then(decode_u64).map(|offset| Offset(offset as i64))
}

pub(super) fn place_of(extent_key: &[u8]) -> Option<Place> {
    let (topic, partition) = extent_key.get(1..)?.split_first_chunk::<4>()?;
    let partition = Partition(u32::from_be_bytes(partition.try_into().ok()?));
    Some(Place { topic: u32::from_be_bytes(*topic), partition })
}

pub(super) fn decode_u64(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

pub(super) fn encode_extent(extent: Extent) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&extent.start.0.to_be_bytes());
    bytes[8..].copy_from_slice(&extent.end.0.to_be_bytes());
    bytes
}

pub(super) fn decode_extent(bytes: &[u8]) -> Option<Extent> {
    let (start, end) = bytes.split_first_chunk::<8>()?;
    let [start, end] = [u64::from_be_bytes(*start), decode_u64(end)?].map(|offset| Offset(offset as i64));
    (start <= end).then_some(Extent { start, end })
}

pub(super) fn topic_key(topic: u32) -> [u8; 5] {
    let mut key = [TOPIC; 5];
    key[1..].copy_from_slice(&topic.to_be_bytes());
    key
}

pub(super) fn encode_topic(name: &str, kind: Kind, partitions: u32) -> Vec<u8> {
    [&[u8::from(kind == Kind::Changelog)][..], &partitions.to_be_bytes(), name.as_bytes()].concat()
}

pub(super) fn decode_topic(key: &[u8], bytes: &[u8]) -> Option<(u32, String, Kind, u32)> {
    let topic = u32::from_be_bytes(key.get(1..)?.try_into().ok()?);
    let (kind, rest) = bytes.split_first()?;
    let kind = match kind {
        0 => Kind::Records,
        1 => Kind::Changelog,
        _ => return None,
    };
    let (partitions, name) = rest.split_first_chunk::<4>()?;
    let name = String::from_utf8(name.to_vec()).ok()?;
    Some((topic, name, kind, u32::from_be_bytes(*partitions)))
}

pub(super) fn row_key(tasks: &str, partition: Partition) -> Vec<u8> {
    [&[ROW], tasks.as_bytes(), &[0], &partition.0.to_be_bytes()].concat()
}

pub(super) fn encode_row(row: &TaskRow) -> Vec<u8> {
    [&row.epoch.0.to_be_bytes()[..], &row.encode()].concat()
}

pub(super) fn decode_row(bytes: &[u8]) -> Option<TaskRow> {
    let (epoch, row) = bytes.split_first_chunk::<8>()?;
    TaskRow::decode(Epoch(u64::from_be_bytes(*epoch)), row)
}

/// Records in a block, at most.
const MOST_IN_BLOCK: u32 = 256;
/// Bytes after which a block is full.
const BLOCK_BYTES: usize = 64 << 10;

/// Records that follow each other in a partition, kept under the offset of the last.
#[derive(Debug, Default)]
pub(super) struct Block {
    count: u32,
    bytes: Vec<u8>,
}

impl Block {
    pub(super) fn of(message: Message<'_>) -> Self {
        let mut block = Self::default();
        block.push(message);
        block
    }

    pub(super) fn push(&mut self, message: Message<'_>) {
        let length = record_length(message);
        self.bytes.reserve(length + 5);
        put(&mut self.bytes, length as u64);
        encode_record(message, &mut self.bytes);
        self.count += 1;
    }

    pub(super) fn is_full(&self) -> bool {
        self.count >= MOST_IN_BLOCK || self.bytes.len() >= BLOCK_BYTES
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.bytes.len() + 5);
        put(&mut bytes, u64::from(self.count));
        bytes.extend_from_slice(&self.bytes);
        bytes
    }
}

/// How the reading of a block ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Read {
    /// All its records were handed over.
    Whole,
    /// The record at an offset was refused.
    Refused(Offset),
    /// The bytes are no block.
    Malformed,
}

/// Hands over the records of a block, each with its offset, until one is refused.
pub(super) fn decode_block(last: Offset, mut bytes: &[u8], visit: &mut dyn FnMut(Offset, Message<'_>) -> bool) -> Read {
    let Some(count) = take(&mut bytes).and_then(|count| i64::try_from(count).ok()) else {
        return Read::Malformed;
    };
    for offset in (last.0 - count + 1)..=last.0 {
        let Some(message) = take_bytes(&mut bytes).and_then(decode_record) else { return Read::Malformed };
        if !visit(Offset(offset), message) {
            return Read::Refused(Offset(offset));
        }
    }
    if bytes.is_empty() { Read::Whole } else { Read::Malformed }
}

fn record_length(message: Message<'_>) -> usize {
    let prefixed = |part: Option<&[u8]>| part.map_or(0, |part| part.len() + number_length(part.len() as u64));
    9 + prefixed(message.key) + prefixed(message.headers) + message.value.map_or(0, <[u8]>::len)
}

fn number_length(number: u64) -> usize {
    (64 - (number | 1).leading_zeros() as usize).div_ceil(7)
}

/// Appends a record to bytes.
pub(super) fn encode_record(message: Message<'_>, bytes: &mut Vec<u8>) {
    let flag = |part: Option<&[u8]>, flag| if part.is_some() { flag } else { 0 };
    bytes.extend_from_slice(&message.timestamp.0.to_be_bytes());
    bytes.push(flag(message.key, KEY) | flag(message.value, VALUE) | flag(message.headers, HEADERS));
    for part in [message.key, message.headers].into_iter().flatten() {
        put(bytes, part.len() as u64);
        bytes.extend_from_slice(part);
    }
    bytes.extend_from_slice(message.value.unwrap_or_default());
}

/// Reads a record; `None` if the bytes are none.
pub(super) fn decode_record(bytes: &[u8]) -> Option<Message<'_>> {
    let (timestamp, rest) = bytes.split_first_chunk::<8>()?;
    let (&flags, mut rest) = rest.split_first()?;
    let key = if flags & KEY == 0 { None } else { Some(take_bytes(&mut rest)?) };
    let headers = if flags & HEADERS == 0 { None } else { Some(take_bytes(&mut rest)?) };
    let value = if flags & VALUE == 0 { None } else { Some(rest) };
    let known = flags & !(KEY | VALUE | HEADERS) == 0 && (value.is_some() || rest.is_empty());
    known.then_some(Message { key, value, headers, timestamp: Timestamp(i64::from_be_bytes(*timestamp)) })
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::option::of;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_record_comes_back(
            key in of(vec(any::<u8>(), 0..300)),
            value in of(vec(any::<u8>(), 0..300)),
            headers in of(vec(any::<u8>(), 0..300)),
            timestamp: i64,
        ) {
            let (key, value, headers) = (key.as_deref(), value.as_deref(), headers.as_deref());
            let message = Message { key, value, headers, timestamp: Timestamp(timestamp) };
            let mut bytes = Vec::new();
            encode_record(message, &mut bytes);
            prop_assert_eq!(decode_record(&bytes), Some(message));
            prop_assert_eq!(bytes.len(), record_length(message));
        }

        #[test]
        fn a_block_comes_back(values in vec(vec(any::<u8>(), 0..40), 1..20), last in 20_i64..1_000) {
            let mut block = Block::default();
            let message = |value| Message { key: None, value: Some(value), headers: None, timestamp: Timestamp(7) };
            values.iter().for_each(|value| block.push(message(value.as_slice())));
            let bytes = block.encode();
            let mut read = Vec::new();
            let mut visit = |offset: Offset, message: Message<'_>| {
                read.push((offset.0, message.value.unwrap_or_default().to_vec()));
                true
            };
            prop_assert_eq!(decode_block(Offset(last), &bytes, &mut visit), Read::Whole);
            prop_assert_eq!(decode_block(Offset(last), &bytes[..bytes.len() - 1], &mut |_, _| true), Read::Malformed);
            let first = last - values.len() as i64 + 1;
            prop_assert_eq!(read, (first..).zip(values).collect::<Vec<_>>());
        }

        #[test]
        fn bytes_that_are_no_record_are_refused_or_read(bytes in vec(any::<u8>(), 0..40)) {
            decode_record(&bytes);
        }

        #[test]
        fn keys_sort_as_what_they_stand_for(a: (u32, u32, u32), b: (u32, u32, u32)) {
            let key = |(topic, partition, offset): (u32, u32, u32)| {
                Place { topic, partition: Partition(partition) }.record(Offset(i64::from(offset)))
            };
            prop_assert_eq!(key(a).cmp(&key(b)), a.cmp(&b));
        }
    }

    #[test]
    fn long_rows_have_short_keys_of_their_own() {
        let place = Place { topic: 1, partition: Partition(2) };
        let long = vec![7; 100_000];
        assert_eq!(place.latest(&long).len(), 41);
        assert_ne!(place.latest(&long), place.latest(&long[1..]));
    }
}
