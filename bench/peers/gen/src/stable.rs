//! How far the committed part of a topic reaches.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use crate::kafka::{ASK, Brokers, partitions};

/// Between two attempts.
const AGAIN: Duration = Duration::from_millis(10);

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

    /// The offsets. A topic that was just made may have no leader yet.
    pub fn offsets(&self) -> Result<TopicPartitionList> {
        let deadline = Instant::now() + ASK;
        loop {
            match self.consumer.offsets_for_times(self.ends.clone(), ASK) {
                Err(_) if Instant::now() < deadline => thread::sleep(AGAIN),
                answer => return answer.context("look up the last stable offsets"),
            }
        }
    }

    pub fn sum(&self) -> Result<i64> {
        let offsets = self.offsets()?;
        Ok(offsets.elements().iter().filter_map(|element| element.offset().to_raw()).map(|offset| offset.max(0)).sum())
    }
}
