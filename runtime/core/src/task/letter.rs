//! Dead letters: a record as the failing operator was given it, with headers that say what happened.

use crate::batch::{Headers, Message, encode_headers};
use crate::flow::Flow;
use crate::record::Partition;

/// What happened to a record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Letter<'a> {
    /// Topic of the source record.
    pub topic: &'a str,
    /// Its partition.
    pub partition: Partition,
    /// Its offset; `None` for a timer.
    pub offset: Option<i64>,
    /// The operator that failed.
    pub operator: &'a str,
    /// Its plugin.
    pub plugin: &'a str,
    /// Why.
    pub reason: &'a str,
    /// How often it was tried.
    pub attempts: u32,
    /// Bytes of a record that the dead-letter topic takes.
    pub limit: usize,
}

/// Bytes of a reason that are kept.
const MAX_REASON: usize = 4096;

/// Adds the record's dead letter. Headers of an earlier failure make room for those of this one.
pub(crate) fn write(flow: &mut Flow, origin: u32, message: Message<'_>, letter: &Letter<'_>) {
    let numbers = [
        ("wasmill-error-partition", Some(letter.partition.to_string())),
        ("wasmill-error-offset", letter.offset.map(|offset| offset.to_string())),
        ("wasmill-error-attempts", Some(letter.attempts.to_string())),
    ];
    let reason = &letter.reason[..letter.reason.floor_char_boundary(MAX_REASON)];
    let texts = [
        ("wasmill-error-topic", letter.topic),
        ("wasmill-error-operator", letter.operator),
        ("wasmill-error-plugin", letter.plugin),
        ("wasmill-error-reason", reason),
    ];
    // A record that came in larger than may go out leaves its key and its place; the record itself is in its topic.
    let large = message.size() > letter.limit;
    let message = if large { Message { value: None, headers: None, ..message } } else { message };
    let own = message.headers.map(Headers::new).into_iter().flatten();
    let kept = own.filter(|(name, _)| !name.starts_with("wasmill-error-"));
    let texts = texts.into_iter().map(|(name, text)| (name, Some(text.as_bytes())));
    let numbers = numbers.iter().filter_map(|(name, number)| Some((*name, Some(number.as_ref()?.as_bytes()))));
    let cut = large.then_some(("wasmill-error-truncated", Some(&b"true"[..])));
    let headers = encode_headers(kept.chain(texts).chain(numbers).chain(cut));
    flow.push(origin, Message { headers: Some(&headers), ..message });
}
