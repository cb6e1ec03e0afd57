//! What an operator or a sink reads.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

use crate::pipeline::placed::{Entries, Placed};

/// One name or several, whose records are read as one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct From(pub Vec<Placed<String>>);

/// What an operator reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inputs {
    /// For an operator with one input.
    One(From),
    /// For an operator with several, by their names.
    Named(Entries<From>),
}

impl<'de> Deserialize<'de> for From {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Placed { value, place } = Placed::<Written>::deserialize(deserializer)?;
        match value {
            Written::One(name) => Ok(Self(vec![Placed { value: name, place }])),
            Written::List(names) => Ok(Self(names)),
            Written::Map(_) => Err(de::Error::custom("a name or a list of names is expected here, found a mapping")),
        }
    }
}

impl<'de> Deserialize<'de> for Inputs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Placed { value, place } = Placed::<Written>::deserialize(deserializer)?;
        Ok(match value {
            Written::One(name) => Self::One(From(vec![Placed { value: name, place }])),
            Written::List(names) => Self::One(From(names)),
            Written::Map(inputs) => Self::Named(inputs),
        })
    }
}

/// The three ways to write it.
enum Written {
    One(String),
    List(Vec<Placed<String>>),
    Map(Entries<From>),
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Written;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a source or an operator, or a list of names,")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Written, E> {
                Ok(Written::One(name.to_owned()))
            }

            fn visit_u64<E: de::Error>(self, name: u64) -> Result<Written, E> {
                Err(E::custom(format!("put the name `{name}` in quotes, as it looks like a number")))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Written, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = items.next_element()? {
                    names.push(name);
                }
                if names.is_empty() {
                    return Err(de::Error::custom("the list is empty; name what to read"));
                }
                Ok(Written::List(names))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Written, A::Error> {
                let inputs = Entries::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Written::Map(inputs))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

impl JsonSchema for From {
    fn schema_name() -> Cow<'static, str> {
        "From".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let name = json_schema!({ "type": "string", "pattern": r"^[a-z0-9-]+(\.[A-Za-z0-9_-]+)?$" });
        json_schema!({
            "description": "A source, an operator, or an output port of an operator (`operator.port`); or a list of them, read as one stream.",
            "anyOf": [name, { "type": "array", "items": name, "minItems": 1 }],
        })
    }
}

impl JsonSchema for Inputs {
    fn schema_name() -> Cow<'static, str> {
        "Inputs".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let from = generator.subschema_for::<From>();
        json_schema!({
            "description": "What the operator reads; for a plugin with several inputs a mapping from their names.",
            "anyOf": [from, { "type": "object", "additionalProperties": from, "minProperties": 1 }],
        })
    }
}
