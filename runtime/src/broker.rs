//! What the commands `topics`, `produce` and `consume` need from a log, be it embedded or Kafka.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use wasmill_core::batch::Batch;
use wasmill_core::record::{Offset, Partition};

/// Why a log did not do it.
#[derive(Clone, Debug, Error, Eq, PartialEq)]
pub enum BrokerError {
    /// It says no, and will again.
    #[error("{0}")]
    Refused(String),
    /// It went away before it answered: whether it was done is not known.
    #[error("{0}")]
    Gone(String),
}

/// A topic, as it is listed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Listed {
    /// Its name.
    pub topic: String,
    /// What it keeps: `records`, or the last record of each key, `changelog`.
    pub kind: String,
    /// What each partition holds.
    pub partitions: Vec<Extent>,
}

/// What a partition holds.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Extent {
    /// The first offset that is kept.
    pub start: i64,
    /// The offset behind the last record.
    pub end: i64,
}

/// Where reading stands in a partition.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cursor {
    /// The partition.
    pub partition: Partition,
    /// The next record to read.
    pub next: Offset,
}

/// Records of one partition, in order.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Chunk {
    /// The partition.
    pub partition: Partition,
    /// The records.
    pub records: Batch,
    /// The offset of each.
    pub offsets: Vec<i64>,
}

/// A log. All calls block.
pub trait Broker {
    /// All topics.
    fn topics(&mut self) -> Result<Vec<Listed>, BrokerError>;

    /// Makes a topic for records if there is none of that name.
    fn ensure(&mut self, topic: &str, partitions: u32) -> Result<(), BrokerError>;

    /// Appends records, all or none, each to the partition of its key, those without keys to all partitions in turn.
    /// Answers how many each partition got.
    fn append(&mut self, topic: &str, records: &Batch) -> Result<Vec<u64>, BrokerError>;

    /// Brings committed records from the cursors on, and moves these behind them. Waits at most so long if there are
    /// none. A cursor before the first record that is kept moves to it.
    fn fetch(&mut self, topic: &str, cursors: &mut [Cursor], wait: Duration) -> Result<Vec<Chunk>, BrokerError>;
}

/// The topic of a name among those listed.
pub fn find<'a>(topics: &'a [Listed], topic: &str) -> Result<&'a Listed, BrokerError> {
    topics.iter().find(|listed| listed.topic == topic).ok_or_else(|| {
        let names = topics.iter().map(|listed| listed.topic.as_str()).collect::<Vec<_>>().join(", ");
        let there = if names.is_empty() { "there are none yet".to_owned() } else { format!("there are {names}") };
        BrokerError::Refused(format!("topic {topic} does not exist: {there}"))
    })
}
