//! The consumer of a worker, read in batches.

use std::ffi::CString;
use std::ptr::{self, NonNull};
use std::slice;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rdkafka::bindings as sys;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

/// Messages taken from librdkafka at once.
const BATCH: usize = 2048;

pub struct Input {
    topics: Vec<CString>,
    /// For each topic and partition the offset behind what was handed out.
    next: Vec<Vec<Option<i64>>>,
    queue: NonNull<sys::rd_kafka_queue_t>,
    consumer: BaseConsumer,
}

/// A record of an input.
pub struct Record<'a> {
    /// Index of its topic among the inputs.
    pub topic: usize,
    pub partition: i32,
    pub timestamp: i64,
    pub key: &'a [u8],
    pub value: &'a [u8],
}

struct Message(NonNull<sys::rd_kafka_message_t>);

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: the message was handed to us and is destroyed once.
        unsafe { sys::rd_kafka_message_destroy(self.0.as_ptr()) }
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        // SAFETY: the reference to the queue is ours and given back once.
        unsafe { sys::rd_kafka_queue_destroy(self.queue.as_ptr()) }
    }
}

impl Input {
    /// Reads partitions of topics from where the group has committed.
    pub fn open(config: &ClientConfig, topics: &[&str], partitions: &[i32]) -> Result<Self> {
        let consumer: BaseConsumer = config.create()?;
        let mut list = TopicPartitionList::new();
        for topic in topics {
            for &partition in partitions {
                list.add_partition_offset(topic, partition, Offset::Stored)?;
            }
        }
        consumer.assign(&list)?;
        // SAFETY: the client is alive; the answer is a new reference or null.
        let queue = NonNull::new(unsafe { sys::rd_kafka_queue_get_consumer(consumer.client().native_ptr()) });
        let most = partitions.iter().max().map_or(0, |&most| most as usize + 1);
        Ok(Self {
            topics: topics.iter().map(|&topic| CString::new(topic)).collect::<Result<_, _>>()?,
            next: vec![vec![None; most]; topics.len()],
            queue: queue.context("the consumer has no queue")?,
            consumer,
        })
    }

    /// The client, whose group is to commit the offsets.
    pub fn consumer(&self) -> &BaseConsumer {
        &self.consumer
    }

    /// Hands out a batch of records, after waiting at most so long for it, and answers how many they were.
    pub fn take(&mut self, wait: Duration, mut each: impl FnMut(&Record<'_>) -> Result<()>) -> Result<usize> {
        let mut batch = [ptr::null_mut(); BATCH];
        let wait = wait.as_millis() as i32;
        // SAFETY: the queue is alive, and `batch` has room for as many pointers as it is told.
        let count = unsafe { sys::rd_kafka_consume_batch_queue(self.queue.as_ptr(), wait, batch.as_mut_ptr(), BATCH) };
        let taken: Vec<_> = batch.iter().take(count.max(0) as usize).copied().filter_map(NonNull::new).collect();
        for message in taken.into_iter().map(Message) {
            // SAFETY: the message lives until it is dropped at the end of this turn.
            let raw = unsafe { message.0.as_ref() };
            let record = self.record(raw)?;
            each(&record)?;
            self.next[record.topic][record.partition as usize] = Some(raw.offset + 1);
        }
        Ok(count.max(0) as usize)
    }

    fn record<'a>(&self, raw: &'a sys::rd_kafka_message_t) -> Result<Record<'a>> {
        let code = RDKafkaErrorCode::from(raw.err);
        if code != RDKafkaErrorCode::NoError {
            bail!("consume: {code}");
        }
        Ok(Record {
            topic: self.topic(raw)?,
            partition: raw.partition,
            // SAFETY: the message is alive, and what is asked for beside the time may be null.
            timestamp: unsafe { sys::rd_kafka_message_timestamp(raw, ptr::null_mut()) },
            key: bytes(raw.key.cast(), raw.key_len),
            value: bytes(raw.payload.cast(), raw.len),
        })
    }

    fn topic(&self, raw: &sys::rd_kafka_message_t) -> Result<usize> {
        if self.topics.len() == 1 {
            return Ok(0);
        }
        // SAFETY: the message is alive and so is its topic, whose name ends with a zero.
        let name = unsafe { std::ffi::CStr::from_ptr(sys::rd_kafka_topic_name(raw.rkt)) };
        self.topics.iter().position(|topic| topic.as_c_str() == name).context("a record of another topic")
    }

    /// The offsets to go on from.
    pub fn offsets(&self) -> Result<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        for (topic, next) in self.topics.iter().zip(&self.next) {
            for (partition, offset) in (0..).zip(next) {
                if let Some(offset) = offset {
                    list.add_partition_offset(topic.to_str()?, partition, Offset::Offset(*offset))?;
                }
            }
        }
        Ok(list)
    }
}

fn bytes<'a>(data: *const u8, length: usize) -> &'a [u8] {
    if data.is_null() {
        return &[];
    }
    // SAFETY: librdkafka says that so many bytes are there, for as long as the message is.
    unsafe { slice::from_raw_parts(data, length) }
}
