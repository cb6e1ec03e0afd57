//! Keys made of a record's value.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::pointer::Pointer;

/// The key that an operator gives to the records that it reads: one JSON pointer into the value, or a list of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    /// Text is its own bytes, a number, `true` or `false` its JSON text.
    One(Pointer),
    /// The bytes of a JSON array of the parts, without spaces.
    List(Vec<Pointer>),
}

impl Key {
    /// The key of a record whose value is the JSON text `value`, or why it has none.
    ///
    /// The value is read once for each pointer, without building a tree of it. Where an object has a name twice, the
    /// last one counts.
    pub fn extract(&self, value: &[u8]) -> Result<Vec<u8>, String> {
        match self {
            Self::One(pointer) => match part(pointer, value)? {
                Part::Text(text) => Ok(text.into_owned().into_bytes()),
                Part::Literal(literal) => Ok(literal.as_bytes().to_vec()),
            },
            Self::List(pointers) => {
                let mut key = vec![b'['];
                for (at, pointer) in pointers.iter().enumerate() {
                    if at > 0 {
                        key.push(b',');
                    }
                    match part(pointer, value)? {
                        Part::Text(text) => serde_json::to_writer(&mut key, &text).map_err(|e| e.to_string())?,
                        Part::Literal(literal) => key.extend_from_slice(literal.as_bytes()),
                    }
                }
                key.push(b']');
                Ok(key)
            }
        }
    }

    /// The pointers, one or more.
    pub fn pointers(&self) -> &[Pointer] {
        match self {
            Self::One(pointer) => std::slice::from_ref(pointer),
            Self::List(pointers) => pointers,
        }
    }
}

/// A scalar in a value.
enum Part<'v> {
    Text(Cow<'v, str>),
    /// A number, `true` or `false` as the value writes it.
    Literal(&'v str),
}

fn part<'v>(pointer: &Pointer, value: &'v [u8]) -> Result<Part<'v>, String> {
    let mut json = serde_json::Deserializer::from_slice(value);
    let found = Walk { tokens: pointer.tokens() }.deserialize(&mut json);
    let found = found.and_then(|raw| json.end().map(|()| raw));
    let raw = found.map_err(|e| format!("the value is not JSON: {e}"))?;
    let raw = raw.ok_or_else(|| format!("there is nothing at `{pointer}` of the value"))?.get();
    let wrong = |what| Err(format!("{what} at `{pointer}` of the value cannot be a key"));
    match raw.as_bytes().first() {
        Some(b'"') => serde_json::from_str(raw).map(|Text(text)| Part::Text(text)).map_err(|e| e.to_string()),
        Some(b'n') => wrong("null"),
        Some(b'{') => wrong("an object"),
        Some(b'[') => wrong("an array"),
        _ => Ok(Part::Literal(raw)),
    }
}

/// Text that is borrowed from the JSON where it holds no escapes.
#[derive(Deserialize)]
struct Text<'v>(#[serde(borrow)] Cow<'v, str>);

/// Goes down the value along the tokens; what is beside the way is passed over.
#[derive(Clone, Copy)]
struct Walk<'t> {
    tokens: &'t [String],
}

