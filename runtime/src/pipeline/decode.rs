//! A serde deserializer over a YAML tree that reports what is wrong at its place.
//!
//! A key that a struct does not know is reported and passed over; keys that begin with `x-` are passed over in silence.
//! Any other error ends the reading of the struct around it, so the tree is read again without what was wrong, until
//! nothing new turns up.

use std::{cell::RefCell, fmt};

use serde::{
    de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, Visitor, value::BorrowedStrDeserializer},
    forward_to_deserialize_any,
};

use super::{
    error::{Kind, Place, Report, Reported},
    name,
    yaml::{Key, Node, Plain, Resolved, Scalar, Style, Value},
};

/// The name of the struct that stands for a value with its place: line, column, length, value.
pub(super) const PLACED: &str = "$placed";

/// The name of a struct that may also be written as the text of its first key.
pub(super) const SHORT: &str = "$short";

/// Most readings of one tree.
const MOST_READINGS: usize = 20;

/// Reads a `T` from `node`.
pub(super) fn decode<T: DeserializeOwned>(node: &Node, report: &Report) -> Result<T, Reported> {
    let wrong = RefCell::new(Vec::new());
    let decoder = Decoder { node, key: None, context: Context { report, wrong: &wrong } };
    for _ in 0..MOST_READINGS {
        let before = wrong.borrow().len();
        let read = T::deserialize(decoder).map_err(|failure| decoder.report(failure));
        if wrong.borrow().len() == before {
            return read;
        }
    }
    Err(Reported)
}

/// What all readers of a tree share.
#[derive(Clone, Copy)]
struct Context<'de> {
    report: &'de Report,
    /// The places of keys whose values were found wrong.
    wrong: &'de RefCell<Vec<Place>>,
}

/// Why a value cannot be read.
#[derive(Debug)]
pub(super) enum Failure {
    /// To be reported at the value.
    Message(Kind, String),
    /// To be reported at the key of the mapping that lacks this key.
    Missing(&'static str),
    Reported,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(_, message) => f.write_str(message),
            Self::Missing(key) => write!(f, "the key `{key}` is missing"),
            Self::Reported => f.write_str("reported"),
        }
    }
}

impl std::error::Error for Failure {}

impl de::Error for Failure {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Message(Kind::Value, message.to_string())
    }

    fn missing_field(field: &'static str) -> Self {
        Self::Missing(field)
    }

    fn invalid_type(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::Message(Kind::Value, format!("{expected} is expected here"))
    }

    fn invalid_value(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::Message(Kind::Value, format!("{expected} is expected here"))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let hint = name::hint(variant, expected.iter().copied());
        Self::Message(Kind::Value, format!("`{variant}` is not known here{hint}"))
    }
}

#[derive(Clone, Copy)]
struct Decoder<'de> {
    node: &'de Node,
    /// The key that the value stands behind.
    key: Option<&'de Key>,
    context: Context<'de>,
}

impl<'de> Decoder<'de> {
    fn report(&self, failure: Failure) -> Reported {
        match failure {
            Failure::Reported => Reported,
            Failure::Message(kind, message) => self.context.report.at(kind, self.node.place, self.masked(message)),
            // It is there, but was wrong.
            Failure::Missing(field) if self.node.get(field).is_some() => Reported,
            Failure::Missing(field) => match self.key {
                Some(key) => {
                    self.context.report.at(Kind::Key, key.place, format!("`{}` needs the key `{field}`", key.text))
                }
                None => self.context.report.push(Kind::Key, None, format!("the file needs the key `{field}`")),
            },
        }
    }

    fn masked(&self, message: String) -> String {
        match &self.node.value {
            Value::Scalar(Scalar { text, written: Some(written), .. }) if !text.is_empty() => {
                message.replace(&format!("`{text}`"), &format!("`{written}`"))
            }
            _ => message,
        }
    }

    /// `result` with the failure reported here, at the innermost value that saw it.
    fn settle<T>(&self, result: Result<T, Failure>) -> Result<T, Failure> {
        result.map_err(|failure| {
            self.report(failure);
            Failure::Reported
        })
    }

    fn expected<T>(&self, what: &str) -> Result<T, Failure> {
        let message = format!("{what} is expected here, found {}", self.node.kind());
        self.settle(Err(Failure::Message(Kind::Value, message)))
    }

