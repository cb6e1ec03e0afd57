//! What the plan's indexes are called in the log.
//!
//! The worker says [`Target`], [`ChangelogId`], stage and
//! input by number; the ports of Kafka and of the embedded log look the names up here. Task (stage s, partition p)
//! reads partition p of every input of stage s that has that many partitions.

use std::path::PathBuf;

use wasmill_core::commit::Guarantee;
use wasmill_core::port::{ChangelogId, Target};
use wasmill_core::record::{TaskId, Timestamp};

/// The names of a plan's topics, and how they are written.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Topology {
    /// The topic of each target.
    pub targets: Vec<String>,
    /// The changelog topic of each stateful operator.
    pub changelogs: Vec<String>,
    /// The tasks topic of each stage; the committed row of its task p belongs to partition p.
    pub tasks: Vec<String>,
    /// The inputs of each stage.
    pub inputs: Vec<Vec<InputTopic>>,
    /// How many tasks each stage had before its source became wider, where that was noticed at this start.
    pub grown_from: Vec<Option<u32>>,
    /// How often what a record causes may be seen in them. The embedded log always commits together.
    pub guarantee: Guarantee,
}

/// An input of a stage.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InputTopic {
    /// Where its records come from.
    pub topic: String,
    /// Where it begins when nothing is committed.
    pub start: Start,
    /// Whether it is one of Wasmill's own topics, with control records between the records.
    pub repartition: bool,
    /// The file that its records come from, where that is no topic. A file has one partition, and its name as a topic,
    /// `file:` and its path as the pipeline file has it, is none that a log could have.
    pub file: Option<FileInput>,
}

/// A file that is read line by line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FileInput {
    /// The name of its source.
    pub source: String,
    /// Where it is.
    pub path: PathBuf,
    /// Whether its end is not the end of the input.
    pub follow: bool,
    /// Bytes of the longest line that becomes a record as it is.
    pub longest: usize,
}

/// Where an input begins when nothing is committed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Start {
    /// With the first record there is.
    #[default]
    Earliest,
    /// Behind the last record there is.
    Latest,
    /// With the first record of this time or later; behind the last if there is none.
    Time(Timestamp),
}

impl Topology {
    /// The topics of the pipeline's own, and those that its stages read.
    pub(crate) fn own(&self) -> (&[String], &[String], Vec<Vec<&str>>) {
        let names = self.inputs.iter().map(|inputs| inputs.iter().map(|input| input.topic.as_str()).collect());
        (&self.changelogs, &self.tasks, names.collect())
    }

    /// The topic of a target.
    pub fn target(&self, target: Target) -> Option<&str> {
        self.targets.get(usize::from(target.0)).map(String::as_str)
    }

    /// The topic of a changelog.
    pub fn changelog(&self, changelog: ChangelogId) -> Option<&str> {
        self.changelogs.get(usize::from(changelog.0)).map(String::as_str)
    }

    /// The tasks topic that a task's row belongs to.
    pub fn rows(&self, task: TaskId) -> Option<&str> {
        self.tasks.get(usize::from(task.stage)).map(String::as_str)
    }

    /// An input of a task.
    pub fn input(&self, task: TaskId, input: u32) -> Option<&InputTopic> {
        self.inputs.get(usize::from(task.stage))?.get(input as usize)
    }
}
