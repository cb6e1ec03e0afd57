//! JSON lines.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use wasmill_core::batch::{Batch, Headers, Message, encode_headers};
use wasmill_core::record::Timestamp;

use super::Place;

/// A line on its way in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parsed<'a> {
    #[serde(borrow, default)]
    key: Option<&'a RawValue>,
    #[serde(borrow, default)]
    value: Option<&'a RawValue>,
    #[serde(default)]
    timestamp: Option<i64>,
    #[serde(borrow, default)]
    headers: Option<Members<'a>>,
    #[serde(default, rename = "topic")]
    _topic: serde::de::IgnoredAny,
    #[serde(default, rename = "partition")]
    _partition: serde::de::IgnoredAny,
    #[serde(default, rename = "offset")]
    _offset: serde::de::IgnoredAny,
}

/// The members of an object, in their order.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Object).map(Self)
    }
}

struct Object;

impl<'de> Visitor<'de> for Object {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of headers")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}

pub(super) fn parse(line: &[u8], now: Timestamp, records: &mut Batch) -> Result<(), String> {
    if line.trim_ascii().is_empty() {
        return Ok(());
    }
    let parsed: Parsed<'_> = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let part = |part: Option<&RawValue>| part.map(bytes).transpose().map(Option::flatten);
    let (key, value) = (part(parsed.key)?, part(parsed.value)?);
    let headers = parsed.headers.map(|headers| headers_of(&headers)).transpose()?.flatten();
    let timestamp = match parsed.timestamp {
        Some(millis) if millis < 0 => return Err(format!("timestamp {millis} is before 1970, where no log has any")),
        given => given.map_or(now, Timestamp),
    };
    records.push(Message { key: key.as_deref(), value: value.as_deref(), headers: headers.as_deref(), timestamp });
    Ok(())
}

/// The bytes that a JSON value stands for; `None` for null.
fn bytes(value: &RawValue) -> Result<Option<Vec<u8>>, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Binary {
        base64: String,
    }
    let text = value.get();
    match text.as_bytes().first() {
        Some(b'"') => Ok(Some(serde_json::from_str::<String>(text).map_err(|error| error.to_string())?.into_bytes())),
        Some(b'n') => Ok(None),
        Some(b'{') => match serde_json::from_str::<Binary>(text) {
            Ok(Binary { base64 }) => STANDARD.decode(base64).map(Some).map_err(|error| format!("base64: {error}")),
            Err(_) => Ok(Some(text.as_bytes().to_vec())),
        },
        _ => Ok(Some(text.as_bytes().to_vec())),
    }
}

fn headers_of(members: &Members<'_>) -> Result<Option<Vec<u8>>, String> {
    let mut headers = Vec::new();
    for (name, value) in &members.0 {
        if value.get().starts_with('[') {
            let values: Vec<&RawValue> = serde_json::from_str(value.get()).map_err(|error| error.to_string())?;
            for value in values {
                headers.push((name, bytes(value)?));
            }
        } else {
            headers.push((name, bytes(value)?));
        }
    }
    let encoded = || encode_headers(headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())));
    Ok((!headers.is_empty()).then(encoded))
}

/// A line on its way out.
#[derive(Serialize)]
struct Printed<'a> {
    key: Option<Bytes<'a>>,
    value: Option<Bytes<'a>>,
    timestamp: Option<i64>,
    headers: BTreeMap<&'a str, Repeated<'a>>,
    topic: &'a str,
    partition: u32,
    offset: i64,
}

/// Bytes as JSON: text, or base64 where they are none.
struct Bytes<'a>(&'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if let Ok(text) = str::from_utf8(self.0) {
            return to.serialize_str(text);
        }
        let mut object = to.serialize_map(Some(1))?;
        object.serialize_entry("base64", &STANDARD.encode(self.0))?;
        object.end()
    }
}

/// The values of a header: one, or a list.
struct Repeated<'a>(Vec<Option<Bytes<'a>>>);

impl Serialize for Repeated<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => one.serialize(to),
            many => many.serialize(to),
        }
    }
}

