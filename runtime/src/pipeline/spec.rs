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
    /// The version of this format.
    #[schemars(range(min = 1, max = 1), extend("examples" = [1]))]
    pub format_version: Placed<u32>,
    /// The pipeline's name: 1 to 63 of `a-z`, `0-9` and `-`. The consumer group and the topics that belong to the pipeline
    /// are named after it, `<cluster>.<name>.…`.
    #[schemars(regex(pattern = r"^[a-z0-9-]{1,63}$"), extend("examples" = ["orders"]))]
    pub name: Placed<String>,
    /// How often each record takes effect.
    #[serde(default)]
    #[schemars(extend("default" = "exactly-once"))]
    pub guarantee: Guarantee,
    /// When results become visible: how long an epoch may last.
    #[schemars(extend("default" = { "interval": "100ms" }))]
    pub commit: Option<Commit>,
    /// Where records come from, by name.
    pub sources: Entries<Source>,
    /// What happens to the records, by name.
    #[serde(default)]
    pub operators: Entries<Operator>,
    /// Where results go, by name.
    #[serde(default)]
    pub sinks: Entries<Sink>,
    /// The topic of the records that operators failed on; without it `<name>.dead-letters`. It is made where it is missing,
    /// as wide as the widest source.
    #[schemars(extend("examples" = ["orders.dead-letters"]))]
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
    /// The longest time between two commits, 1ms to 30s. A shorter one shows results sooner, a longer one makes fewer and
    /// larger transactions.
    #[schemars(extend("examples" = ["20ms", "1s"]))]
    pub interval: Placed<Duration>,
}
