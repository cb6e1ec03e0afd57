//! Sinks as a pipeline file writes them.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Create, Format, From};
use crate::pipeline::placed::Placed;

/// A topic or a file that records are written to.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Sink {
    /// The topic. Either this or `file` must be given. Records go to the partition of their key, as Kafka's Java clients
    /// would send them; those without a key to that of their task.
    #[schemars(extend("examples" = ["totals"]))]
    pub topic: Option<Placed<String>>,
    /// A file that values are appended to as lines. A relative path starts at the pipeline file's directory.
    #[schemars(extend("examples" = ["out.txt"]))]
    pub file: Option<Placed<String>>,
    /// Whose records are written: a source, an operator, an output port, or a list of them.
    #[schemars(extend("examples" = ["parse", "parse.rejected", ["a", "b"]]))]
    pub from: From,
    /// How values are encoded.
    #[serde(default)]
    #[schemars(extend("default" = "bytes"))]
    pub format: Format,
    /// How to make the topic if it does not exist. The embedded log makes it anyway; on Kafka it must exist, or this be
    /// given.
    #[schemars(extend("examples" = [{ "partitions": 8 }]))]
    pub create: Option<Create>,
}
