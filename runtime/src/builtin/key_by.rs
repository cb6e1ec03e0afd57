//! `key-by`: another key.

use schemars::JsonSchema;
use serde::Deserialize;

use super::each::{Each, Out, Record};
use super::json::Node;
use crate::pipeline::field::FieldList;

/// Gives records the key that is in their value.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct KeyBy {
    /// Where the key is. Text becomes its bytes, a number or boolean its JSON text, several fields a JSON array.
    pub field: FieldList,
}

impl Each for KeyBy {
    fn keeps_keys(&self) -> bool {
        false
    }

    fn each(&mut self, record: &Record<'_>, out: &mut Out) -> Result<(), String> {
        let mut value = Node::parse(record.message.value)?;
        let mut key = Vec::new();
        let several = self.field.0.len() > 1;
        for (field, at) in self.field.0.iter().zip(0..) {
            if several {
                key.push(if at == 0 { b'[' } else { b',' });
            }
            let node = value.need(field)?;
            let Some(json) = node.scalar().filter(|_| !node.is_null()) else {
                return Err(format!("{} at `{field}` cannot be a key", node.kind()));
            };
            match node.text()? {
                Some(text) if !several => key.extend_from_slice(text.as_bytes()),
                Some(text) => super::json::write_text(&mut key, &text),
                None => key.extend_from_slice(json.as_bytes()),
            }
        }
        if several {
            key.push(b']');
        }
        out.key(0, record, &key)
    }
}
