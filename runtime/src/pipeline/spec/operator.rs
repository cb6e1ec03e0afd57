//! Operators as a pipeline file writes them.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, SeqAccess, Visitor},
};
use serde_json::{Value, json};

use super::Inputs;
use crate::{
    builtin::BuiltIn,
    pipeline::{
        count::Count, duration::Duration, fields, key::Key, placed::Placed, settings::Settings, size::ByteSize,
    },
};

/// What the decoder knows an operator by, and what an operator runs.
pub(in crate::pipeline) const OPERATOR: &str = "$operator";
pub(in crate::pipeline) const CODE: &str = "$code";

/// A plugin or a built-in at its place in the pipeline. One mapping in the file.
#[derive(Debug, Clone)]
pub struct Operator {
    /// What it runs.
    pub code: Code,
    /// What all operators have.
    pub shared: Shared,
}

/// What an operator runs.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename = "$code", rename_all = "kebab-case")]
pub enum Code {
    /// A plugin.
    Plugin(Plugin),
    /// A built-in.
    Use(BuiltIn),
}

/// What all operators have.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Shared {
    /// Where a built-in is named.
    #[serde(rename = "use")]
    #[schemars(skip)]
    pub built_in: Option<Placed<IgnoredAny>>,
    /// What the operator reads: a source, an operator (its main output), an output port, or a list of them, read as one
    /// stream; for a plugin with several inputs a mapping from their names.
    #[schemars(extend("examples" = ["orders", "parse.rejected", ["a", "b"], { "left": "a", "right": "b" }]))]
    pub from: Inputs,
    /// What the records' key is made of, where it is not the key that they have: text becomes its bytes, a number or boolean
    /// its JSON text, a list of pointers a JSON array. The records are repartitioned by it. A value without it is that
    /// record's failure.
    #[schemars(extend("examples" = ["/shop", ["/shop", "/country"]]))]
    pub key: Option<Key>,
    /// What becomes of a record that the operator fails on.
    #[serde(default)]
    #[schemars(extend("default" = "dead-letter"))]
    pub on_error: OnError,
    /// The topic through which the records pass on their way to a keyed operator. There is one where `key` or this is given,
    /// and where what the operator reads does not keep its keys; without this it is as wide as the stage that writes it.
    #[schemars(extend("examples" = [{ "partitions": 8 }]))]
    pub repartition: Option<Placed<Repartition>>,
}

/// A plugin, what it is given and what it may do.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Plugin {
    /// A `.wasm` file, or the directory of a Rust crate, which is built first. Relative paths start at the pipeline file's
    /// directory. `sha256:<digest>`, of a deployed plugin, is checked, and `run` refuses it.
    #[schemars(extend("examples" = ["./parse", "parse.wasm"]))]
    pub plugin: Placed<String>,
    /// Given to the plugin as one JSON object.
    #[serde(default)]
    #[schemars(extend("default" = {}, "examples" = [{ "currency": "EUR" }]))]
    pub settings: Settings,
    /// How often calls are made again whose error the plugin calls transient, before `on-error` applies.
    #[serde(default)]
    #[schemars(extend("examples" = [{ "attempts": 10, "backoff": "500ms" }]))]
    pub retry: Retry,
    /// What one instance of the plugin may use. A record that takes it beyond is that record's failure.
    #[schemars(extend("examples" = [{ "memory": "128MiB", "deadline": "5s" }]))]
    pub limits: Option<Placed<Limits>>,
}

/// The keys that what an operator runs reads: those of a plugin, or the settings of a built-in; `None` where there is no
/// such built-in.
pub(in crate::pipeline) fn keys_of_code(built_in: Option<&str>) -> Option<&'static [&'static str]> {
    match built_in {
        None => fields::of::<Plugin>(None),
        Some(name) => fields::of::<BuiltIn>(Some(name)),
    }
}

impl<'de> Deserialize<'de> for Operator {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parts;

