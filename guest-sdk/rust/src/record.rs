//! Records on their way in.

use serde::Deserialize;

use crate::bindings::operator::wasmill::plugin::types::Batch;
use crate::{Bytes, Error, Headers, Message, Result, Timestamp};

/// A record that the operator was given. It is read in place, and copying it copies no bytes.
///
/// The `with_…` functions make a [`Message`] of it for [`Output::emit`](crate::Output::emit); what they leave alone is
/// passed on.
///
/// ```
/// # use wasmill_sdk::{Output, Record, Result};
/// #[derive(serde::Deserialize)]
/// struct Order<'a> { shop: &'a str, amount: u64 }
///
/// fn by_shop(record: Record<'_>, out: &mut Output) -> Result<()> {
///     let order: Order = record.json()?;
///     out.emit(record.with_key(order.shop).with_value(order.amount.to_string()))
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: Option<&'a [u8]>,
    pub(crate) timestamp: Timestamp,
    pub(crate) index: u32,
}

impl<'a> Record<'a> {
    pub(crate) fn all(batch: &'a Batch) -> impl ExactSizeIterator<Item = Self> {
        let spans = batch.spans.chunks_exact(6);
        batch.timestamps.iter().zip(spans).enumerate().map(|(index, (timestamp, spans))| Record {
            key: bytes(&batch.data, spans[0], spans[1]),
            value: bytes(&batch.data, spans[2], spans[3]),
            headers: bytes(&batch.data, spans[4], spans[5]),
            timestamp: Timestamp::from_millis(*timestamp),
            index: index as u32,
        })
    }

    /// The key, if the record has one. In a keyed operator it always has.
    pub fn key(&self) -> Option<&'a [u8]> {
        self.key
    }

    /// The value; absent in a tombstone.
    pub fn value(&self) -> Option<&'a [u8]> {
        self.value
    }

    /// The event time; [`Timestamp::NONE`] where the record has none.
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// The headers, in order.
    pub fn headers(&self) -> Headers<'a> {
        Headers::new(self.headers)
    }

    /// The value of the last header of this name.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers().find_last(name)
    }

    /// The key as text. A key that is absent or not UTF-8 is an error.
    pub fn key_text(&self) -> Result<&'a str> {
        let key = self.key.ok_or_else(|| Error::failure("the record has no key"))?;
        std::str::from_utf8(key).map_err(|error| Error::Failure(format!("read the key as text: {error}")))
    }

    /// The value as text. A value that is absent or not UTF-8 is an error.
    pub fn text(&self) -> Result<&'a str> {
        std::str::from_utf8(self.present()?).map_err(|error| Error::Failure(format!("read the value as text: {error}")))
    }

    /// The value, parsed as JSON. A value that is absent or does not parse is an error.
    pub fn json<T: Deserialize<'a>>(&self) -> Result<T> {
        serde_json::from_slice(self.present()?)
            .map_err(|error| Error::Failure(format!("parse the value as JSON: {error}")))
    }

    fn present(&self) -> Result<&'a [u8]> {
        self.value.ok_or_else(|| Error::failure("the record has no value"))
    }

    /// The record with another key.
    pub fn with_key(self, key: impl Into<Bytes<'a>>) -> Message<'a> {
        Message::from(self).with_key(key)
    }

    /// The record with another value.
    pub fn with_value(self, value: impl Into<Bytes<'a>>) -> Message<'a> {
        Message::from(self).with_value(value)
    }

    /// The record with another value, written as JSON.
    pub fn with_json<T: serde::Serialize + ?Sized>(self, value: &T) -> Result<Message<'a>> {
        Message::from(self).with_json(value)
    }

    /// The record with its value absent: where a topic is read as a table, it deletes the key.
    pub fn tombstone(self) -> Message<'a> {
        Message::from(self).without_value()
    }

    /// The record with one more header.
    pub fn with_header(self, name: &str, value: impl Into<Bytes<'a>>) -> Message<'a> {
        Message::from(self).with_header(name, value)
    }

    /// The record with another event time.
    pub fn with_timestamp(self, timestamp: Timestamp) -> Message<'a> {
        Message::from(self).with_timestamp(timestamp)
    }
}

/// The bytes of a span; absent where the length is negative or the span is out of bounds.
pub(crate) fn bytes(data: &[u8], offset: i32, length: i32) -> Option<&[u8]> {
    let (offset, length) = (usize::try_from(offset).ok()?, usize::try_from(length).ok()?);
    data.get(offset..offset.checked_add(length)?)
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn a_span_is_in_bounds_or_absent() {
        let data = b"abc";
        assert_eq!(bytes(data, 0, 3), Some(&b"abc"[..]));
        assert_eq!(bytes(data, 3, 0), Some(&b""[..]));
        for (offset, length) in [(0, -1), (-1, 1), (i32::MIN, 1), (0, 4), (3, 1), (4, 0), (i32::MAX, i32::MAX)] {
            assert_eq!(bytes(data, offset, length), None, "{offset} {length}");
        }
    }
}
