//! Clients of the brokers.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use rdkafka::config::{ClientConfig, FromClientConfig};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::metadata::MetadataTopic;
use rdkafka::{Offset, TopicPartitionList};

pub const ASK: Duration = Duration::from_secs(20);

pub struct Brokers(String);

impl Brokers {
    pub fn new(addresses: &str) -> Self {
        Self(addresses.into())
    }

    pub fn client<T: FromClientConfig>(&self, settings: &[(&str, &str)]) -> Result<T> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.0);
        for (name, value) in settings {
            config.set(*name, *value);
        }
        config.create().with_context(|| format!("make a client of {}", self.0))
    }

    /// A consumer that sees what is committed.
    pub fn consumer(&self) -> Result<BaseConsumer> {
        self.client(&[
            ("group.id", "gen"),
            ("isolation.level", "read_committed"),
            ("enable.auto.commit", "false"),
            ("enable.partition.eof", "true"),
            ("fetch.queue.backoff.ms", "5"),
        ])
    }
}

/// All partitions of a topic, at an offset.
pub fn partitions(consumer: &BaseConsumer, topic: &str, offset: Offset) -> Result<TopicPartitionList> {
    let metadata = consumer.fetch_metadata(Some(topic), ASK).with_context(|| format!("look up topic {topic}"))?;
    let mut list = TopicPartitionList::new();
    for partition in metadata.topics().iter().flat_map(MetadataTopic::partitions) {
        list.add_partition_offset(topic, partition.id(), offset)?;
    }
    if list.count() == 0 {
        bail!("topic {topic} is not there");
    }
    Ok(list)
}
