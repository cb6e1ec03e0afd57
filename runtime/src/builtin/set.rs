//! `set` and `insert-field`: fields that a value gets.

use schemars::JsonSchema;
use serde::Deserialize;

use super::each::{Each, Out, Record};
use super::expression::{Expression, Program};
use super::json::Node;
use crate::pipeline::field::{Field, Fields};
use crate::pipeline::literal::Literal;

/// Sets fields of a value, to what the file says or to what expressions make of the value.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Set {
    /// Fields and their new values. Objects on the way that are not there are made.
    #[serde(default)]
    pub fields: Fields<Literal>,
    /// Fields and the CEL expressions that make their new values of the old value.
    #[serde(default)]
    pub expressions: Fields<Expression>,
}

/// Adds fields with fixed values to the objects that records hold, as Kafka Connect's `InsertField` does.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct InsertField {
    /// The fields and their values. One that is there already gets the new value.
    pub fields: Fields<Literal>,
}

/// What sets fields.
pub(super) struct Setter {
    fields: Fields<Literal>,
    expressions: Vec<(Field, Program)>,
}

impl Setter {
    pub(super) fn set(settings: &Set) -> Self {
        let expressions = settings.expressions.0.iter().map(|(field, text)| (field.clone(), text.program()));
        Self { fields: settings.fields.clone(), expressions: expressions.collect() }
    }

    pub(super) fn insert(settings: &InsertField) -> Self {
        Self { fields: settings.fields.clone(), expressions: Vec::new() }
    }
}

impl Each for Setter {
    fn each(&mut self, record: &Record<'_>, out: &mut Out) -> Result<(), String> {
        if record.message.value.is_none() {
            return out.keep(0, record);
        }
        let mut value = Node::parse(record.message.value)?;
        let mut made = Vec::new();
        for (field, program) in &self.expressions {
            made.push((field, program.json(&mut value, &record.message, out.longest())?));
        }
        for (field, literal) in &self.fields.0 {
            value.put(field, Node::of(literal.json()))?;
        }
        for (field, json) in made {
            value.put(field, Node::of(json))?;
        }
        out.value(0, record, &value.to_bytes())
    }
}
