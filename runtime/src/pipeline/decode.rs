//! A serde deserializer over a YAML tree that reports what is wrong at its place.
//!
//! A key that a struct does not know is reported and passed over; keys that begin with `x-` are passed over in silence.
//! Any other error ends the reading of the struct around it, so the tree is read again without what was wrong, until
//! nothing new turns up.
//!
//! An operator's mapping is read twice: by what it runs, a plugin or a built-in with its settings, and by what all
//! operators share. A key that is known to either is known.

use std::{cell::RefCell, fmt};

use serde::{
    de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, Visitor, value::BorrowedStrDeserializer},
    forward_to_deserialize_any,
};

use super::{
    error::{Kind, Place, Report, Reported},
    name,
    spec::operator::{CODE, OPERATOR, keys_of_code},
    yaml::{Key, Node, Plain, Resolved, Scalar, Style, Value},
};
use crate::builtin::USE;

/// The name of the struct that stands for a value with its place: line, column, length, value.
pub(super) const PLACED: &str = "$placed";

/// The key that names a built-in.
const USE_KEY: &str = "use";
/// The name of a struct that may also be written as the text of its first key.
pub(super) const SHORT: &str = "$short";

/// Most readings of one tree.
const MOST_READINGS: usize = 20;

/// Reads a `T` from `node`.
pub(super) fn decode<T: DeserializeOwned>(node: &Node, report: &Report) -> Result<T, Reported> {
    let wrong = RefCell::new(Vec::new());
    let decoder = Decoder { node, key: None, part: Part::Whole, context: Context { report, wrong: &wrong } };
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

/// What of a mapping is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// All of it.
    Whole,
    /// Of an operator's what it runs.
    Code,
    /// Of an operator's what all operators share; this is where its unknown keys are reported.
    Shared,
}

#[derive(Clone, Copy)]
struct Decoder<'de> {
    node: &'de Node,
    /// The key that the value stands behind.
    key: Option<&'de Key>,
    part: Part,
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
                    let or = if field == "plugin" { ", or `use` with the name of a built-in" } else { "" };
                    let message = format!("`{}` needs the key `{field}`{or}", key.text);
                    self.context.report.at(Kind::Key, key.place, message)
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

    /// The keys among `fields`; the others are reported, unless another part reads them.
    fn known(&self, pairs: &'de [(Key, Node)], fields: &'static [&'static str]) -> Vec<&'de (Key, Node)> {
        let others = match self.part {
            Part::Whole => Some(&[][..]),
            Part::Code => None,
            Part::Shared => keys_of_code(self.used()),
        };
        let known = |(key, _): &&(Key, Node)| {
            let text = key.text.as_str();
            if let Some(others) = others
                && !fields.contains(&text)
                && !others.contains(&text)
                && !text.starts_with("x-")
            {
                self.unknown(key, others.iter().chain(fields).copied());
            }
            fields.contains(&text) && !self.context.wrong.borrow().contains(&key.place)
        };
        pairs.iter().filter(known).collect()
    }

    fn unknown(&self, key: &Key, known: impl Iterator<Item = &'static str> + Clone) {
        let text = key.text.as_str();
        let message = if text == "plugin" {
            "`plugin` and `use` exclude each other; remove one".to_owned()
        } else {
            format!("unknown key `{text}`{}", name::hint(text, known))
        };
        self.context.report.at(Kind::Key, key.place, message);
    }

    /// The built-in that an operator's mapping names.
    fn used(&self) -> Option<&'de str> {
        self.node.get(USE_KEY).map(|(_, node)| match &node.value {
            Value::Scalar(scalar) => scalar.text.as_str(),
            _ => "",
        })
    }

    fn of(&self, part: Part) -> Self {
        Self { part, ..*self }
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

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        if name != OPERATOR {
            return self.deserialize_any(visitor);
        }
        match &self.node.value {
            Value::Map(_) => {
                visitor.visit_seq(OperatorParts { parts: vec![self.of(Part::Shared), self.of(Part::Code)] })
            }
            _ => self.expected("a mapping with keys such as `plugin`"),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        if name == CODE {
            let (at, variant) = match self.node.get(USE_KEY) {
                Some((key, node)) => (Self { node, key: Some(key), ..self }, "use"),
                None => (self, "plugin"),
            };
            return visitor.visit_enum(Variant { at, name: variant, value: self });
        }
        if name == USE {
            let Some((key, node)) = self.node.get(USE_KEY) else { return self.expected("the key `use`") };
            let at = Self { node, key: Some(key), ..self };
            return match &node.value {
                Value::Scalar(scalar) if !scalar.text.is_empty() => {
                    visitor.visit_enum(Variant { at, name: &scalar.text, value: self })
                }
                _ => at.expected("the name of a built-in"),
            };
        }
        match &self.node.value {
            Value::Scalar(scalar) if !scalar.text.is_empty() => {
                self.settle(visitor.visit_enum(scalar.text.as_str().into_deserializer()))
            }
            _ => self.expected(&format!("one of {}", name::list(variants.iter().copied()))),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u128 f32 f64 char bytes byte_buf unit unit_struct tuple identifier ignored_any
    }
}

/// The parts of an operator, the last one first.
struct OperatorParts<'de> {
    parts: Vec<Decoder<'de>>,
}

impl<'de> de::SeqAccess<'de> for OperatorParts<'de> {
    type Error = Failure;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Failure> {
        self.parts.pop().map(|part| part.settle(seed.deserialize(part))).transpose()
    }
}

/// A variant whose name and value are not behind each other.
struct Variant<'de> {
    /// Where the name stands.
    at: Decoder<'de>,
    name: &'de str,
    value: Decoder<'de>,
}

impl<'de> de::EnumAccess<'de> for Variant<'de> {
    type Error = Failure;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Failure> {
        let name = BorrowedStrDeserializer::new(self.name);
        let variant = self.at.settle(seed.deserialize(name))?;
        Ok((variant, self))
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'de> {
    type Error = Failure;

    fn unit_variant(self) -> Result<(), Failure> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Failure> {
        self.value.settle(seed.deserialize(self.value))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Failure> {
        self.value.expected("a name")
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, Failure> {
        self.value.expected("a name")
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
        let decoder = Decoder { node, key: None, part: Part::Whole, context: self.context };
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
        let decoder = Decoder { node, key: Some(key), part: Part::Whole, context: self.context };
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
