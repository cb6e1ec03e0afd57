//! Sinks as a pipeline file writes them.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Create, Format, From};
use crate::pipeline::placed::Placed;

/// A topic or a file that records are written to.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Sink {
    /// The topic. This or `file` must be given.
    pub topic: Option<Placed<String>>,
    /// A file that values are appended to as lines. A relative path starts at the pipeline file's directory.
    pub file: Option<Placed<String>>,
    /// Whose records are written.
    pub from: From,
    /// How values are encoded.
    #[serde(default)]
    pub format: Format,
    /// How to make the topic if it does not exist.
    pub create: Option<Create>,
}
