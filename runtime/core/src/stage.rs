//! The shape of a stage: its inputs, its operators, and the way of records between them.

use std::sync::Arc;
use std::time::Duration;

use crate::port::{ChangelogId, Target};
use crate::record::TaskId;
use crate::scope::Limits;

/// The operators between repartitionings.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The least of its inputs' names.
    pub name: String,
    /// Where its records come from.
    pub inputs: Vec<Input>,
    /// Its operators; each stands behind those that feed it.
    pub nodes: Vec<Node>,
    /// The repartition topics that it writes to.
    pub repartitions: Vec<Target>,
}

impl Stage {
    /// The changelogs of its operators, with the index of the node.
    pub fn changelogs(&self) -> impl Iterator<Item = (usize, ChangelogId)> {
        self.nodes.iter().enumerate().filter_map(|(index, node)| Some((index, node.changelog?)))
    }

    /// The node whose changelog has the task's memory of every epoch.
    pub fn home(&self) -> Option<(usize, ChangelogId)> {
        self.changelogs().next()
    }
}

/// A topic that a stage reads, at the task's partition.
#[derive(Clone, Debug)]
pub struct Input {
    /// The topic.
    pub topic: Arc<str>,
    /// Where the watermark comes from.
    pub progress: Progress,
    /// Where its records go.
    pub edges: Vec<Edge>,
}

/// Where an input's watermark comes from.
#[derive(Clone, Debug)]
pub enum Progress {
    /// From the event times of its records.
    Records {
        /// How far a record may lie behind the greatest event time before it.
        out_of_order: Duration,
        /// After how long without records, read to the end, nobody waits for it.
        idle_after: Duration,
    },
    /// From the control records of these tasks.
    Controls(Vec<TaskId>),
}

/// Where records go next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Edge {
    /// To an operator of the stage.
    Node {
        /// Its index.
        node: usize,
        /// The index of its input.
        input: u32,
    },
    /// Out of the stage.
    Target(Target),
}

/// An operator at its place.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its name in the pipeline.
    pub operator: String,
    /// What tells its code apart, for those who read its dead letters.
    pub plugin: String,
    /// Where its rows go; `None` for one that keeps none.
    pub changelog: Option<ChangelogId>,
    /// For each of its outputs where records go.
    pub outputs: Vec<Vec<Edge>>,
    /// What happens to a record that it cannot handle.
    pub on_error: OnError,
    /// How often and how long a transient error is waited out.
    pub retry: Retry,
    /// What a call may leave.
    pub limits: Limits,
}

/// What happens to a record that an operator cannot handle.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OnError {
    /// It goes to the dead-letter topic.
    DeadLetter(Target),
    /// It is counted and left out.
    Skip,
    /// The pipeline stops.
    Stop,
}

/// How a transient error is waited out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Retry {
    /// How often a call is made again.
    pub attempts: u32,
    /// The pause before it is.
    pub backoff: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 5, backoff: Duration::from_secs(1) }
    }
}
