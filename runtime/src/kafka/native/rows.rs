//! Changed rows that are handed over together.

use std::ffi::c_void;
use std::ptr;

use rdkafka_sys as sys;

use super::producer::parts;

/// How many rows, and bytes of them, are handed over together. Whichever comes first.
const FULL: (usize, usize) = (256, 256 << 10);

/// Rows of one partition of a changelog, on their way.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    /// Index of the topic in the producer's list.
    pub(crate) topic: usize,
    /// The partition.
    pub(crate) partition: i32,
    /// Index of the tag whose end moves behind a row once it is delivered.
    pub(crate) tag: Option<usize>,
    /// Keys and values, one behind the other.
    bytes: Vec<u8>,
    /// Of each row, where its key ends, and its value if it has one.
    ends: Vec<(usize, Option<usize>)>,
}

impl Rows {
    /// Adds a row; without a value it is a deletion.
    pub(crate) fn push(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.bytes.extend_from_slice(key);
        let key_end = self.bytes.len();
        self.bytes.extend_from_slice(value.unwrap_or_default());
        self.ends.push((key_end, value.map(|_| self.bytes.len())));
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Whether they are enough to be handed over.
    pub(crate) fn is_full(&self) -> bool {
        self.ends.len() >= FULL.0 || self.bytes.len() >= FULL.1
    }

    /// Forgets them.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// They as librdkafka takes them, for as long as nothing is added. What it is given back with a delivery is `opaque`.
    pub(super) fn messages(&self, opaque: *mut c_void) -> impl Iterator<Item = sys::rd_kafka_message_t> {
        let mut start = 0;
        self.ends.iter().map(move |&(key_end, value_end)| {
            let (key, value) = (&self.bytes[start..key_end], value_end.map(|end| &self.bytes[key_end..end]));
            start = value_end.unwrap_or(key_end);
            message(key, value, opaque)
        })
    }
}

fn message(key: &[u8], value: Option<&[u8]>, opaque: *mut c_void) -> sys::rd_kafka_message_t {
    let ((key, key_len), (payload, len)) = (parts(Some(key)), parts(value));
    sys::rd_kafka_message_t {
        err: sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR,
        rkt: ptr::null_mut(),
        partition: 0,
        payload: payload.cast_mut().cast(),
        len,
        key: key.cast_mut().cast(),
        key_len,
        offset: 0,
        _private: opaque,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_messages_with_keys_and_values_of_their_own() {
        let mut rows = Rows::default();
        rows.push(b"one", Some(b"1"));
        rows.push(b"gone", None);
        rows.push(b"empty", Some(b""));
        let read = |bytes: *mut c_void, length| {
            // SAFETY: the bytes are those of `rows`, which lives.
            (!bytes.is_null()).then(|| unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), length) })
        };
        let messages: Vec<_> = rows.messages(ptr::null_mut()).collect();
        let pairs = messages.iter().map(|m| (read(m.key, m.key_len), read(m.payload, m.len)));
        let expected = [("one", Some("1")), ("gone", None), ("empty", Some(""))];
        assert!(pairs.eq(expected.map(|(key, value)| (Some(key.as_bytes()), value.map(str::as_bytes)))));
        rows.clear();
        assert!(rows.is_empty());
    }

    #[test]
    fn many_rows_or_large_ones_are_full() {
        let full_after = |value: &[u8]| {
            let mut rows = Rows::default();
            (1..1_000).find(|_| {
                rows.push(b"key", Some(value));
                rows.is_full()
            })
        };
        assert_eq!([full_after(b"1"), full_after(&vec![0; 1 << 20])], [Some(256), Some(1)]);
    }
}
