//! `cast`: fields of another type.

use schemars::JsonSchema;
use serde::Deserialize;

use super::decimal::{Decimal, is_number};
use super::each::{Each, Out, Record};
use super::json::{Node, quoted};
use crate::pipeline::field::Fields;

/// Turns fields into another type. Those that are not there or null stay so.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Cast {
    /// The fields and their types.
    pub fields: Fields<Type>,
}

/// What a field is turned into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Type {
    /// Text; a number as it is written, an object or a list as its JSON.
    Text,
    /// A whole number, from a number without a fraction, text that holds one, or a boolean (1 or 0).
    Integer,
    /// A number as it is written, from a number, text that holds one, or a boolean (1 or 0).
    Number,
    /// true or false, from a boolean, the text of one, or 1 or 0.
    Boolean,
}

impl Each for Cast {
    fn each(&mut self, record: &Record<'_>, out: &mut Out) -> Result<(), String> {
        if record.message.value.is_none() {
            return out.keep(0, record);
        }
        let mut value = Node::parse(record.message.value)?;
        for (field, to) in &self.fields.0 {
            let Some(node) = value.at(field.tokens())? else { continue };
            if node.is_null() {
                continue;
            }
            let json = cast(node, *to).map_err(|why| format!("`{field}` cannot be cast: {why}"))?;
            *node = Node::of(json);
        }
        out.value(0, record, &value.to_bytes())
    }
}

/// The JSON text of the value as another type.
fn cast(node: &Node<'_>, to: Type) -> Result<String, String> {
    let text = node.text()?;
    let json = String::from_utf8(node.to_bytes()).unwrap_or_default();
    let wrong = |what| Err(format!("{} is not {what}", node.kind()));
    match (to, text.as_deref(), json.as_str()) {
        (Type::Text, Some(_), _) => Ok(json),
        (Type::Text, None, _) => Ok(quoted(&json)),
        (Type::Integer | Type::Number, _, "true") => Ok("1".to_owned()),
        (Type::Integer | Type::Number, _, "false") => Ok("0".to_owned()),
        (Type::Number, text, json) if is_number(text.unwrap_or(json)) => Ok(text.unwrap_or(json).to_owned()),
        (Type::Number, ..) => wrong("a number"),
        (Type::Integer, text, json) if is_number(text.unwrap_or(json)) => {
            let number: Decimal = text.unwrap_or(json).parse()?;
            number.whole().ok_or_else(|| "the number has a fraction".to_owned())
        }
        (Type::Integer, ..) => wrong("a whole number"),
        (Type::Boolean, text, json) => match text.unwrap_or(json) {
            "true" | "1" => Ok("true".to_owned()),
            "false" | "0" => Ok("false".to_owned()),
            _ => wrong("true or false"),
        },
    }
}
