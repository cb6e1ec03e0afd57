//! Fields of JSON values, as the settings of built-ins name them.

use std::{borrow::Cow, fmt, marker::PhantomData, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};

use super::{placed::Placed, pointer::Pointer};

/// Deepest field, so that walking down to one needs little stack.
const DEEPEST: usize = 32;

/// A field of a value: a JSON pointer (`/user/email`), or the plain name of a field at the top (`email`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Field {
    text: String,
    tokens: Vec<String>,
}

impl Field {
    /// The value itself.
    pub fn whole() -> Self {
        Self { text: String::new(), tokens: Vec::new() }
    }

    /// The names and indexes that lead to it; none for the value itself.
    pub fn tokens(&self) -> &[String] {
        &self.tokens
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Field {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let tokens = match text.starts_with('/') {
            true => text.parse::<Pointer>()?.tokens().to_vec(),
            false if text.is_empty() => return Err("a field's name must not be empty".to_owned()),
            false => vec![text.to_owned()],
        };
        if tokens.len() > DEEPEST {
            return Err(format!("a field is at most {DEEPEST} levels deep"));
        }
        Ok(Self { text: text.to_owned(), tokens })
    }
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Field {
    fn schema_name() -> Cow<'static, str> {
        "Field".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A field of the value: a JSON pointer (RFC 6901), or the plain name of a field at the top.",
            "type": "string",
            "minLength": 1,
            "examples": ["amount", "/user/email", "/items/0/id"],
        })
    }
}

/// A mapping from fields, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields<T>(pub Vec<(Field, T)>);

impl<T> Default for Fields<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Fields<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Pairs<T> {
            type Value = Fields<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping from fields")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<T>, A::Error> {
                let mut fields = Vec::new();
                while let Some(name) = map.next_key::<Placed<String>>()? {
                    let value = map.next_value()?;
                    fields.push((name.parse().map_err(de::Error::custom)?, value));
                }
                if fields.is_empty() {
                    return Err(de::Error::custom("the mapping is empty; name a field"));
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(Pairs(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Fields<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("{}ByField", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<T>();
        json_schema!({ "type": "object", "additionalProperties": value, "minProperties": 1 })
    }
}

/// One field, or a list of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldList(pub Vec<Field>);

impl<'de> Deserialize<'de> for FieldList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrList;

        impl<'de> Visitor<'de> for OneOrList {
            type Value = FieldList;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field such as `email` or `/user/email`, or a list of them,")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<FieldList, E> {
                Ok(FieldList(vec![text.parse().map_err(E::custom)?]))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<FieldList, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = items.next_element()? {
                    fields.push(field);
                }
                if fields.is_empty() {
                    return Err(de::Error::custom("the list is empty; name a field"));
                }
                Ok(FieldList(fields))
            }
        }

        deserializer.deserialize_any(OneOrList)
    }
}

impl JsonSchema for FieldList {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "FieldList".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let field = generator.subschema_for::<Field>();
        json_schema!({ "anyOf": [field, { "type": "array", "items": field, "minItems": 1 }] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_a_pointer_or_a_plain_name() {
        for (text, tokens) in [
            ("email", &["email"] as &[&str]),
            ("a.b", &["a.b"]),
            ("/user/email", &["user", "email"]),
            ("/a~1b", &["a/b"]),
            ("/", &[""]),
        ] {
            let field: Field = text.parse().unwrap();
            assert_eq!((field.tokens(), field.to_string().as_str()), (&tokens.map_owned()[..], text));
        }
        assert!("".parse::<Field>().is_err());
        assert!("/a~".parse::<Field>().is_err());
        assert!("/a".repeat(33).parse::<Field>().is_err());
    }

    trait Owned {
        fn map_owned(&self) -> Vec<String>;
    }

    impl Owned for &[&str] {
        fn map_owned(&self) -> Vec<String> {
            self.iter().map(|&text| text.to_owned()).collect()
        }
    }
}
