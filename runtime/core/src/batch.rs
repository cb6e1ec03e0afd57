//! Records in columns.
//!
//! The layout is that of `wasmill:plugin/types.batch`: for each of n records a timestamp, and six numbers in `spans`:
//! offset and length in `data` of its key, its value and its headers. Length -1 means absent. Headers of one record
//! are one byte string: `i32` count, then for each `i32` name length, name (UTF-8), `i32` value length (-1: absent),
//! value; little-endian, unaligned.

use thiserror::Error;

use crate::record::Timestamp;

/// Numbers in `spans` for one record.
pub const SPANS: usize = 6;

/// Length of a span that says "absent".
pub const ABSENT: i32 = -1;

/// A record without its place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Message<'a> {
    /// The key; `None` where the record has none.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Encoded headers, as the module's head shows.
    pub headers: Option<&'a [u8]>,
    /// Event time.
    pub timestamp: Timestamp,
}

impl Message<'_> {
    /// Bytes of key, value and headers.
    pub fn size(&self) -> usize {
        [self.key, self.value, self.headers].into_iter().flatten().map(<[u8]>::len).sum()
    }
}

/// Why columns are no batch.
#[derive(Clone, Debug, Error, Eq, PartialEq)]
pub enum Malformed {
    /// The number of spans does not fit the number of records.
    #[error("{timestamps} timestamps need {} spans, not {spans}", timestamps * SPANS)]
    Shape {
        /// Records by their timestamps.
        timestamps: usize,
        /// Numbers in the span column.
        spans: usize,
    },
    /// A span leaves the data.
    #[error("record {index}: a span of {length} bytes at {offset} leaves the {available} bytes of data")]
    Bounds {
        /// Index of the record.
        index: usize,
        /// Start of the span.
        offset: i64,
        /// Its length.
        length: i64,
        /// Bytes there are.
        available: usize,
    },
    /// The bytes of a record's headers are not headers.
    #[error("record {index}: its headers are not well-formed")]
    Headers {
        /// Index of the record.
        index: usize,
    },
}

/// Records in columns; see the module's head for the layout.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Batch {
    timestamps: Vec<i64>,
    spans: Vec<i32>,
    data: Vec<u8>,
}

impl Batch {
    /// No records, room for some.
    pub fn with_capacity(records: usize, bytes: usize) -> Self {
        Self {
            timestamps: Vec::with_capacity(records),
            spans: Vec::with_capacity(records * SPANS),
            data: Vec::with_capacity(bytes),
        }
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// Bytes of data.
    pub fn bytes(&self) -> usize {
        self.data.len()
    }

    /// Event times, a number for each record.
    pub fn timestamps(&self) -> &[i64] {
        &self.timestamps
    }

    /// Spans, six numbers for each record.
    pub fn spans(&self) -> &[i32] {
        &self.spans
    }

    /// The bytes.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Adds a record. The batch must stay below 2 GiB of data, which whoever fills it sees to.
    pub fn push(&mut self, message: Message<'_>) {
        self.timestamps.push(message.timestamp.0);
        for part in [message.key, message.value, message.headers] {
            let span = match part {
                Some(bytes) => {
                    let at = self.data.len() as i32;
                    self.data.extend_from_slice(bytes);
                    [at, bytes.len() as i32]
                }
                None => [0, ABSENT],
            };
            self.spans.extend_from_slice(&span);
        }
    }

    /// The record at an index; `None` past the end.
    pub fn get(&self, index: usize) -> Option<Message<'_>> {
        let timestamp = Timestamp(*self.timestamps.get(index)?);
        let spans = self.spans.get(index * SPANS..(index + 1) * SPANS)?;
        let [key, value, headers] = [0, 2, 4].map(|part| self.part(spans, part));
        Some(Message { key, value, headers, timestamp })
    }

    fn part(&self, spans: &[i32], at: usize) -> Option<&[u8]> {
        let (offset, length) = (*spans.get(at)?, *spans.get(at + 1)?);
        if length < 0 { None } else { self.data.get(offset as usize..offset as usize + length as usize) }
    }

