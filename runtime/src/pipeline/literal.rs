//! JSON values that a pipeline file writes.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, MapAccess, SeqAccess, Visitor},
};

/// A JSON value as its text, names in the order of the file, variables filled in.
///
/// It may hold a secret, so it is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Literal(String);

impl Literal {
    /// The JSON text.
    pub fn json(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<'de> Deserialize<'de> for Literal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Json;

        fn text<E: de::Error>(value: impl Serialize) -> Result<Literal, E> {
            serde_json::to_string(&value).map(Literal).map_err(E::custom)
        }

        impl<'de> Visitor<'de> for Json {
            type Value = Literal;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }

            fn visit_unit<E: de::Error>(self) -> Result<Literal, E> {
                text(())
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Literal, E> {
                text(value)
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Literal, E> {
                text(value)
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Literal, E> {
                text(value)
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Literal, E> {
                text(value)
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Literal, E> {
                text(value)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Literal, A::Error> {
                let mut parts = Vec::new();
                while let Some(Literal(item)) = items.next_element()? {
                    parts.push(item);
                }
                Ok(Literal(format!("[{}]", parts.join(","))))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Literal, A::Error> {
                let mut parts = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    let Literal(value) = map.next_value()?;
                    let Literal(name) = text::<A::Error>(name)?;
                    parts.push(format!("{name}:{value}"));
                }
                Ok(Literal(format!("{{{}}}", parts.join(","))))
            }
        }

        deserializer.deserialize_any(Json)
    }
}

impl JsonSchema for Literal {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Literal".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_names_is_kept_and_nothing_is_shown() {
        let text = r#"{"b":[1,-2,0.5,null,true],"a":{"z":"ä\n","y":{}}}"#;
        let literal: Literal = serde_json::from_str(text).unwrap();
        assert_eq!(literal.json(), text);
        assert_eq!(format!("{literal:?}"), "***");
    }
}
