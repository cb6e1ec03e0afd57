//! The log that pipelines run on: the embedded one, or Kafka.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use anyhow::Result;
use wasmill_core::commit::{Guarantee, Repair};
use wasmill_core::record::{Offset, Partition, TaskId, Timestamp};
use wasmill_core::scope::Limits;
use wasmill_core::task::row::TaskRow;
use wasmill_core::worker::Ports;

use crate::broker::Broker;
use crate::embedded::Stops;
use crate::kafka::{Event, Group, Leave};
use crate::topology::Topology;

/// What a topic is for, as far as making it goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TopicKind {
    /// A user's records.
    Records,
    /// A repartition topic.
    Repartition,
    /// The rows of an operator.
    Changelog,
    /// No records at all: it divides tasks.
    Tasks,
}

/// A topic to make.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub kind: TopicKind,
    /// How many partitions.
    pub partitions: u32,
    /// How many copies, where that is not left to the log.
    pub replication: Option<u16>,
}

/// A log that pipelines run on.
pub trait Backend: Send + Sync {
    /// The partitions of a topic; `None` if there is no such topic.
    fn partitions(&self, topic: &str) -> Result<Option<u32>>;

    /// Makes topics.
    fn create(&self, topics: &[NewTopic]) -> Result<()>;

    /// Gives a topic more partitions.
    fn grow(&self, topic: &str, partitions: u32) -> Result<()>;

    /// Whether topics of users' that are missing are made.
    fn makes_topics(&self) -> bool;

    /// What a record may be like to go to any of these topics: its bytes, with room for what the log adds, and its event
    /// time.
    fn limits(&self, topics: &[&str]) -> Result<Limits>;

    /// Deletes topics that belong to a pipeline, and forgets its group.
    fn forget(&self, group: &str, topics: &[&str]) -> Result<()>;

    /// The first offset that is kept.
    fn start(&self, topic: &str, partition: Partition) -> Result<Offset>;

    /// The first record of a time or later; `None` if there is none.
    fn at(&self, topic: &str, partition: Partition, time: Timestamp) -> Result<Option<Offset>>;

    /// The committed rows of tasks, by the tasks that have one. Where rows are to be repaired, one that cannot be read is
    /// none.
    fn rows(
        &self,
        group: &str,
        topology: &Arc<Topology>,
        tasks: &[TaskId],
        repair: Repair,
    ) -> Result<BTreeMap<TaskId, TaskRow>>;

    /// The nodes that run a pipeline now, or hold its tasks.
    fn members(&self, group: &str) -> Result<Vec<String>>;

    /// The offset behind the last record there is now.
    fn end(&self, topic: &str, partition: Partition) -> Result<Offset>;

    /// What tells a topic from every other one of its name.
    fn identity(&self, topic: &str) -> Result<String>;

    /// Waits until a reader sees all that is committed in a topic.
    fn settle(&self, topic: &str) -> Result<()>;

    /// Gives a pipeline its place on the log. `stops` says where inputs end although more may come.
    fn site(&self, cluster: &str, pipeline: &str, topology: &Arc<Topology>, stops: &Stops) -> Result<Arc<dyn Site>>;

    /// The log as commands see it, for feeding and printing.
    fn broker(&self) -> Result<Box<dyn Broker + Send>>;

    /// Deletes the records of a repartition topic that lie before offsets, which their reader has committed.
    fn purge(&self, before: &[(&str, Partition, Offset)]) -> Result<()>;

    /// Makes all that was committed safe from a power cut.
    fn finish(&self) -> Result<()>;
}

/// The place of a pipeline on a log.
pub trait Site: Send + Sync {
    /// The ports of a worker. Called on the worker's thread. Where rows are to be repaired, one that cannot be read is none.
    fn ports(&self, worker: usize, repair: Repair) -> Result<Ports>;

    /// Who says which tasks this process has. To be asked once.
    fn membership(&self) -> Membership;

    /// How often what a record causes may be seen on this log.
    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }

    /// How many of the pipeline's tasks are this process's; `None`: all.
    fn tasks(&self) -> Option<usize> {
        None
    }

    /// Gives up the place, after all workers have ended; or keeps it for a restart that comes soon.
    fn leave(&self, how: Leave) {
        let _ = how;
    }
}

/// Who says which tasks a process has.
pub enum Membership {
    /// It has all.
    Alone,
    /// The group does.
    Group(Arc<Group>, Receiver<Event>),
}
