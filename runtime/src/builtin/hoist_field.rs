//! `hoist-field`: a value as the only field of an object.

use schemars::JsonSchema;
use serde::Deserialize;

use super::each::{Each, Out, Record};
use super::json::{Node, write_text};

/// Makes the value the only field of an object, as Kafka Connect's `HoistField` does.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct HoistField {
    /// The field's name.
    pub field: String,
    /// What the value is; text by default.
    #[serde(rename = "as", default)]
    pub form: Form,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// UTF-8 text, also where it looks like JSON.
    #[default]
    Text,
    /// JSON.
    Json,
}

impl Each for HoistField {
    fn each(&mut self, record: &Record<'_>, out: &mut Out) -> Result<(), String> {
        let mut object = vec![b'{'];
        write_text(&mut object, &self.field);
        object.push(b':');
        match (record.message.value, self.form) {
            (None, _) => object.extend_from_slice(b"null"),
            (Some(value), Form::Text) => {
                let text = std::str::from_utf8(value).map_err(|_| "the value is not UTF-8 text".to_owned())?;
                write_text(&mut object, text);
            }
            (value, Form::Json) => Node::parse(value)?.write(&mut object),
        }
        object.push(b'}');
        out.value(0, record, &object)
    }
}
