//! A pipeline whose parts fit together: every name leads somewhere and nothing leads round in a cycle.
//!
//! What only the plugins can tell, their ports and whether they keep keys, is checked by [`Plan`](super::plan::Plan).

use std::{path::PathBuf, time::Duration};

use super::{
    error::{Document, Place, Warning},
    key::Key,
    placed::Placed,
    pointer::Pointer,
    settings::Settings,
    spec::{Create, Format, Guarantee, OnError, Start, TimeFormat},
};
use crate::builtin::BuiltIn;

mod build;
mod files;
mod order;
mod resolve;

/// A pipeline, made by [`load`](super::load) or [`parse`](super::parse).
#[derive(Debug, Clone)]
pub struct Graph {
    pub(super) document: Document,
    pub(super) name: Placed<String>,
    pub(super) guarantee: Guarantee,
    pub(super) commit_interval: Duration,
    pub(super) sources: Vec<Source>,
    pub(super) operators: Vec<Operator>,
    pub(super) sinks: Vec<Sink>,
    pub(super) dead_letters: String,
    pub(super) warnings: Vec<Warning>,
}

impl Graph {
    /// The pipeline file as the user named it.
    pub fn file(&self) -> &std::path::Path {
        &self.document.file
    }

    /// The pipeline file's text, variables not filled in.
    pub fn text(&self) -> &str {
        &self.document.text
    }

    /// The pipeline's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How often each record takes effect.
    pub fn guarantee(&self) -> Guarantee {
        self.guarantee
    }

    /// The longest time between two commits.
    pub fn commit_interval(&self) -> Duration {
        self.commit_interval
    }

    /// The sources in the order of the file, those that nobody reads included.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// The operators, each behind all that it reads, otherwise in the order of the file.
    pub fn operators(&self) -> &[Operator] {
        &self.operators
    }

    /// The sinks in the order of the file.
    pub fn sinks(&self) -> &[Sink] {
        &self.sinks
    }

    /// The topic of the records that operators failed on.
    pub fn dead_letters(&self) -> &str {
        &self.dead_letters
    }

    /// Puts something before the names of all topics that the file names.
    pub fn prefix_topics(&mut self, prefix: &str) {
        let sources = self.sources.iter_mut().filter(|source| source.file.is_none());
        let sources = sources.flat_map(|source| &mut source.topics);
        let sinks = self.sinks.iter_mut().filter(|sink| sink.file.is_none()).map(|sink| &mut sink.topic);
        let topics = sources.chain(sinks).chain([&mut self.dead_letters]);
        topics.for_each(|topic| topic.insert_str(0, prefix));
    }

    /// What works but is hardly meant.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}

/// Topics, or a file, that records are read from.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// Where its name stands in the file.
    pub place: Place,
    /// The topics, one or more, that no other source of the pipeline reads. For a file one that no log can have, its path
    /// as it is written behind `file:`.
    pub topics: Vec<String>,
    /// The file, where it is one.
    pub file: Option<File>,
    /// How values are encoded.
    pub format: Format,
    /// Where reading starts while nothing is committed.
    pub start: Start,
    /// Event time and watermarks.
    pub time: EventTime,
    /// A file of lines to write to a new topic of the embedded log.
    pub sample: Option<PathBuf>,
    /// How to make topics that do not exist; `None` where they must.
    pub create: Option<Create>,
}

/// A file whose lines are records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where it is.
    pub path: PathBuf,
    /// Whether its end is not the end of the input.
    pub follow: bool,
}

/// Event time and watermarks of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventTime {
    /// Where the event time is in the value and how it is written; the record's timestamp if `None`.
    pub field: Option<(Pointer, TimeFormat)>,
    /// How much older than the records before it a record may be.
    pub out_of_order: Duration,
    /// How long a partition without records holds watermarks back.
    pub idle_after: Duration,
}

/// A plugin or a built-in at its place in the pipeline.
#[derive(Debug, Clone)]
pub struct Operator {
    /// Its name.
    pub name: String,
    /// Where its name stands in the file.
    pub place: Place,
    /// The code.
    pub plugin: Plugin,
    /// Where the plugin or the built-in is named in the file.
    pub plugin_place: Place,
    /// What it reads: one input without a name, or some that each have one.
    pub inputs: Vec<Input>,
    /// Given to the plugin.
    pub settings: Settings,
    /// What the records' key is made of, where it is not the key that they have.
    pub key: Option<Key>,
    /// What becomes of a record that it fails on.
    pub on_error: OnError,
    /// How often what may work later is tried again.
    pub retry: Retry,
    /// What one instance of the plugin may use.
    pub limits: Limits,
    /// The partitions of its repartition topic where the file sets them, and where it does.
    pub repartition: Option<Placed<u32>>,
}

/// What an operator runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plugin {
    /// A file, or a source directory to build first; a relative path in the pipeline file starts at the file's directory.
    Path(PathBuf),
    /// A deployed plugin, by the SHA-256 of its bytes in 64 lower-case hexadecimal digits.
    Digest(String),
    /// A built-in, which needs no code.
    BuiltIn(BuiltIn),
}

/// One input of an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Its name, where the file gives one.
    pub name: Option<Placed<String>>,
    /// What it reads as one stream, one or more.
    pub from: Vec<Upstream>,
}

/// Something that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Where the file names it.
    pub place: Place,
    /// What it is.
    pub output: Output,
}

/// Something that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// A source, by its index in [`Graph::sources`].
    Source(usize),
    /// An output port of an operator.
    Operator {
        /// The operator's index in [`Graph::operators`], less than that of the operator that reads it.
        index: usize,
        /// The port's name; `None` is the main one.
        port: Option<String>,
    },
}

/// A topic, or a file, that records are written to.
#[derive(Debug, Clone)]
pub struct Sink {
    /// Its name.
    pub name: String,
    /// Where its name stands in the file.
    pub place: Place,
    /// The topic. For a file one that no log can have, its path as it is written behind `file:`.
    pub topic: String,
    /// The file, where it is one.
    pub file: Option<PathBuf>,
    /// Whose records are written, one or more.
    pub from: Vec<Upstream>,
    /// How values are encoded.
    pub format: Format,
    /// How to make the topic if it does not exist; `None` where it must.
    pub create: Option<Create>,
}

/// How often what may work later is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Calls in all, at least 1.
    pub attempts: u32,
    /// The time before the second call.
    pub backoff: Duration,
}

/// What one instance of a plugin may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes by which the memory may grow before the instance is replaced.
    pub growth: u64,
    /// The time that a call may take.
    pub deadline: Duration,
    /// The time that starting may take.
    pub open_deadline: Duration,
    /// Bytes that it may emit in one call.
    pub output: u64,
    /// Elements of its table of functions.
    pub table_elements: u32,
    /// Log lines a second that are kept.
    pub log_lines: u32,
}
