//! `select` and `drop`: which fields of a value stay.

use schemars::JsonSchema;
use serde::Deserialize;

use super::each::{Each, Out, Record};
use super::json::Node;
use crate::pipeline::field::{Field, FieldList};

/// Keeps some fields of a value, in the order in which the value has them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Select {
    /// The fields that stay.
    pub fields: FieldList,
}

/// Removes some fields of a value.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Drop {
    /// The fields that go.
    pub fields: FieldList,
}

impl Each for Select {
    fn each(&mut self, record: &Record<'_>, out: &mut Out) -> Result<(), String> {
        if record.message.value.is_none() {
            return out.keep(0, record);
        }
        let mut value = Node::parse(record.message.value)?;
        let paths: Vec<&[String]> = self.fields.0.iter().map(Field::tokens).collect();
        if !matches!(value.open()?, Node::Object(_)) {
            return Err(format!("the value is {}, not an object", value.kind()));
        }
        retain(&mut value, &paths)?;
        out.value(0, record, &value.to_bytes())
    }
}

/// Keeps what is on one of the paths.
fn retain(node: &mut Node<'_>, paths: &[&[String]]) -> Result<(), String> {
    match node.open()? {
        Node::Object(members) => {
            let mut kept = Vec::new();
            for (name, mut member) in std::mem::take(members) {
                if keep(&mut member, &name, paths)? {
                    kept.push((name, member));
                }
            }
            *members = kept;
        }
        Node::List(items) => {
            let mut kept = Vec::new();
            for (at, mut item) in std::mem::take(items).into_iter().enumerate() {
                if keep(&mut item, &at.to_string(), paths)? {
                    kept.push(item);
                }
            }
            *items = kept;
        }
        Node::Raw(_) => {}
    }
    Ok(())
}

fn keep(node: &mut Node<'_>, name: &str, paths: &[&[String]]) -> Result<bool, String> {
    let below = paths.iter().filter_map(|path| path.split_first().filter(|(first, _)| *first == name));
    let below: Vec<&[String]> = below.map(|(_, rest)| rest).collect();
    if below.is_empty() {
        return Ok(false);
    }
    if below.iter().all(|rest| !rest.is_empty()) {
        // Something in it is asked for, which something that is no object or list does not have.
        if node.scalar().is_some() {
            return Ok(false);
        }
        retain(node, &below)?;
    }
    Ok(true)
}

impl Each for Drop {
    fn each(&mut self, record: &Record<'_>, out: &mut Out) -> Result<(), String> {
        if record.message.value.is_none() {
            return out.keep(0, record);
        }
        let mut value = Node::parse(record.message.value)?;
        for field in &self.fields.0 {
            value.remove(field.tokens())?;
        }
        out.value(0, record, &value.to_bytes())
    }
}
