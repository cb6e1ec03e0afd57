//! A pipeline file as it is written: each key has its type, but names may still lead nowhere.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    duration::Duration,
    placed::{Entries, Placed},
};

mod from;
pub(in crate::pipeline) mod operator;
mod sink;
mod source;

pub use from::{From, Inputs};
pub use operator::{Code, Limits, OnError, Operator, Plugin, Repartition, Retry, Shared};
pub use sink::Sink;
pub use source::{Create, File, Format, Source, Start, Time, TimeFormat};

/// A Wasmill pipeline: sources, the operators that their records go through, and sinks. Keys that begin with `x-` are
/// ignored.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Spec {
    /// The version of this format, 1.
    #[schemars(range(min = 1, max = 1))]
    pub format_version: Placed<u32>,
    /// The pipeline's name, of a-z, 0-9 and `-`. Topics and the consumer group are named after it.
    #[schemars(regex(pattern = r"^[a-z0-9-]{1,63}$"))]
    pub name: Placed<String>,
    /// How often each record takes effect.
    #[serde(default)]
    pub guarantee: Guarantee,
    /// When results become visible.
    pub commit: Option<Commit>,
    /// Where records come from, by name.
    pub sources: Entries<Source>,
    /// What happens to the records, by name.
    #[serde(default)]
    pub operators: Entries<Operator>,
    /// Where results go, by name.
    #[serde(default)]
    pub sinks: Entries<Sink>,
    /// The topic of the records that an operator failed on; `<name>.dead-letters` by default.
    pub dead_letters: Option<Placed<String>>,
}

/// How often each record takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Guarantee {
    /// Once, whatever crashes.
    #[default]
    ExactlyOnce,
    /// Once, or again after a crash.
    AtLeastOnce,
}

/// When results become visible.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Commit {
    /// The longest time between two commits, 100ms by default.
    pub interval: Placed<Duration>,
}
