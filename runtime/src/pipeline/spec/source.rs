//! Sources as a pipeline file writes them.

use std::{borrow::Cow, fmt, path::PathBuf};

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};

use crate::pipeline::{count::Count, decode::SHORT, duration::Duration, name, placed::Placed, pointer::Pointer};

/// Topics that records are read from.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Source {
    /// The topic. Either this, `topics` or `file` must be given. A topic is read by one source only.
    #[schemars(extend("examples" = ["orders"]))]
    pub topic: Option<Placed<String>>,
    /// Several topics that are read as one.
    #[schemars(extend("examples" = [["orders-eu", "orders-us"]]))]
    pub topics: Option<Placed<Vec<Placed<String>>>>,
    /// A file whose lines are the records' values.
    #[schemars(extend("examples" = ["in.txt", { "path": "in.txt", "follow": true }]))]
    pub file: Option<Placed<File>>,
    /// How values are encoded.
    #[serde(default)]
    #[schemars(extend("default" = "bytes"))]
    pub format: Format,
    /// Where reading starts while nothing is committed: at the first record that is there (`earliest`), behind the last
    /// (`latest`), or at the first record of a time or later, behind the last if there is none. A file has no times.
    #[serde(default)]
    #[schemars(extend("default" = "earliest", "examples" = ["latest", "2026-11-01T00:00:00Z"]))]
    pub start: Start,
    /// What the event time of a record is, and how far watermarks stay behind it.
    #[serde(default)]
    #[schemars(extend("examples" = [{ "out-of-order": "5s", "idle-after": "30s" }]))]
    pub time: Time,
    /// A file of lines that `run` writes to the topic when it makes it on the embedded log and nothing is fed. A relative
    /// path starts at the pipeline file's directory.
    #[schemars(extend("examples" = ["orders.jsonl"]))]
    pub sample: Option<PathBuf>,
    /// How to make topics that do not exist. The embedded log makes them anyway; on Kafka they must exist, or this be given.
    #[schemars(extend("examples" = [{ "partitions": 8, "replication": 3 }]))]
    pub create: Option<Create>,
}

/// How values are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// As they are; the plugins know.
    #[default]
    Bytes,
    /// As Kafka Connect's `JsonConverter` writes them: an object of `schema` and `payload`.
    ConnectJson,
}

/// A file whose lines are records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where it is; a relative path starts at the pipeline file's directory.
    pub path: String,
    /// Whether it may grow and be replaced by others, so that its end is not the end of the input.
    pub follow: bool,
}

impl<'de> Deserialize<'de> for File {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = File;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a path, or a mapping with `path` and `follow`,")
            }

            fn visit_str<E: de::Error>(self, path: &str) -> Result<File, E> {
                Ok(File { path: path.to_owned(), follow: false })
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<File, A::Error> {
                let (mut path, mut follow) = (None, false);
                while let Some(key) = map.next_key::<Cow<'de, str>>()? {
                    match key.as_ref() {
                        "path" => path = Some(map.next_value()?),
                        "follow" => follow = map.next_value()?,
                        _ => drop(map.next_value::<de::IgnoredAny>()?),
                    }
                }
                Ok(File { path: path.ok_or_else(|| de::Error::missing_field("path"))?, follow })
            }
        }

        deserializer.deserialize_struct(SHORT, &["path", "follow"], Either)
    }
}

impl JsonSchema for File {
    fn schema_name() -> Cow<'static, str> {
        "File".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A file whose lines are records: its path, or a mapping that also says whether it is followed. A relative path starts at the pipeline file's directory.",
            "anyOf": [
                { "type": "string", "minLength": 1 },
                {
                    "type": "object",
                    "properties": {
                        "path": { "type": "string", "minLength": 1, "description": "Where the file is." },
                        "follow": {
                            "type": "boolean",
                            "default": false,
                            "description": "Whether it may grow and be replaced by others, so that its end is not the end of the input.",
                        },
                    },
                    "required": ["path"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}

/// Where reading starts while nothing is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// At the first record that is there.
    #[default]
    Earliest,
    /// Behind the last record that is there.
    Latest,
    /// At the first record of that time or later.
    Time(Timestamp),
}

/// What the event time of a record is, and how far watermarks stay behind.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Time {
    /// Where the event time is in the value; without it, it is the record's timestamp. This version checks it, and `run`
    /// refuses it.
    pub field: Option<Pointer>,
    /// How `field` is written.
    #[schemars(extend("default" = "rfc3339"))]
    pub format: Option<Placed<TimeFormat>>,
    /// How much older than the records before it a record may be. The watermark stays that far behind, so results that wait
    /// for it come that much later.
    #[schemars(extend("default" = "0s", "examples" = ["5s"]))]
    pub out_of_order: Duration,
    /// How long a partition that was read to its end holds watermarks back without new records, by the host's clock.
    #[schemars(extend("default" = "60s", "examples" = ["5s", "1h"]))]
    pub idle_after: Duration,
}

impl Default for Time {
    fn default() -> Self {
        Self { field: None, format: None, out_of_order: Duration::default(), idle_after: Duration::from_secs(60) }
    }
}

/// How a time is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TimeFormat {
    /// Text, `2026-11-01T00:00:00Z`.
    #[default]
    Rfc3339,
    /// Seconds since 1970.
    S,
    /// Milliseconds since 1970.
    Ms,
    /// Microseconds since 1970.
    Us,
}

/// How to make a topic that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Create {
    /// Its partitions.
    #[schemars(extend("default" = 4))]
    pub partitions: Option<Count<100_000>>,
    /// On how many brokers each partition is kept; without it, what the cluster has as its default.
    #[schemars(extend("examples" = [3]))]
    pub replication: Option<Count<1_000>>,
}

impl<'de> Deserialize<'de> for Start {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        match text.as_ref() {
            "earliest" => Ok(Self::Earliest),
            "latest" => Ok(Self::Latest),
            time => time.parse().map(Self::Time).map_err(|_| {
                let nearest = name::nearest(time, ["earliest", "latest"]);
                let hint = nearest.map(|n| format!(", did you mean `{n}`?")).unwrap_or_default();
                let ways = "`earliest`, `latest` nor a time such as `2026-11-01T00:00:00Z`";
                de::Error::custom(format!("`{time}` is neither {ways}{hint}"))
            }),
        }
    }
}

impl JsonSchema for Start {
    fn schema_name() -> Cow<'static, str> {
        "Start".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Where reading starts while nothing is committed.",
            "anyOf": [{ "enum": ["earliest", "latest"] }, { "type": "string", "format": "date-time" }],
        })
    }
}
