//! `mask`: fields that nobody is to read.

use std::fmt;
use std::fmt::Write;

use hmac::{Hmac, KeyInit, Mac};
use schemars::JsonSchema;
use serde::Deserialize;
use sha2::Sha256;

use super::each::{Each, Out, Record};
use super::json::{Node, quoted};
use crate::pipeline::field::FieldList;

/// Replaces fields by a fixed text, or by a keyed hash where values are to be told apart. Fields that are not there
/// stay so.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Mask {
    /// The fields.
    pub fields: FieldList,
    /// The text in their place; `***` by default.
    #[serde(rename = "with", default)]
    pub text: Text,
    /// A secret. With it a field is replaced by the HMAC-SHA256 of its text under this key, in hexadecimal digits, and
    /// equal values stay equal.
    pub hash_key: Option<Secret>,
}

/// What stands in the place of a masked field.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Text(String);

impl Default for Text {
    fn default() -> Self {
        Self("***".to_owned())
    }
}

/// Text that is not shown.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Mask {
    fn instead(&self, node: &Node<'_>) -> Result<String, String> {
        let Some(Secret(key)) = &self.hash_key else { return Ok(quoted(&self.text.0)) };
        let mut hash = Hmac::<Sha256>::new_from_slice(key.as_bytes()).map_err(|error| error.to_string())?;
        match node.text()? {
            Some(text) => hash.update(text.as_bytes()),
            None => hash.update(&node.to_bytes()),
        }
        let mut hexadecimal = String::new();
        for byte in hash.finalize().into_bytes() {
            write!(hexadecimal, "{byte:02x}").map_err(|error| error.to_string())?;
        }
        Ok(quoted(&hexadecimal))
    }
}

impl Each for Mask {
    fn each(&mut self, record: &Record<'_>, out: &mut Out) -> Result<(), String> {
        if record.message.value.is_none() {
            return out.keep(0, record);
        }
        let mut value = Node::parse(record.message.value)?;
        for field in &self.fields.0 {
            if let Some(node) = value.at(field.tokens())? {
                *node = Node::of(self.instead(node)?);
            }
        }
        out.value(0, record, &value.to_bytes())
    }
}
