//! Records on their way out.

use serde::Serialize;

use crate::{Bytes, Error, Headers, Record, Result, Timestamp, headers};

/// A record that the operator emits, or that a test feeds to one.
///
/// It is mostly made of a [`Record`]: the parts that are left as they were are then passed on without a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    pub(crate) key: Option<Bytes<'a>>,
    pub(crate) value: Option<Bytes<'a>>,
    pub(crate) headers: Option<Bytes<'a>>,
    pub(crate) timestamp: Timestamp,
}

impl<'a> Message<'a> {
    /// A message with this value, at this event time, without key and headers.
    pub fn new(value: impl Into<Bytes<'a>>, timestamp: Timestamp) -> Self {
        Self { key: None, value: Some(value.into()), headers: None, timestamp }
    }

    /// The key, if there is one.
    pub fn key(&self) -> Option<&[u8]> {
        self.key.as_ref().map(Bytes::as_slice)
    }

    /// The value; absent in a tombstone.
    pub fn value(&self) -> Option<&[u8]> {
        self.value.as_ref().map(Bytes::as_slice)
    }

    /// The event time.
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// The headers, in order.
    pub fn headers(&self) -> Headers<'_> {
        Headers::new(self.headers.as_ref().map(Bytes::as_slice))
    }

    /// With this key.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<Bytes<'a>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Without a key.
    #[must_use]
    pub fn without_key(mut self) -> Self {
        self.key = None;
        self
    }

    /// With this value.
    #[must_use]
    pub fn with_value(mut self, value: impl Into<Bytes<'a>>) -> Self {
        self.value = Some(value.into());
        self
    }

    /// With this value, written as JSON.
    pub fn with_json<T: Serialize + ?Sized>(self, value: &T) -> Result<Self> {
        let json = serde_json::to_vec(value).map_err(|error| Error::Failure(format!("write JSON: {error}")))?;
        Ok(self.with_value(json))
    }

    /// With its value absent: where a topic is read as a table, it deletes the key.
    #[must_use]
    pub fn without_value(mut self) -> Self {
        self.value = None;
        self
    }

    /// With one more header, behind those that are there.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<Bytes<'a>>) -> Self {
        let encoded = self.headers.as_ref().map(Bytes::as_slice);
        self.headers = Some(headers::push(encoded, name, Some(value.into().as_slice())).into());
        self
    }

    /// Without headers.
    #[must_use]
    pub fn without_headers(mut self) -> Self {
        self.headers = None;
        self
    }

    /// With this event time.
    #[must_use]
    pub fn with_timestamp(mut self, timestamp: Timestamp) -> Self {
        self.timestamp = timestamp;
        self
    }

    /// The same message, borrowing nothing.
    pub fn into_owned(self) -> Message<'static> {
        Message {
            key: self.key.map(Bytes::into_owned),
            value: self.value.map(Bytes::into_owned),
            headers: self.headers.map(Bytes::into_owned),
            timestamp: self.timestamp,
        }
    }
}

impl<'a> From<Record<'a>> for Message<'a> {
    fn from(record: Record<'a>) -> Self {
        Self {
            key: record.key.map(Bytes::from),
            value: record.value.map(Bytes::from),
            headers: record.headers.map(Bytes::from),
            timestamp: record.timestamp,
        }
    }
}
