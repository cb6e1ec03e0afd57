//! The log that pipelines run on: the embedded one, or Kafka.

use std::sync::Arc;

use anyhow::Result;
use wasmill_core::record::{Offset, Partition};
use wasmill_core::worker::Ports;

use crate::broker::Broker;
use crate::embedded::Stops;
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

/// A log that pipelines run on.
pub trait Backend: Send + Sync {
    /// The partitions of a topic; `None` if there is no such topic.
    fn partitions(&self, topic: &str) -> Result<Option<u32>>;

    /// Makes a topic.
    fn create(&self, topic: &str, kind: TopicKind, partitions: u32, replication: Option<u16>) -> Result<()>;

    /// Whether topics of users' that are missing are made.
    fn makes_topics(&self) -> bool;

    /// The offset behind the last record that a reader can see now.
    fn end(&self, topic: &str, partition: Partition) -> Result<Offset>;

    /// The ports of a worker. Called on the worker's thread.
    fn ports(&self, worker: usize, pipeline: &str, topology: &Arc<Topology>, stops: &Stops) -> Result<Ports>;

    /// The log as commands see it, for feeding and printing.
    fn broker(&self) -> Result<Box<dyn Broker + Send>>;

    /// Makes all that was committed safe from a power cut.
    fn finish(&self) -> Result<()>;
}
