//! Values as Kafka Connect's `JsonConverter` with schemas writes them: an object of `schema` and `payload`.
//!
//! Text has the schema of a string. A value that is a JSON object is a payload without schema. On the way in a payload of
//! text is the text, any other is its JSON, and `null` is no value; schemas are not looked at.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    #[serde(borrow)]
    schema: &'a RawValue,
    #[serde(borrow)]
    payload: &'a RawValue,
}

const STRING: &str = r#"{"type":"string","optional":false}"#;

/// Puts a value into an envelope, or says why it cannot be.
pub fn wrap(value: &[u8], to: &mut Vec<u8>) -> Result<(), String> {
    let text = std::str::from_utf8(value).map_err(|error| format!("write the value as connect-json: {error}"))?;
    let object = text.trim_start().starts_with('{').then(|| serde_json::from_str::<&RawValue>(text).ok()).flatten();
    if let Some(object) = object {
        to.extend_from_slice(br#"{"schema":null,"payload":"#);
        to.extend_from_slice(object.get().as_bytes());
    } else {
        to.extend_from_slice(br#"{"schema":"#);
        to.extend_from_slice(STRING.as_bytes());
        to.extend_from_slice(br#","payload":"#);
        serde_json::to_writer(&mut *to, text).map_err(|error| error.to_string())?;
    }
    to.push(b'}');
    Ok(())
}

/// Takes the payload out of an envelope: `None` for null. Or says why it is none.
pub fn unwrap(value: &[u8], to: &mut Vec<u8>) -> Result<Option<()>, String> {
    let envelope: Envelope<'_> = serde_json::from_slice(value)
        .map_err(|error| format!("read the value as connect-json, an object of `schema` and `payload`: {error}"))?;
    let payload = envelope.payload.get();
    match payload.as_bytes().first() {
        Some(b'n') => return Ok(None),
        Some(b'"') => {
            let text: String = serde_json::from_str(payload).map_err(|error| error.to_string())?;
            to.extend_from_slice(text.as_bytes());
        }
        _ => to.extend_from_slice(payload.as_bytes()),
    }
    Ok(Some(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_wrapped_as_connect_does() {
        for (value, expected) in [
            ("hello", r#"{"schema":{"type":"string","optional":false},"payload":"hello"}"#),
            ("", r#"{"schema":{"type":"string","optional":false},"payload":""}"#),
            ("a \"b\"\\", r#"{"schema":{"type":"string","optional":false},"payload":"a \"b\"\\"}"#),
            ("7", r#"{"schema":{"type":"string","optional":false},"payload":"7"}"#),
            ("{broken", r#"{"schema":{"type":"string","optional":false},"payload":"{broken"}"#),
            ("{\"a\": 1.50}", r#"{"schema":null,"payload":{"a": 1.50}}"#),
        ] {
            let mut wrapped = Vec::new();
            wrap(value.as_bytes(), &mut wrapped).unwrap();
            assert_eq!(String::from_utf8(wrapped.clone()).unwrap(), expected);
            let mut back = Vec::new();
            assert_eq!(unwrap(&wrapped, &mut back), Ok(Some(())));
            assert_eq!(back, value.as_bytes());
        }
        assert!(wrap(b"\xff", &mut Vec::new()).unwrap_err().contains("utf-8"));
    }

    #[test]
    fn payloads_are_taken_out_whatever_the_schema() {
        for (value, expected) in [
            (r#"{"schema":null,"payload":null}"#, None),
            (r#" {"payload":[1, 2],"schema":{"type":"array"}} "#, Some("[1, 2]")),
            (r#"{"schema":null,"payload":10000000000000000001}"#, Some("10000000000000000001")),
            (r#"{"schema":null,"payload":"\u00fc"}"#, Some("ü")),
        ] {
            let mut payload = Vec::new();
            let found = unwrap(value.as_bytes(), &mut payload).unwrap();
            assert_eq!(found.map(|()| String::from_utf8(payload).unwrap()).as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn what_is_no_envelope_is_refused() {
        for value in
            ["", "hello", "\"a\"", "{}", r#"{"payload":1}"#, r#"{"schema":null,"payload":1,"x":2}"#, "{\"schema\""]
        {
            let reason = unwrap(value.as_bytes(), &mut Vec::new()).unwrap_err();
            assert!(
                reason.starts_with("read the value as connect-json, an object of `schema` and `payload`: "),
                "{reason}"
            );
        }
    }
}