pub(super) fn print(to: &mut impl Write, message: Message<'_>, place: Place<'_>) -> io::Result<()> {
    let mut headers = BTreeMap::new();
    for (name, value) in Headers::new(message.headers.unwrap_or_default()) {
        headers.entry(name).or_insert_with(|| Repeated(Vec::new())).0.push(value.map(Bytes));
    }
    let printed = Printed {
        key: message.key.map(Bytes),
        value: message.value.map(Bytes),
        timestamp: message.timestamp.is_some().then_some(message.timestamp.0),
        headers,
        topic: place.topic,
        partition: place.partition.0,
        offset: place.offset.0,
    };
    serde_json::to_writer(&mut *to, &printed)?;
    to.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use wasmill_core::record::{Offset, Partition};

    use super::*;

    type Part = Option<&'static [u8]>;

    fn parsed(line: &str) -> Result<Batch, String> {
        let mut records = Batch::default();
        parse(line.as_bytes(), Timestamp(5), &mut records).map(|()| records)
    }

    #[test]
    fn json_is_parsed_as_keys_and_values() {
        #[rustfmt::skip]
        let table: [(&str, Part, Part, i64); 9] = [
            ("{}",                                             None,       None,                  5),
            (r#"{"key":"k","value":"v","timestamp":7}"#,       Some(b"k"), Some(b"v"),            7),
            (r#"{"key":"","value":null,"timestamp":null}"#,    Some(b""),  None,                  5),
            (r#"{"value":{"a": 1.50}}"#,                       None,       Some(br#"{"a": 1.50}"#), 5),
            (r#"{"value":10000000000000000001}"#,              None,       Some(b"10000000000000000001"), 5),
            (r#"{"value":[1, 2]}"#,                            None,       Some(b"[1, 2]"),       5),
            (r#"{"value":{"base64":"//4="}}"#,                 None,       Some(b"\xff\xfe"),     5),
            (r#"{"value":{"base64":1}}"#,                      None,       Some(br#"{"base64":1}"#), 5),
            (r#"{"key":"\u00fc","topic":"t","partition":3,"offset":9}"#, Some("ü".as_bytes()), None, 5),
        ];
        for (line, key, value, timestamp) in table {
            let records = parsed(line).unwrap();
            let message = Message { key, value, headers: None, timestamp: Timestamp(timestamp) };
            assert_eq!(records.iter().collect::<Vec<_>>(), [message], "{line}");
        }
        assert!(parsed("  ").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for (line, says) in [
            ("word", "expected value"),
            ("[]]", "trailing characters"),
            (r#"{"keys":"k"}"#, "unknown field `keys`, expected one of `key`"),
            (r#"{"timestamp":"now"}"#, "expected i64"),
            (r#"{"timestamp":-5}"#, "timestamp -5 is before 1970"),
            (r#"{"timestamp":9223372036854775808}"#, "expected i64"),
            (r#"{"timestamp":1e300}"#, "expected i64"),
            (r#"{"timestamp":1.5}"#, "expected i64"),
            (r#"{"headers":[]}"#, "an object of headers"),
            (r#"{"value":{"base64":"!"}}"#, "base64"),
        ] {
            let error = parsed(line).unwrap_err();
            assert!(error.contains(says), "{line}: {error}");
        }
    }

    #[test]
    fn records_are_printed_as_json_and_come_back() {
        let headers = encode_headers([("b", Some(&b"1"[..])), ("a", None), ("b", Some(&b"\xff"[..]))]);
        let message = Message {
            key: Some(b"k\""),
            value: Some(b"\xff"),
            headers: Some(&headers),
            timestamp: Timestamp(1_700_000_000_000),
        };
        let place = Place { topic: "t", partition: Partition(3), offset: Offset(9) };
        let mut line = Vec::new();
        print(&mut line, message, place).unwrap();
        let line = String::from_utf8(line).unwrap();
        assert_eq!(
            line,
            "{\"key\":\"k\\\"\",\"value\":{\"base64\":\"/w==\"},\"timestamp\":1700000000000,\
             \"headers\":{\"a\":null,\"b\":[\"1\",{\"base64\":\"/w==\"}]},\"topic\":\"t\",\"partition\":3,\"offset\":9}\n"
        );
        let sorted = encode_headers([("a", None), ("b", Some(&b"1"[..])), ("b", Some(&b"\xff"[..]))]);
        let records = parsed(line.trim_end()).unwrap();
        assert_eq!(records.iter().collect::<Vec<_>>(), [Message { headers: Some(&sorted), ..message }]);
        let mut line = Vec::new();
        print(&mut line, Message { key: None, value: None, headers: None, timestamp: Timestamp::NONE }, place).unwrap();
        assert_eq!(
            String::from_utf8(line).unwrap(),
            "{\"key\":null,\"value\":null,\"timestamp\":null,\"headers\":{},\"topic\":\"t\",\"partition\":3,\"offset\":9}\n"
        );
    }
}
