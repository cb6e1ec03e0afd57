//! Sources as a pipeline file writes them.

use std::{borrow::Cow, path::PathBuf};

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use crate::pipeline::{count::Count, duration::Duration, name, placed::Placed, pointer::Pointer};

/// Topics that records are read from.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Source {
    /// The topic. This or `topics` must be given.
    pub topic: Option<Placed<String>>,
    /// Several topics that are read as one.
    pub topics: Option<Placed<Vec<Placed<String>>>>,
    /// How values are encoded.
    #[serde(default)]
    pub format: Format,
    /// Where reading starts while nothing is committed.
    #[serde(default)]
    pub start: Start,
    /// What the event time of a record is, and how far watermarks stay behind.
    #[serde(default)]
    pub time: Time,
    /// A file of lines that `run` and `dev` write to the topic when it is new on the embedded log. A relative path starts
    /// at the pipeline file's directory.
    pub sample: Option<PathBuf>,
    /// How to make topics that do not exist.
    pub create: Option<Create>,
}

/// How values are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// The plugins know.
    #[default]
    Bytes,
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
    /// Where the event time is in the value; the record's timestamp by default.
    pub field: Option<Pointer>,
    /// How `field` is written; rfc3339 by default.
    pub format: Option<Placed<TimeFormat>>,
    /// How much older than the records before it a record may be; 0s by default.
    pub out_of_order: Duration,
    /// How long a partition without records holds watermarks back; 60s by default.
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
    /// Its partitions; the cluster's default if not given.
    pub partitions: Option<Count<100_000>>,
    /// On how many brokers each partition is kept; the cluster's default if not given.
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
            "description": "Where reading starts while nothing is committed: `earliest`, `latest`, or a time.",
            "anyOf": [{ "enum": ["earliest", "latest"] }, { "type": "string", "format": "date-time" }],
        })
    }
}
