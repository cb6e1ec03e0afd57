//! Reads a changelog to its end.

use std::time::Duration;

use anyhow::{Context, Result};
use hashbrown::HashMap;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use crate::job::Job;
use crate::state::{State, first};

const ASK: Duration = Duration::from_secs(10);

/// How long a record is waited for until it is looked whether there is none left: markers of transactions have offsets
/// too, and are not handed out.
const WAIT: Duration = Duration::from_millis(20);

/// Records between two such looks.
const MANY: u32 = 4096;

pub fn restore(job: &Job, topic: &str, partitions: &[i32], state: &mut State) -> Result<()> {
    let consumer: BaseConsumer = job.consumer().create()?;
    let mut list = TopicPartitionList::new();
    let mut ends = HashMap::new();
    for &partition in partitions {
        let (begin, end) = consumer.fetch_watermarks(topic, partition, ASK)?;
        if begin < end {
            list.add_partition_offset(topic, partition, Offset::Offset(begin))?;
            ends.insert(partition, end);
        }
    }
    consumer.assign(&list)?;
    let mut records = 0_u32;
    while !ends.is_empty() {
        let message = consumer.poll(WAIT).transpose()?;
        if let Some(message) = &message {
            let value = message.payload().context("a change without a value")?;
            state.set(message.key().unwrap_or_default(), i64::from_be_bytes(first(value)?))?;
            records = records.wrapping_add(1);
        }
        if message.is_none() || records.is_multiple_of(MANY) {
            let position = consumer.position()?;
            let at = |partition| position.find_partition(topic, partition)?.offset().to_raw();
            ends.retain(|&partition, end| at(partition).is_none_or(|offset| offset < *end));
        }
    }
    Ok(())
}