impl<'v> DeserializeSeed<'v> for Walk<'_> {
    type Value = Option<&'v RawValue>;

    fn deserialize<D: Deserializer<'v>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        if self.tokens.is_empty() {
            return <&RawValue>::deserialize(deserializer).map(Some);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'v> Visitor<'v> for Walk<'_> {
    type Value = Option<&'v RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'v>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Some((name, tokens)) = self.tokens.split_first() else { return Ok(None) };
        let mut found = None;
        while let Some(Text(key)) = map.next_key()? {
            if key == name.as_str() {
                found = map.next_value_seed(Walk { tokens })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'v>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let Some((index, tokens)) = self.tokens.split_first() else { return Ok(None) };
        let canonical = index == "0" || !index.starts_with(['0', '+']);
        let wanted = index.parse::<usize>().ok().filter(|_| canonical);
        let mut found = None;
        for at in 0_usize.. {
            let more = if Some(at) == wanted {
                items.next_element_seed(Walk { tokens })?.map(|item| found = item)
            } else {
                items.next_element::<IgnoredAny>()?.map(|_| ())
            };
            if more.is_none() {
                break;
            }
        }
        Ok(found)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrList;

        impl<'de> Visitor<'de> for OneOrList {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON pointer such as `/shop`, or a list of them,")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Key, E> {
                text.parse().map(Key::One).map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Key, A::Error> {
                let mut pointers = Vec::new();
                while let Some(pointer) = items.next_element()? {
                    pointers.push(pointer);
                }
                if pointers.is_empty() {
                    return Err(de::Error::custom("the list of JSON pointers is empty; name what the key is made of"));
                }
                Ok(Key::List(pointers))
            }
        }

        deserializer.deserialize_any(OneOrList)
    }
}

impl JsonSchema for Key {
    fn schema_name() -> Cow<'static, str> {
        "Key".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let pointer = generator.subschema_for::<Pointer>();
        json_schema!({
            "description": "What the records' key is made of: a JSON pointer into the value, or a list of them.",
            "anyOf": [pointer, { "type": "array", "items": pointer, "minItems": 1 }],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(pointers: &[&str]) -> Key {
        let mut pointers: Vec<Pointer> = pointers.iter().map(|p| p.parse().unwrap()).collect();
        if pointers.len() == 1 { Key::One(pointers.remove(0)) } else { Key::List(pointers) }
    }

    const ORDER: &str = r#" {"shop": "n\u00f6rd \"1\"", "n": 1.50, "paid": true, "items": [{"id": 7}, {"id": -8}],
        "a/b": "x", "none": null, "twice": 1, "twice": 2} "#;

    #[test]
    fn keys_are_extracted() {
        for (pointers, expected) in [
            (&["/shop"] as &[&str], "nörd \"1\""),
            (&["/n"], "1.50"),
            (&["/paid"], "true"),
            (&["/items/1/id"], "-8"),
            (&["/a~1b"], "x"),
            (&["/twice"], "2"),
            (&["/shop", "/n", "/paid"], r#"["nörd \"1\"",1.50,true]"#),
        ] {
            let extracted = key(pointers).extract(ORDER.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(extracted).unwrap(), expected);
        }
        assert_eq!(key(&[""]).extract(b"\"a\"").unwrap(), b"a");
        let list = Key::List(vec!["/n".parse().unwrap()]);
        assert_eq!(list.extract(b"{\"n\":1}").unwrap(), b"[1]");
    }

    #[test]
    fn a_value_without_the_key_says_why() {
        for (pointers, message) in [
            (&["/nope"] as &[&str], "there is nothing at `/nope` of the value"),
            (&["/shop/x"], "there is nothing at `/shop/x` of the value"),
            (&["/items/2"], "there is nothing at `/items/2` of the value"),
            (&["/items/01/id"], "there is nothing at `/items/01/id` of the value"),
            (&["/items/-"], "there is nothing at `/items/-` of the value"),
            (&["/none"], "null at `/none` of the value cannot be a key"),
            (&["/none/x"], "there is nothing at `/none/x` of the value"),
            (&["/items"], "an array at `/items` of the value cannot be a key"),
            (&["/shop", "/items/0"], "an object at `/items/0` of the value cannot be a key"),
        ] {
            assert_eq!(key(pointers).extract(ORDER.as_bytes()), Err(message.to_owned()));
        }
        for value in [b"" as &[u8], b"{", b"{\"a\":1", b"{\"a\":1}x", b"\xff", b"{\"b\":\xff}"] {
            let error = key(&["/a"]).extract(value).unwrap_err();
            assert!(error.starts_with("the value is not JSON: "), "{error}");
        }
    }
}
