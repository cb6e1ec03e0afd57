//! How far the committed part of a topic reaches.

use anyhow::Result;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use crate::kafka::{ASK, Brokers, partitions};

/// The last stable offsets of a topic: they move when output becomes visible to those who read what is committed.
pub struct Stable {
    consumer: BaseConsumer,
    ends: TopicPartitionList,
}

impl Stable {
    pub fn of(brokers: &Brokers, topic: &str) -> Result<Self> {
        let consumer = brokers.consumer()?;
        // A look-up by time whose time is -1, which is this offset, answers the ends, all partitions in one request.
        let ends = partitions(&consumer, topic, Offset::End)?;
        Ok(Self { consumer, ends })
    }

    pub fn offsets(&self) -> Result<TopicPartitionList> {
        Ok(self.consumer.offsets_for_times(self.ends.clone(), ASK)?)
    }

    pub fn sum(&self) -> Result<i64> {
        let offsets = self.offsets()?;
        Ok(offsets.elements().iter().filter_map(|element| element.offset().to_raw()).map(|offset| offset.max(0)).sum())
    }
}
