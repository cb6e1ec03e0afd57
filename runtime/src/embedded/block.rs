//! Records that are kept together, as bytes.

use wasmill_core::batch::Message;
use wasmill_core::record::{Offset, Timestamp};
use wasmill_core::varint::{put, take, take_bytes};

const KEY: u8 = 1;
const VALUE: u8 = 2;
const HEADERS: u8 = 4;

/// Records in a block, at most.
const MOST_IN_BLOCK: u32 = 256;
/// Bytes after which a block is full.
const BLOCK_BYTES: usize = 64 << 10;

/// Records that follow each other in a partition, kept under the offset that it ends with. Offsets between them may be
/// missing.
#[derive(Debug, Default)]
pub(super) struct Block {
    count: u32,
    span: u64,
    bytes: Vec<u8>,
}

impl Block {
    /// Adds the next record.
    pub(super) fn push(&mut self, message: Message<'_>) {
        self.push_behind(0, message);
    }

    /// Adds a record behind so many missing ones.
    pub(super) fn push_behind(&mut self, missing: u64, message: Message<'_>) {
        let length = record_length(message);
        self.bytes.reserve(length + 6);
        put(&mut self.bytes, (length as u64) << 1 | u64::from(missing > 0));
        if missing > 0 {
            put(&mut self.bytes, missing);
        }
        encode_record(message, &mut self.bytes);
        self.count += 1;
        self.span += missing + 1;
    }

    /// Adds missing records.
    pub(super) fn skip(&mut self, missing: u64) {
        self.span += missing;
    }

    pub(super) fn is_full(&self) -> bool {
        self.count >= MOST_IN_BLOCK || self.bytes.len() >= BLOCK_BYTES
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Offsets that it covers.
    pub(super) fn span(&self) -> u64 {
        self.span
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.bytes.len() + 10);
        put(&mut bytes, u64::from(self.count));
        put(&mut bytes, self.span);
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
pub(super) fn decode_block(last: Offset, bytes: &[u8], visit: &mut dyn FnMut(Offset, Message<'_>) -> bool) -> Read {
    walk(last, bytes, visit).unwrap_or(Read::Malformed)
}

fn walk(last: Offset, mut bytes: &[u8], visit: &mut dyn FnMut(Offset, Message<'_>) -> bool) -> Option<Read> {
    let count = take(&mut bytes)?;
    let span = i64::try_from(take(&mut bytes)?).ok()?;
    let mut next = last.0.checked_sub(span)?.checked_add(1)?;
    for _ in 0..count {
        let framed = take(&mut bytes)?;
        if framed & 1 == 1 {
            next = next.checked_add_unsigned(take(&mut bytes)?)?;
        }
        if next > last.0 {
            return None;
        }
        let (record, rest) = bytes.split_at_checked(usize::try_from(framed >> 1).ok()?)?;
        if !visit(Offset(next), decode_record(record)?) {
            return Some(Read::Refused(Offset(next)));
        }
        (bytes, next) = (rest, next + 1);
    }
    bytes.is_empty().then_some(Read::Whole)
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
        fn a_block_comes_back(
            records in vec((0_u64..3, vec(any::<u8>(), 0..40)), 1..20),
            skipped in 0_u64..3,
            first in 0_i64..1_000,
        ) {
            let mut block = Block::default();
            let message = |value| Message { key: None, value: Some(value), headers: None, timestamp: Timestamp(7) };
            let mut wanted = Vec::new();
            let mut next = first;
            for (missing, value) in &records {
                block.push_behind(*missing, message(value.as_slice()));
                next += *missing as i64;
                wanted.push((next, value.clone()));
                next += 1;
            }
            block.skip(skipped);
            let last = next + skipped as i64 - 1;
            prop_assert_eq!(block.span(), (last - first + 1) as u64);
            let bytes = block.encode();
            let mut read = Vec::new();
            let mut visit = |offset: Offset, message: Message<'_>| {
                read.push((offset.0, message.value.unwrap_or_default().to_vec()));
                true
            };
            prop_assert_eq!(decode_block(Offset(last), &bytes, &mut visit), Read::Whole);
            prop_assert_eq!(decode_block(Offset(last), &bytes[..bytes.len() - 1], &mut |_, _| true), Read::Malformed);
            prop_assert_eq!(read, wanted);
        }

        #[test]
        fn bytes_that_are_no_record_are_refused_or_read(bytes in vec(any::<u8>(), 0..40)) {
            decode_record(&bytes);
            decode_block(Offset(7), &bytes, &mut |_, _| true);
        }
    }
}
