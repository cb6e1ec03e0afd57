//! How a pipeline is run: stages, and what flows where.
//!
//! A keyed operator must see all records of a key in one task. Where its input does not keep its keys, or where `key`
//! makes new ones, its records pass through a repartition topic. The parts into which these topics cut the graph are
//! the stages; within one, records never leave their task.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use wasmill_core::operator::{Declaration, Role};

use super::{
    error::{Errors, Kind, Report},
    graph::{EventTime, File, Graph, Limits, Plugin, Retry},
    key::Key,
    name,
    settings::Settings,
    spec::{Create, Format, Guarantee, OnError, Start},
};

mod ports;
mod stages;

/// The cluster's name where none is given.
pub const DEFAULT_CLUSTER: &str = "wasmill";

/// A pipeline that can be run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The pipeline's name.
    pub pipeline: String,
    /// The consumer group that divides the tasks, `<cluster>.<pipeline>`.
    pub group: String,
    /// How often each record takes effect.
    pub guarantee: Guarantee,
    /// The longest time between two commits.
    pub commit_interval: Duration,
    /// The stages by name.
    pub stages: Vec<Stage>,
    /// The sinks, as in [`Edge::Sink`].
    pub sinks: Vec<Sink>,
    /// The topic of the records that operators failed on; the user's, made where it is missing.
    pub dead_letters: String,
    /// The topics that belong to the pipeline and are made with it.
    pub topics: Vec<Topic>,
}

/// Operators that are run in one task.
#[derive(Debug, Clone)]
pub struct Stage {
    /// The least of its inputs' names.
    pub name: String,
    /// Its data-less topic, `<cluster>.<pipeline>.<stage>-tasks`.
    pub tasks_topic: String,
    /// Whether an operator in it is keyed, so that its inputs must all have the same number of partitions.
    pub keyed: bool,
    /// What it reads, by name.
    pub inputs: Vec<Input>,
    /// Its operators, each behind those that it reads.
    pub nodes: Vec<Node>,
}

/// What a stage reads.
#[derive(Debug, Clone)]
pub struct Input {
    /// The source's name, or the operator's whose repartition topic it is.
    pub name: String,
    /// The topics, one or more.
    pub topics: Vec<String>,
    /// What it is.
    pub kind: InputKind,
    /// Where its records go.
    pub edges: Vec<Edge>,
}

/// What a stage's input is.
#[derive(Debug, Clone)]
pub enum InputKind {
    /// A source of the pipeline.
    Source {
        /// The file, where it is one.
        file: Option<File>,
        /// How values are encoded.
        format: Format,
        /// Where reading starts while nothing is committed.
        start: Start,
        /// Event time and watermarks.
        time: EventTime,
        /// How to make topics that do not exist; `None` where they must.
        create: Option<Create>,
    },
    /// The repartition topic of the input's operator.
    Repartition {
        /// The names of the stages that write it, in order.
        writers: Vec<String>,
    },
}

/// An operator in a stage.
#[derive(Debug, Clone)]
pub struct Node {
    /// The operator's name.
    pub operator: String,
    /// What the plugin does.
    pub role: Role,
    /// The code.
    pub plugin: Plugin,
    /// Given to the plugin.
    pub settings: Settings,
    /// What becomes of a record that it fails on.
    pub on_error: OnError,
    /// How often what may work later is tried again.
    pub retry: Retry,
    /// What one instance of the plugin may use.
    pub limits: Limits,
    /// The topic of its rows; `None` where it has none.
    pub changelog: Option<String>,
    /// Where the records of each of its output ports go; nowhere where nobody reads a port.
    pub outputs: Vec<Vec<Edge>>,
}

impl Node {
    /// Whether the operator remembers anything.
    pub fn is_stateful(&self) -> bool {
        self.changelog.is_some()
    }
}

/// The way of a record from an output to what reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edge {
    /// An operator of the same stage.
    Node {
        /// Its index in [`Stage::nodes`], greater than that of the operator where the edge begins.
        index: usize,
        /// The input, as the plugin numbers them.
        input: u32,
    },
    /// A sink.
    Sink {
        /// Its index in [`Plan::sinks`].
        index: usize,
    },
    /// The repartition topic of an operator, of this stage or another.
    Repartition {
        /// The operator.
        operator: String,
        /// The topic.
        topic: String,
        /// What the records' new key is made of; they keep theirs if `None`.
        key: Option<Key>,
        /// What becomes of a record that has no key then: it is the operator's failure.
        on_error: OnError,
    },
}

/// A sink of the pipeline.
#[derive(Debug, Clone)]
pub struct Sink {
    /// Its name.
    pub name: String,
    /// The topic; for a file the one that its records wait in.
    pub topic: String,
    /// The file, where it is one.
    pub file: Option<PathBuf>,
    /// How values are encoded.
    pub format: Format,
    /// How to make the topic if it does not exist; `None` where it must.
    pub create: Option<Create>,
}

/// A topic that belongs to the pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// What it is for, and so how wide it is.
    pub purpose: Purpose,
}

/// What a topic is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// Brings an operator's records to the tasks of their keys.
    Repartition {
        /// The operator.
        operator: String,
        /// Its partitions where the file sets them.
        partitions: Option<u32>,
    },
    /// Keeps an operator's rows, in as many partitions as its stage has tasks.
    Changelog {
        /// The operator.
        operator: String,
        /// The operator's stage.
        stage: String,
    },
    /// Keeps the records of a sink until they are in its file, in one partition.
    File {
        /// The sink.
        sink: String,
    },
    /// Divides the tasks of a stage, one a partition.
    Tasks {
        /// The stage.
        stage: String,
    },
}

impl Plan {
    /// Plans `graph`, whose plugins declare themselves by the names of their operators, on the cluster `cluster`.
    pub fn new(graph: &Graph, declarations: &BTreeMap<String, Declaration>, cluster: &str) -> Result<Self, Errors> {
        let report = Report::new(graph.document.clone());
        if let Err(message) = name::check(cluster) {
            report.push(Kind::Value, None, format!("the cluster cannot be named so: {message}"));
        }
        let plan = ports::bind(graph, declarations, &report)
            .and_then(|wiring| stages::Planner::new(graph, &wiring, cluster, &report).plan());
        report.finish(plan)
    }

    /// The stage that `operator` is in, and its node there.
    pub fn node(&self, operator: &str) -> Option<(&Stage, &Node)> {
        self.stages.iter().find_map(|stage| {
            let node = stage.nodes.iter().find(|node| node.operator == operator)?;
            Some((stage, node))
        })
    }
}