    fn scalar<V: Visitor<'de>>(&self, resolved: Resolved<'de>, visitor: V) -> Result<V::Value, Failure> {
        self.settle(match resolved {
            Resolved::Text(text) => visitor.visit_borrowed_str(text),
            Resolved::Plain(Plain::Null) => visitor.visit_unit(),
            Resolved::Plain(Plain::Bool(value)) => visitor.visit_bool(value),
            Resolved::Plain(Plain::Unsigned(value)) => visitor.visit_u64(value),
            Resolved::Plain(Plain::Signed(value)) => visitor.visit_i64(value),
            Resolved::Plain(Plain::Float(value)) => visitor.visit_f64(value),
            Resolved::Overflow => {
                let message = "this number does not fit into 64 bits; put it in quotes to make it text";
                Err(Failure::Message(Kind::Value, message.to_owned()))
            }
        })
    }

    /// The keys among `fields`; the others are reported.
    fn known(&self, pairs: &'de [(Key, Node)], fields: &'static [&'static str]) -> Vec<&'de (Key, Node)> {
        let known = |(key, _): &&(Key, Node)| {
            let text = key.text.as_str();
            if !fields.contains(&text) && !text.starts_with("x-") {
                let hint = name::hint(text, fields.iter().copied());
                self.context.report.at(Kind::Key, key.place, format!("unknown key `{text}`{hint}"));
            }
            fields.contains(&text) && !self.context.wrong.borrow().contains(&key.place)
        };
        pairs.iter().filter(known).collect()
    }
}

impl<'de> de::Deserializer<'de> for Decoder<'de> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.node.value {
            Value::Scalar(scalar) => self.scalar(scalar.resolve(), visitor),
            Value::List(items) => {
                let items = Items { rest: items.iter(), context: self.context };
                self.settle(visitor.visit_seq(items))
            }
            Value::Map(pairs) => {
                let pairs =
                    Pairs { rest: pairs.iter().collect::<Vec<_>>().into_iter(), value: None, context: self.context };
                self.settle(visitor.visit_map(pairs))
            }
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.node.value {
            Value::Scalar(Scalar { style: Style::Plain, text, .. }) if text.is_empty() => self.expected("text"),
            Value::Scalar(scalar) => self.settle(visitor.visit_borrowed_str(&scalar.text)),
            _ => self.expected("text"),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_str(visitor)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.node.value {
            Value::Scalar(scalar) => match scalar.resolve_for_number() {
                resolved @ (Resolved::Plain(Plain::Unsigned(_)) | Resolved::Overflow) => self.scalar(resolved, visitor),
                _ => self.expected("a positive whole number"),
            },
            _ => self.expected("a positive whole number"),
        }
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Failure> {
        self.settle(visitor.visit_newtype_struct(self))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.node.value {
            Value::List(_) => self.deserialize_any(visitor),
            _ => self.expected("a list"),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.node.value {
            Value::Map(_) => self.deserialize_any(visitor),
            _ => self.expected("a mapping"),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        if name == PLACED {
            return visitor.visit_seq(PlacedParts { place: self.node.place, value: self, next: 0 });
        }
        if name == SHORT && matches!(self.node.value, Value::Scalar(_)) {
            return self.deserialize_str(visitor);
        }
        let Value::Map(pairs) = &self.node.value else {
            let example = fields.first().copied().unwrap_or_default();
            return self.expected(&format!("a mapping with keys such as `{example}`"));
        };
        let pairs = Pairs { rest: self.known(pairs, fields).into_iter(), value: None, context: self.context };
        self.settle(visitor.visit_map(pairs))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        match &self.node.value {
            Value::Scalar(scalar) if !scalar.text.is_empty() => {
                self.settle(visitor.visit_enum(scalar.text.as_str().into_deserializer()))
            }
            _ => self.expected(&format!("one of {}", name::list(variants.iter().copied()))),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct
        identifier ignored_any
    }
}

/// The parts of a [`PLACED`] struct, in order.
struct PlacedParts<D> {
    place: Place,
    value: D,
    next: usize,
}

impl<'de, D: de::Deserializer<'de, Error = Failure> + Copy> de::SeqAccess<'de> for PlacedParts<D> {
    type Error = Failure;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Failure> {
        let Place { line, column, length } = self.place;
        self.next += 1;
        match self.next {
            1 => seed.deserialize(line.into_deserializer()),
            2 => seed.deserialize(column.into_deserializer()),
            3 => seed.deserialize(length.into_deserializer()),
            _ => seed.deserialize(self.value),
        }
        .map(Some)
    }
}

struct Items<'de> {
    rest: std::slice::Iter<'de, Node>,
    context: Context<'de>,
}

impl<'de> de::SeqAccess<'de> for Items<'de> {
    type Error = Failure;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Failure> {
        let Some(node) = self.rest.next() else { return Ok(None) };
        let decoder = Decoder { node, key: None, context: self.context };
        decoder.settle(seed.deserialize(decoder)).map(Some)
    }
}

struct Pairs<'de> {
    rest: std::vec::IntoIter<&'de (Key, Node)>,
    value: Option<&'de (Key, Node)>,
    context: Context<'de>,
}

impl<'de> de::MapAccess<'de> for Pairs<'de> {
    type Error = Failure;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Failure> {
        self.value = self.rest.next();
        let Some((key, _)) = self.value else { return Ok(None) };
        seed.deserialize(KeyDecoder { key }).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Failure> {
        let Some((key, node)) = self.value.take() else {
            return Err(de::Error::custom("a value without its key"));
        };
        let decoder = Decoder { node, key: Some(key), context: self.context };
        decoder.settle(seed.deserialize(decoder)).inspect_err(|_| {
            let mut wrong = self.context.wrong.borrow_mut();
            if !wrong.contains(&key.place) {
                wrong.push(key.place);
            }
        })
    }
}

/// Reads the key of a mapping, as text or as text with its place.
struct KeyDecoder<'de> {
    key: &'de Key,
}

impl<'de> de::Deserializer<'de> for KeyDecoder<'de> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_borrowed_str(&self.key.text)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let value = BorrowedStrDeserializer::new(&self.key.text);
        visitor.visit_seq(PlacedParts { place: self.key.place, value, next: 0 })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
