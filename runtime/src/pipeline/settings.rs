//! What a pipeline gives to a plugin.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// The settings of an operator, a JSON object with variables filled in.
///
/// They may hold secrets, so they are not shown: `Debug` tells their names only.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings(serde_json::Map<String, Value>);

impl Settings {
    /// The settings as a JSON object, for the plugin and nobody else.
    pub fn to_json(&self) -> String {
        Value::Object(self.0.clone()).to_string()
    }

    /// The settings' names and values, secrets included.
    pub fn values(&self) -> &serde_json::Map<String, Value> {
        &self.0
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self(serde_json::Map::new())
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.keys().map(|name| (name, format_args!("***")))).finish()
    }
}

impl<'de> Deserialize<'de> for Settings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// Asks for a mapping, so that anything else is refused by name.
        struct Object;

        impl<'de> serde::de::Visitor<'de> for Object {
            type Value = serde_json::Map<String, Value>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut values = serde_json::Map::new();
                while let Some((name, value)) = map.next_entry()? {
                    values.insert(name, value);
                }
                Ok(values)
            }
        }

        deserializer.deserialize_map(Object).map(Self)
    }
}

impl JsonSchema for Settings {
    fn schema_name() -> Cow<'static, str> {
        "Settings".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Given to the plugin as one JSON object.",
            "type": "object",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_not_shown() {
        let settings: Settings = serde_json::from_str(r#"{"password":"hunter2","n":1}"#).unwrap();
        assert_eq!(format!("{settings:?}"), r#"{"n": ***, "password": ***}"#);
        assert_eq!(settings.to_json(), r#"{"n":1,"password":"hunter2"}"#);
    }
}