    /// All records, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Message<'_>> + ExactSizeIterator {
        (0..self.len()).map(|index| self.get(index).unwrap_or(EMPTY))
    }

    /// A batch of the records at some indexes, in the order given.
    #[must_use]
    pub fn select(&self, indexes: impl IntoIterator<Item = usize>) -> Self {
        let mut selected = Self::default();
        for message in indexes.into_iter().filter_map(|index| self.get(index)) {
            selected.push(message);
        }
        selected
    }

    /// Drops the records from an index on.
    pub fn truncate(&mut self, records: usize, bytes: usize) {
        self.timestamps.truncate(records);
        self.spans.truncate(records * SPANS);
        self.data.truncate(bytes);
    }
}

const EMPTY: Message<'static> = Message { key: None, value: None, headers: None, timestamp: Timestamp::NONE };

/// Byte strings in two columns: offset and length of each in `spans` (length -1: absent), the bytes in `data`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Blobs {
    spans: Vec<i32>,
    data: Vec<u8>,
}

impl Blobs {
    /// Takes columns that come from outside.
    pub fn from_parts(spans: Vec<i32>, data: Vec<u8>) -> Result<Self, Malformed> {
        if !spans.len().is_multiple_of(2) {
            return Err(Malformed::Shape { timestamps: spans.len() / 2, spans: spans.len() });
        }
        for (index, span) in spans.chunks_exact(2).enumerate() {
            check_span(index, i64::from(span[0]), i64::from(span[1]), data.len())?;
        }
        Ok(Self { spans, data })
    }

    /// Gives the columns away: spans, then bytes.
    pub fn into_parts(self) -> (Vec<i32>, Vec<u8>) {
        (self.spans, self.data)
    }

    /// Number of byte strings.
    pub fn len(&self) -> usize {
        self.spans.len() / 2
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Spans, two numbers for each.
    pub fn spans(&self) -> &[i32] {
        &self.spans
    }

    /// The bytes.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Adds a byte string.
    pub fn push(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => {
                self.spans.extend_from_slice(&[self.data.len() as i32, bytes.len() as i32]);
                self.data.extend_from_slice(bytes);
            }
            None => self.spans.extend_from_slice(&[0, ABSENT]),
        }
    }

    /// Drops all of them, and keeps their room.
    pub fn clear(&mut self) {
        self.spans.clear();
        self.data.clear();
    }

    /// Drops all of them, and keeps room for so many bytes, and for a number of them that needs no more.
    pub fn clear_to(&mut self, bytes: usize) {
        self.clear();
        self.spans.shrink_to(bytes / size_of::<i32>());
        self.data.shrink_to(bytes);
    }

    /// The byte string at an index; `None` where it is absent or past the end.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let (offset, length) = (*self.spans.get(index * 2)?, *self.spans.get(index * 2 + 1)?);
        if length < 0 { None } else { self.data.get(offset as usize..offset as usize + length as usize) }
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Option<&[u8]>> {
        (0..self.len()).map(|index| self.get(index))
    }
}

pub(crate) fn check_span(index: usize, offset: i64, length: i64, available: usize) -> Result<(), Malformed> {
    let absent = length == i64::from(ABSENT);
    if absent || (offset >= 0 && length >= 0 && (offset + length) as u64 <= available as u64) {
        return Ok(());
    }
    Err(Malformed::Bounds { index, offset, length, available })
}

/// Whether bytes are well-formed headers, and every name is UTF-8.
pub fn is_headers(bytes: &[u8]) -> bool {
    let mut headers = Headers::new(bytes);
    headers.by_ref().for_each(drop);
    headers.is_whole()
}

/// The headers of one record, read from their encoded form. Stops at the first that is malformed.
#[derive(Clone, Debug)]
pub struct Headers<'a> {
    left: i32,
    rest: &'a [u8],
}

