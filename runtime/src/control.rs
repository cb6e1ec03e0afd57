//! Control records: what an upstream task tells in a repartition topic, between the records.
//!
//! A control record has no key, no value, and one header named [`HEADER`]. A repartitioned record always has a key, so
//! a user's header of that name is never taken for one. The header's value is 15 bytes, big-endian:
//!
//! ```text
//! u16 stage | u32 partition | i64 watermark | u8 idle (0 or 1)
//! ```

use wasmill_core::batch::{Headers, Message, encode_headers};
use wasmill_core::port::Control;
use wasmill_core::record::{Partition, TaskId, Timestamp};

/// The name of the header that makes a record a control record.
pub const HEADER: &str = "wasmill-control";

/// The headers of the record that tells this.
pub fn encode(control: &Control) -> Vec<u8> {
    let mut value = Vec::with_capacity(15);
    value.extend_from_slice(&control.from.stage.to_be_bytes());
    value.extend_from_slice(&control.from.partition.0.to_be_bytes());
    value.extend_from_slice(&control.watermark.0.to_be_bytes());
    value.push(u8::from(control.idle));
    encode_headers([(HEADER, Some(value.as_slice()))])
}

/// What a record of a repartition topic tells; `None` for one that is no control record.
pub fn decode(message: &Message<'_>) -> Option<Control> {
    if message.key.is_some() || message.value.is_some() {
        return None;
    }
    let mut headers = Headers::new(message.headers?);
    let (HEADER, Some(value)) = headers.next()? else { return None };
    let (stage, rest) = value.split_first_chunk::<2>()?;
    let (partition, rest) = rest.split_first_chunk::<4>()?;
    let (watermark, rest) = rest.split_first_chunk::<8>()?;
    let ([idle @ (0 | 1)], None) = (rest, headers.next()) else { return None };
    let from = TaskId { stage: u16::from_be_bytes(*stage), partition: Partition(u32::from_be_bytes(*partition)) };
    Some(Control { from, watermark: Timestamp(i64::from_be_bytes(*watermark)), idle: *idle == 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message<'a>(key: Option<&'a [u8]>, headers: &'a [u8]) -> Message<'a> {
        Message { key, value: None, headers: Some(headers), timestamp: Timestamp::NONE }
    }

    #[test]
    fn what_is_told_comes_back() {
        for (watermark, idle) in [(Timestamp::NONE, true), (Timestamp(7), false), (Timestamp(i64::MAX), true)] {
            let told = Control { from: TaskId { stage: 3, partition: Partition(70_000) }, watermark, idle };
            assert_eq!(decode(&message(None, &encode(&told))), Some(told));
        }
    }

    #[test]
    fn other_records_are_no_control_records() {
        let told = encode(&Control { from: TaskId::default(), watermark: Timestamp(1), idle: false });
        let other = encode_headers([("other", Some(&[0; 15][..]))]);
        let short = encode_headers([(HEADER, Some(&[0; 14][..]))]);
        let odd = encode_headers([(HEADER, Some(&[2; 15][..]))]);
        let two = encode_headers([(HEADER, Some(&[0; 15][..])), ("more", None)]);
        #[rustfmt::skip]
        let table = [
            ("a key",         message(Some(b"k"), &told)),
            ("another name",  message(None, &other)),
            ("too short",     message(None, &short)),
            ("no boolean",    message(None, &odd)),
            ("a second one",  message(None, &two)),
            ("not headers",   message(None, b"x")),
        ];
        for (why, message) in table {
            assert_eq!(decode(&message), None, "{why}");
        }
    }
}
