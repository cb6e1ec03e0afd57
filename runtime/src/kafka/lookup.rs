//! Asking a cluster about topics.

use rdkafka::consumer::{BaseConsumer, Consumer};
use wasmill_core::record::{Offset, Partition};

use super::admin;
use super::client::{ASK, Client, Error, Logs};

/// A client that asks about topics.
pub struct Lookup(BaseConsumer<Logs>);

impl Lookup {
    /// A client of a cluster.
    pub fn new(client: &Client) -> Result<Self, Error> {
        Ok(Self(client.lookup()?))
    }

    /// The partitions of a topic; `None` if there is no such topic.
    pub fn partitions(&self, topic: &str) -> Result<Option<u32>, Error> {
        admin::partitions(&self.0, topic)
    }

    /// The offset behind the last record of a partition that is committed, and has no open transaction before it.
    pub fn end(&self, topic: &str, partition: Partition) -> Result<Offset, Error> {
        let asked = self.0.fetch_watermarks(topic, partition.0 as i32, ASK);
        let failed = |error| Error::failed(format!("find the end of {topic} partition {partition}"), error);
        asked.map(|(_, end)| Offset(end)).map_err(failed)
    }
}
