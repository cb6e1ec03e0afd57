//! Operators as a pipeline file writes them.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Inputs;
use crate::pipeline::{count::Count, duration::Duration, key::Key, placed::Placed, settings::Settings, size::ByteSize};

/// A plugin at its place in the pipeline.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Operator {
    /// A file, a source directory that is built first, or `sha256:<digest>` of a deployed plugin. Paths start at the
    /// pipeline file's directory.
    pub plugin: Placed<String>,
    /// What the operator reads.
    pub from: Inputs,
    /// Given to the plugin as one JSON object.
    #[serde(default)]
    pub settings: Settings,
    /// What the records' key is made of, where it is not the key that they have.
    pub key: Option<Key>,
    /// What becomes of a record that the operator fails on.
    #[serde(default)]
    pub on_error: OnError,
    /// How often what may work later is tried again before `on-error` applies.
    #[serde(default)]
    pub retry: Retry,
    /// What one instance of the plugin may use.
    pub limits: Option<Placed<Limits>>,
    /// The topic through which the operator's records pass where their key changes.
    pub repartition: Option<Placed<Repartition>>,
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
    /// Calls in all, 1 to 1000; 5 by default.
    pub attempts: Count<1000>,
    /// The time before the second call; 1s by default.
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
    /// Its memory, at most 4GiB; 64MiB by default.
    pub memory: ByteSize,
    /// How much its memory may grow before it is replaced by a new instance; 32MiB by default.
    pub growth: ByteSize,
    /// The time that a call may take; 1s by default.
    pub deadline: Duration,
    /// The time that starting may take; 30s by default.
    pub open_deadline: Duration,
    /// What it may emit in one call; 64MiB by default.
    pub output: ByteSize,
    /// Elements of its table of functions; 10000 by default.
    pub table_elements: Count<1_000_000>,
    /// Log lines a second that are kept; 100 by default.
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
    /// Its partitions; as many as the widest source has by default.
    pub partitions: Count<100_000>,
}