impl<'a> Headers<'a> {
    /// Reads encoded headers.
    pub fn new(bytes: &'a [u8]) -> Self {
        match take_length(bytes) {
            Some((left, rest)) if left >= 0 => Self { left, rest },
            _ => Self { left: -1, rest: &[] },
        }
    }

    /// Whether all were read and nothing follows.
    fn is_whole(&self) -> bool {
        self.left == 0 && self.rest.is_empty()
    }

    fn take(&mut self) -> Option<(&'a str, Option<&'a [u8]>)> {
        let (name, rest) = take_bytes(self.rest)?;
        let (value, rest) = match take_length(rest)? {
            (ABSENT, rest) => (None, rest),
            _ => take_bytes(rest).map(|(value, rest)| (Some(value), rest))?,
        };
        self.rest = rest;
        Some((std::str::from_utf8(name).ok()?, value))
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a str, Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.left <= 0 {
            return None;
        }
        let header = self.take();
        self.left = if header.is_some() { self.left - 1 } else { -1 };
        header
    }
}

fn take_length(bytes: &[u8]) -> Option<(i32, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    Some((i32::from_le_bytes(*length), rest))
}

fn take_bytes(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = take_length(bytes)?;
    rest.split_at_checked(usize::try_from(length).ok()?)
}

/// Encodes headers.
pub fn encode_headers<'a>(headers: impl IntoIterator<Item = (&'a str, Option<&'a [u8]>)>) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    let mut count = 0_i32;
    for (name, value) in headers {
        count += 1;
        bytes.extend_from_slice(&(name.len() as i32).to_le_bytes());
        bytes.extend_from_slice(name.as_bytes());
        match value {
            Some(value) => {
                bytes.extend_from_slice(&(value.len() as i32).to_le_bytes());
                bytes.extend_from_slice(value);
            }
            None => bytes.extend_from_slice(&ABSENT.to_le_bytes()),
        }
    }
    bytes[..4].copy_from_slice(&count.to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message<'a>(key: Option<&'a [u8]>, value: Option<&'a [u8]>) -> Message<'a> {
        Message { key, value, headers: None, timestamp: Timestamp(7) }
    }

    #[test]
    fn what_is_pushed_is_got() {
        let headers = encode_headers([("trace", Some(&b"1"[..])), ("empty", None)]);
        let pushed = [
            message(Some(b"k"), Some(b"value")),
            message(None, None),
            Message { headers: Some(&headers), ..message(Some(b""), Some(b"")) },
        ];
        let mut batch = Batch::default();
        pushed.iter().for_each(|&message| batch.push(message));
        assert_eq!(batch.iter().collect::<Vec<_>>(), pushed);
        assert_eq!(batch.get(3), None);
        assert_eq!(batch.select([2, 0]).iter().collect::<Vec<_>>(), [pushed[2], pushed[0]]);
    }

    #[test]
    fn headers_come_back() {
        let bytes = encode_headers([("a", Some(&b"1"[..])), ("ü", None)]);
        assert_eq!(Headers::new(&bytes).collect::<Vec<_>>(), [("a", Some(&b"1"[..])), ("ü", None)]);
        assert!(is_headers(&bytes));
        for cut in 0..bytes.len() {
            assert!(!is_headers(&bytes[..cut]), "{cut}");
        }
        assert!(!is_headers(&[bytes.as_slice(), b"x"].concat()));
    }

    #[test]
    fn blobs_from_outside_are_checked() {
        #[rustfmt::skip]
        let table = [
            (vec![0, 2, 1, ABSENT], true),
            (vec![1, 1],            true),
            (vec![1, 2],            false),
            (vec![-1, 1],           false),
            (vec![0, -2],           false),
            (vec![0],               false),
            (vec![i32::MAX, i32::MAX], false),
        ];
        for (spans, ok) in table {
            assert_eq!(Blobs::from_parts(spans.clone(), b"ab".to_vec()).is_ok(), ok, "{spans:?}");
        }
    }
}
