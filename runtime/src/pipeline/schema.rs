//! The JSON Schema of pipeline files.

use schemars::{Schema, SchemaGenerator, generate::SchemaSettings, transform::transform_subschemas};
use serde_json::{Value, json};

use super::spec::Spec;

/// What a value with a variable looks like.
const VARIABLE: &str = r"\$\{(env|file):";

/// The JSON Schema (draft 2020-12) of pipeline files as this version reads them, for editors.
pub fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12()
        .with_transform(allow_extensions)
        .with_transform(refuse_null)
        .with_transform(allow_variables);
    let mut schema = SchemaGenerator::new(settings).into_root_schema_for::<Spec>();
    schema.insert("title".to_owned(), json!("Wasmill pipeline"));
    schema.to_value()
}

/// Allows keys that begin with `x-` wherever unknown keys are refused.
fn allow_extensions(schema: &mut Schema) {
    if schema.get("additionalProperties") == Some(&Value::Bool(false)) && schema.get("patternProperties").is_none() {
        schema.insert("patternProperties".to_owned(), json!({ "^x-": true }));
    }
    transform_subschemas(&mut allow_extensions, schema);
}

/// A key that may be left out may still not be empty.
fn refuse_null(schema: &mut Schema) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [name] = types.as_slice() {
            let name = name.clone();
            schema.insert("type".to_owned(), name);
        }
    }
    if let Some(Value::Array(ways)) = schema.get_mut("anyOf") {
        ways.retain(|way| way != &json!({ "type": "null" }));
    }
    transform_subschemas(&mut refuse_null, schema);
}

/// Allows variables in the place of numbers and of text with a pattern.
fn allow_variables(schema: &mut Schema) {
    if let Some(Value::String(pattern)) = schema.get_mut("pattern") {
        *pattern = format!("{pattern}|{VARIABLE}");
    }
    if schema.get("type") == Some(&json!("integer")) {
        schema.insert("type".to_owned(), json!(["integer", "string"]));
        schema.insert("pattern".to_owned(), json!(VARIABLE));
        return;
    }
    transform_subschemas(&mut allow_variables, schema);
}
