//! The tables of the pipeline file's reference, made of its JSON Schema.

use std::fmt::Write;

use serde_json::Value;
use wasmill::pipeline::schema;

/// A part of the page by its name: `keys of NAME`, with the name of a definition of the schema, `Pipeline` for the file
/// itself, and `Plugin` for an operator that is one.
pub(crate) fn part(name: &str) -> Option<String> {
    let schema = schema();
    let mapping = match name.strip_prefix("keys of ")? {
        "Pipeline" => &schema,
        "Plugin" => schema.pointer("/$defs/Operator/anyOf/0")?,
        name => schema.pointer(&format!("/$defs/{name}"))?,
    };
    let required = mapping["required"].as_array().into_iter().flatten();
    let required: Vec<_> = required.filter_map(Value::as_str).collect();
    let mut table = "\n| key | value | default | meaning |\n| --- | --- | --- | --- |\n".to_owned();
    for (key, property) in mapping["properties"].as_object()? {
        let default = match property.get("default") {
            Some(default) => format!("`{}`", flow(default)),
            None if required.contains(&key.as_str()) => "required".into(),
            None => String::new(),
        };
        let meaning = format!("{}{}{}", meaning(property), variants(&schema, property), examples(key, property));
        writeln!(table, "| `{key}` | {} | {default} | {meaning} |", value(&schema, property)).unwrap();
    }
    Some(table + "\n")
}

/// What a property says of itself.
fn meaning(property: &Value) -> String {
    let text = property["description"].as_str().unwrap_or_else(|| panic!("a key without a description: {property}"));
    assert!(text.len() > 8, "{text}");
    text.replace('\n', " ")
}

fn examples(key: &str, property: &Value) -> String {
    let examples: Vec<_> = property["examples"].as_array().into_iter().flatten().map(flow).collect();
    if examples.is_empty() {
        return String::new();
    }
    let examples: Vec<_> = examples.iter().map(|example| format!("`{key}: {example}`")).collect();
    format!(" {}", examples.join(", "))
}

/// The schema that a property has, wherever it stands.
fn resolved<'a>(schema: &'a Value, property: &'a Value) -> (Option<&'a str>, &'a Value) {
    let reference = property["$ref"].as_str().and_then(|path| path.rsplit('/').next());
    let named = reference.and_then(|name| Some((Some(name), schema.pointer(&format!("/$defs/{name}"))?)));
    named.or_else(|| Some((None, alone(property)?))).map_or((None, property), |(name, found)| match name {
        Some(name) => (Some(name), found),
        None => resolved(schema, found),
    })
}

/// The only way of a property to be.
fn alone(property: &Value) -> Option<&Value> {
    match property["anyOf"].as_array()?.as_slice() {
        [one] => Some(one),
        _ => None,
    }
}

/// What may be written.
fn value(schema: &Value, property: &Value) -> String {
    let (name, found) = resolved(schema, property);
    let known = match name {
        Some("Duration") => "duration",
        Some("ByteSize") => "size",
        Some("Pointer") => "JSON pointer",
        Some("Key") => "JSON pointer, or a list of them",
        Some("From") => "name, or a list of them",
        Some("Inputs") => "name, a list, or a mapping",
        Some("File") => "path, or a mapping",
        Some("Start") => "`earliest`, `latest` or a time",
        _ => "",
    };
    if !known.is_empty() {
        return known.into();
    }
    if let Some(ways) = found["oneOf"].as_array() {
        let names: Vec<_> =
            ways.iter().filter_map(|way| way["const"].as_str()).map(|name| format!("`{name}`")).collect();
        return names.join(", ");
    }
    let (least, most) = (&found["minimum"], &found["maximum"]);
    match &found["type"] {
        Value::String(kind) if kind == "string" => "text".into(),
        Value::String(kind) if kind == "boolean" => "`true`, `false`".into(),
        Value::String(kind) if kind == "array" => "list".into(),
        Value::String(kind) if kind == "object" => "mapping".into(),
        Value::Array(_) if least == most => format!("`{least}`"),
        Value::Array(_) => format!("number, {least} to {most}"),
        _ => panic!("how is this written? {property}"),
    }
}

/// What each of a few texts means.
fn variants(schema: &Value, property: &Value) -> String {
    let (_, found) = resolved(schema, property);
    let ways = found["oneOf"].as_array().into_iter().flatten();
    let one = |way: &Value| Some(format!(" `{}`: {}", way["const"].as_str()?, lower(way["description"].as_str()?)));
    ways.filter_map(one).collect::<Vec<_>>().join(";").replace(".;", ";")
}

fn lower(text: &str) -> String {
    let mut letters = text.replace('\n', " ").chars().collect::<Vec<_>>();
    if let Some(first) = letters.first_mut() {
        *first = first.to_ascii_lowercase();
    }
    letters.into_iter().collect()
}

/// A value as YAML writes it in a line.
fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Object(pairs) => {
            let pairs = pairs.iter().map(|(key, value)| format!("{key}: {}", flow(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}
