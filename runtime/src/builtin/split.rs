//! `split`: a record for each element of a list.

use schemars::JsonSchema;
use serde::Deserialize;

use super::each::{Each, Out, Record};
use super::json::Node;
use crate::pipeline::field::Field;

/// Makes a record of each element of a list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Split {
    /// Where the list is; the value itself by default.
    pub field: Option<Field>,
    /// What the new values are; the elements by default.
    #[serde(default)]
    pub keep: Keep,
}

/// What the values of split records are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// The element.
    #[default]
    Element,
    /// The whole value, with the element in the place of the list.
    Value,
}

impl Each for Split {
    fn each(&mut self, record: &Record<'_>, out: &mut Out) -> Result<(), String> {
        if record.message.value.is_none() {
            return out.keep(0, record);
        }
        let mut value = Node::parse(record.message.value)?;
        let field = self.field.clone().unwrap_or_else(Field::whole);
        let list = value.need(&field)?;
        let kind = list.kind();
        let Node::List(items) = list.open()? else {
            let of = if self.field.is_some() { format!("`{field}`") } else { "the value".to_owned() };
            return Err(format!("{of} is {kind}, not a list"));
        };
        for item in std::mem::take(items) {
            if self.keep == Keep::Value {
                *value.need(&field)? = item;
                out.value(0, record, &value.to_bytes())?;
            } else {
                out.value(0, record, &item.to_bytes())?;
            }
        }
        Ok(())
    }
}
