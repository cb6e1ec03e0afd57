//! Dead letters: a record as the failing operator was given it, with headers that say what happened.

use crate::batch::{Headers, Message, encode_headers};
use crate::flow::Flow;
use crate::record::{Partition, Timestamp};
use crate::scope::{Times, is_time};

/// What happened to a record.
#[derive(Clone, Debug)]
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
    /// The event times that it takes.
    pub times: Times,
}

/// Bytes of a reason that are kept.
const MAX_REASON: usize = 4096;

/// Adds the record's dead letter. Headers of an earlier failure make room for those of this one, and what no topic takes
/// is left out: a letter always goes.
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
    // A record that came in larger than may go out leaves its place, and its key if that is not what is too large.
    let large = message.size() > letter.limit;
    let key = message.key.filter(|key| key.len() <= letter.limit);
    let message = if large { Message { key, value: None, headers: None, ..message } } else { message };
    let odd = (!is_time(message.timestamp, &letter.times)).then(|| message.timestamp.0.to_string());
    let timestamp = if odd.is_some() { Timestamp::NONE } else { message.timestamp };
    let own = message.headers.map(Headers::new).into_iter().flatten();
    let kept = own.filter(|(name, _)| !name.starts_with("wasmill-error-"));
    let texts = texts.into_iter().map(|(name, text)| (name, Some(text.as_bytes())));
    let numbers = numbers.iter().filter_map(|(name, number)| Some((*name, Some(number.as_ref()?.as_bytes()))));
    let cut = large.then_some(("wasmill-error-truncated", Some(&b"true"[..])));
    let odd = odd.as_ref().map(|time| ("wasmill-error-timestamp", Some(time.as_bytes())));
    let headers = encode_headers(kept.chain(texts).chain(numbers).chain(cut).chain(odd));
    flow.push(origin, Message { headers: Some(&headers), timestamp, ..message });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter_of(message: Message<'_>) -> (Flow, Vec<String>) {
        let letter = Letter {
            topic: "t",
            partition: Partition(3),
            offset: Some(9),
            operator: "o",
            plugin: "p",
            reason: "why",
            attempts: 1,
            limit: 1_000,
            times: 100..=5_000,
        };
        let mut flow = Flow::default();
        write(&mut flow, 0, message, &letter);
        let names = flow.iter().flat_map(|(_, letter)| Headers::new(letter.headers.unwrap_or_default()));
        let odd = ["wasmill-error-truncated", "wasmill-error-timestamp"];
        let odd = names.filter(|(name, _)| odd.contains(name));
        let odd = odd.map(|(_, value)| String::from_utf8_lossy(value.unwrap_or_default()).into_owned()).collect();
        (flow, odd)
    }

    #[test]
    fn a_letter_is_never_larger_or_later_than_its_topic_takes() {
        let (small, large) = (&b"key"[..], &[b'x'; 1_001][..]);
        let parts = |flow: &Flow| -> Vec<_> {
            flow.iter().map(|(_, m)| (m.key.map(<[u8]>::len), m.value.map(<[u8]>::len), m.timestamp.0)).collect()
        };
        #[rustfmt::skip]
        let table = [
            (small, small, 5_000,    (Some(3), Some(3), 5_000),    vec![]),
            (small, large, 5_000,    (Some(3), None,    5_000),    vec!["true"]),
            (large, large, 5_000,    (None,    None,    5_000),    vec!["true"]),
            (small, small, 5_001,    (Some(3), Some(3), i64::MIN), vec!["5001"]),
            (small, small, 99,       (Some(3), Some(3), i64::MIN), vec!["99"]),
            (small, small, -1,       (Some(3), Some(3), i64::MIN), vec!["-1"]),
            (small, small, i64::MIN, (Some(3), Some(3), i64::MIN), vec![]),
            (small, large, i64::MAX, (Some(3), None,    i64::MIN), vec!["true", "9223372036854775807"]),
        ];
        for (key, value, at, expected, odd) in table {
            let message = Message { key: Some(key), value: Some(value), headers: None, timestamp: Timestamp(at) };
            let (flow, said) = letter_of(message);
            assert_eq!((parts(&flow), said), (vec![expected], odd.iter().map(|&odd| odd.to_owned()).collect()), "{at}");
        }
    }
}