        impl<'de> Visitor<'de> for Parts {
            type Value = Operator;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an operator")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Operator, A::Error> {
                // Both are read before either fails, so that all that is wrong is told.
                let (code, shared) = (parts.next_element(), parts.next_element());
                let missing = || de::Error::custom("half an operator");
                Ok(Operator { code: code?.ok_or_else(missing)?, shared: shared?.ok_or_else(missing)? })
            }
        }

        deserializer.deserialize_tuple_struct(OPERATOR, 2, Parts)
    }
}

impl JsonSchema for Operator {
    fn schema_name() -> Cow<'static, str> {
        "Operator".into()
    }

    /// One way for a plugin, and one for each built-in, each with the keys that all operators have.
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let shared = Shared::json_schema(generator).to_value();
        let mut ways = vec![merged(&Plugin::json_schema(generator).to_value(), &shared)];
        let built_ins = BuiltIn::json_schema(generator).to_value();
        for one in built_ins["oneOf"].as_array().into_iter().flatten() {
            for (name, settings) in one["properties"].as_object().into_iter().flatten() {
                let mut way = merged(&resolved(settings, generator), &shared);
                way["description"] = one["description"].clone();
                way["properties"]["use"] = json!({ "const": name, "description": "The name of the built-in." });
                if let Some(required) = way["required"].as_array_mut() {
                    required.push(json!("use"));
                }
                ways.push(way);
            }
        }
        json_schema!({
            "description": "A plugin or a built-in at its place in the pipeline.",
            "type": "object",
            "anyOf": ways,
        })
    }
}

/// The schema that a reference leads to.
fn resolved(schema: &Value, generator: &SchemaGenerator) -> Value {
    let reference = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next());
    reference.and_then(|name| generator.definitions().get(name)).unwrap_or(schema).clone()
}

/// The schema of a mapping with the keys of both.
fn merged(one: &Value, other: &Value) -> Value {
    let mut merged = one.clone();
    for (name, property) in other["properties"].as_object().into_iter().flatten() {
        merged["properties"][name] = property.clone();
    }
    let required: Vec<Value> =
        [one, other].iter().flat_map(|schema| schema["required"].as_array().into_iter().flatten()).cloned().collect();
    merged["required"] = Value::Array(required);
    merged["additionalProperties"] = json!(false);
    merged
}

/// What becomes of a record that an operator fails on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnError {
    /// It goes to the dead-letter topic.
    #[default]
    DeadLetter,
    /// It is counted and dropped.
    Skip,
    /// The pipeline stops.
    Stop,
}

/// How often what may work later is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Retry {
    /// Calls in all, the first one too.
    #[schemars(extend("default" = 5))]
    pub attempts: Count<1000>,
    /// The pause before each further call.
    #[schemars(extend("default" = "1s"))]
    pub backoff: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: Count::new::<5>(), backoff: Duration::from_secs(1) }
    }
}

/// What one instance of a plugin may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Limits {
    /// Its memory, 64KiB to 4GiB.
    #[schemars(extend("default" = "64MiB"))]
    pub memory: ByteSize,
    /// How much its memory may grow after it was opened before it is replaced by a new instance.
    #[schemars(extend("default" = "32MiB"))]
    pub growth: ByteSize,
    /// The processor time that a call may take.
    #[schemars(extend("default" = "1s"))]
    pub deadline: Duration,
    /// The processor time that starting an instance may take.
    #[schemars(extend("default" = "30s"))]
    pub open_deadline: Duration,
    /// What it may emit in one call.
    #[schemars(extend("default" = "64MiB"))]
    pub output: ByteSize,
    /// Elements of its tables of functions.
    #[schemars(extend("default" = 10_000))]
    pub table_elements: Count<1_000_000>,
    /// Lines that it may log in a second; more are dropped and counted.
    #[schemars(extend("default" = 100))]
    pub log_lines: Count<1_000_000>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: ByteSize::from_mebibytes(64),
            growth: ByteSize::from_mebibytes(32),
            deadline: Duration::from_secs(1),
            open_deadline: Duration::from_secs(30),
            output: ByteSize::from_mebibytes(64),
            table_elements: Count::new::<10_000>(),
            log_lines: Count::new::<100>(),
        }
    }
}

/// The topic through which an operator's records pass where their key changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Repartition {
    /// Its partitions.
    #[schemars(extend("examples" = [8]))]
    pub partitions: Count<100_000>,
}
