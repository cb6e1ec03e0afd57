//! Messages to columns and back, with the checks that the runtime makes.

use crate::bindings::operator::wasmill::plugin::types::{Batch, Blobs};
use crate::{Bytes, Message, Timestamp};

/// The columns of messages.
pub(super) fn batch(messages: &[Message<'_>]) -> Batch {
    let mut batch = Batch { timestamps: Vec::new(), spans: Vec::new(), data: Vec::new() };
    for message in messages {
        batch.timestamps.push(message.timestamp.as_millis());
        for part in [&message.key, &message.value, &message.headers] {
            push(&mut batch.spans, &mut batch.data, part.as_ref().map(Bytes::as_slice));
        }
    }
    batch
}

/// Byte strings in columns.
pub(super) fn blobs<B: AsRef<[u8]>>(parts: impl IntoIterator<Item = Option<B>>) -> Blobs {
    let mut blobs = Blobs { spans: Vec::new(), data: Vec::new() };
    for part in parts {
        push(&mut blobs.spans, &mut blobs.data, part.as_ref().map(AsRef::as_ref));
    }
    blobs
}

fn push(spans: &mut Vec<i32>, data: &mut Vec<u8>, part: Option<&[u8]>) {
    spans.extend([data.len() as i32, part.map_or(-1, |part| part.len() as i32)]);
    data.extend(part.unwrap_or_default());
}

/// The byte strings of columns.
pub(super) fn parts(blobs: &Blobs) -> Vec<Option<&[u8]>> {
    assert!(blobs.spans.len().is_multiple_of(2), "spans come in pairs");
    blobs.spans.chunks_exact(2).map(|span| part(&blobs.data, &[], span[0], span[1])).collect()
}

/// The messages of an emitted batch; `input` is the data of the call's batch.
pub(super) fn messages(batch: &Batch, input: &[u8]) -> Vec<Message<'static>> {
    assert_eq!(batch.spans.len(), 6 * batch.timestamps.len(), "there are six numbers in `spans` for a record");
    let owned = |offset, length| part(&batch.data, input, offset, length).map(|bytes| Bytes::from(bytes.to_vec()));
    let spans = batch.spans.chunks_exact(6);
    let messages = batch.timestamps.iter().zip(spans).map(|(timestamp, spans)| Message {
        key: owned(spans[0], spans[1]),
        value: owned(spans[2], spans[3]),
        headers: owned(spans[4], spans[5]),
        timestamp: Timestamp::from_millis(*timestamp),
    });
    messages.collect()
}

/// The bytes of a span, of `input` where the sign bit of its offset is set.
fn part<'a>(data: &'a [u8], input: &'a [u8], offset: i32, length: i32) -> Option<&'a [u8]> {
    if length == -1 {
        return None;
    }
    let bytes = if offset < 0 { input } else { data };
    let start = (offset & i32::MAX) as usize;
    let found = usize::try_from(length).ok().and_then(|length| bytes.get(start..start + length));
    assert!(found.is_some(), "span {offset}, {length} is not in the {} bytes that it counts in", bytes.len());
    found
}
