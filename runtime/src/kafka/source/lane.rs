//! One consumer of a worker and what its partitions feed.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::client::Client;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use wasmill_core::batch;
use wasmill_core::port::{Fault, Fetched, Polled};
use wasmill_core::record::{Offset, Partition, TaskId, Timestamp};

use crate::control;
use crate::kafka::client::{ASK, Error, setting};
use crate::kafka::fault::is_hopeless;
use crate::kafka::native::client::Callbacks;
use crate::kafka::native::consumer::{Consumer, Message};

/// The most records handed out at once.
const RECORDS: usize = 256;

/// The bytes after which no more records are handed out at once.
const BYTES: usize = 1 << 20;

/// What a partition feeds, and how far it has been read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Feed {
    pub(super) task: TaskId,
    pub(super) input: u32,
    pub(super) next: Offset,
    pub(super) stop: Option<Offset>,
    pub(super) repartition: bool,
}

pub(super) struct Lane {
    consumer: Consumer,
    feeds: HashMap<String, HashMap<i32, Feed>>,
}

impl Lane {
    pub(super) fn new(config: &ClientConfig) -> Result<Self, Error> {
        Ok(Self { consumer: Consumer::new(config).map_err(setting)?, feeds: HashMap::new() })
    }

    pub(super) fn client(&self) -> &Client<Callbacks> {
        self.consumer.client()
    }

    /// Reads a partition from where its feed stands.
    pub(super) fn read(&mut self, topic: &str, partition: Partition, feed: Feed) -> KafkaResult<()> {
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition_offset(topic, partition.0 as i32, rdkafka::Offset::Offset(feed.next.0))?;
        self.consumer.assign(&list)?;
        self.feeds.entry(topic.to_owned()).or_default().insert(partition.0 as i32, feed);
        Ok(())
    }

    /// No longer reads the partitions of a task. They are let go whole, not only sought: what was fetched before is of
    /// an older version then, and librdkafka throws it away.
    pub(super) fn leave(&mut self, task: TaskId) -> KafkaResult<()> {
        let mut list = TopicPartitionList::new();
        for (topic, feeds) in &mut self.feeds {
            feeds.retain(|&partition, feed| {
                let stays = feed.task != task;
                if !stays {
                    list.add_partition(topic, partition);
                }
                stays
            });
        }
        if list.count() > 0 { self.consumer.unassign(&list) } else { Ok(()) }
    }

    /// Waits for records of one partition, or for the end of one.
    pub(super) fn poll(&mut self, wait: Duration) -> Result<Polled, Fault> {
        let deadline = Instant::now() + wait;
        while self.consumer.fill(deadline.saturating_duration_since(Instant::now())) {
            let Some((topic, partition)) = self.first() else { break };
            let polled = self.next(&topic, partition)?;
            if matches!(polled, Polled::End { .. }) {
                self.retire(&topic, partition)?;
            }
            if polled != Polled::Nothing {
                return Ok(polled);
            }
        }
        Ok(Polled::Nothing)
    }

    /// Whose the first message that was taken is.
    fn first(&self) -> Option<(String, i32)> {
        self.consumer.first().map(|message| (message.topic().to_owned(), message.partition()))
    }

    /// No longer reads a partition that has ended for good.
    fn retire(&mut self, topic: &str, partition: i32) -> Result<(), Fault> {
        let feeds = self.feeds.get_mut(topic);
        let Some(feeds) = feeds.filter(|feeds| feeds.get(&partition).is_some_and(|feed| feed.stop.is_some())) else {
            return Ok(());
        };
        feeds.remove(&partition);
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition(topic, partition);
        self.consumer.unassign(&list).map_err(|error| Fault::Fatal(format!("stop {topic}/{partition}: {error}")))
    }

    /// What the first messages that were taken say.
    fn next(&mut self, topic: &str, partition: i32) -> Result<Polled, Fault> {
        let Some(first) = self.consumer.first() else { return Ok(Polled::Nothing) };
        let handle = first.topic_handle();
        let feed = self.feeds.get_mut(topic).and_then(|feeds| feeds.get_mut(&partition));
        if let Some(code) = first.error() {
            let said = match feed {
                Some(feed) if code == RDKafkaErrorCode::PartitionEOF => Ok(end(feed, Offset(first.offset()))),
                feed => judge(first, code, feed.map(|feed| *feed), self.consumer.client()),
            };
            self.consumer.pop();
            return said;
        }
        let Some(feed) = feed else {
            self.consumer.pop();
            return Ok(Polled::Nothing);
        };
        let mut fetched = Fetched { task: feed.task, input: feed.input, ..Fetched::default() };
        while let Some(message) = self.consumer.first() {
            let same = message.topic_handle() == handle && message.partition() == partition;
            let full = fetched.offsets.len() >= RECORDS || fetched.records.bytes() >= BYTES;
            if !same || full || message.error().is_some() {
                break;
            }
            let offset = Offset(message.offset());
            if offset >= feed.next && feed.stop.is_none_or(|stop| offset < stop) {
                add(&mut fetched, message, feed.repartition);
            }
            feed.next = feed.next.max(offset.next());
            self.consumer.pop();
        }
        let stopped = feed.stop.filter(|&stop| feed.next >= stop);
        fetched.next = stopped.unwrap_or(feed.next);
        if fetched.offsets.is_empty() && fetched.controls.is_empty() {
            let end = stopped.map(|next| Polled::End { task: fetched.task, input: fetched.input, next });
            return Ok(end.unwrap_or(Polled::Nothing));
        }
        Ok(Polled::Records(fetched))
    }
}

/// The end of a partition. One that is to stop later than it ends now goes on, and says nothing.
fn end(feed: &mut Feed, at: Offset) -> Polled {
    feed.next = feed.next.max(at);
    let next = match feed.stop {
        Some(stop) if feed.next < stop => return Polled::Nothing,
        Some(stop) => stop,
        None => feed.next,
    };
    Polled::End { task: feed.task, input: feed.input, next }
}

fn add(fetched: &mut Fetched, message: Message<'_>, repartition: bool) {
    let headers = message.headers().map(batch::encode_headers);
    let timestamp = message.timestamp().map_or(Timestamp::NONE, Timestamp);
    let record = batch::Message { key: message.key(), value: message.value(), headers: headers.as_deref(), timestamp };
    if let Some(control) = repartition.then(|| control::decode(&record)).flatten() {
        fetched.controls.push((fetched.offsets.len(), control));
        return;
    }
    fetched.records.push(record);
    fetched.offsets.push(message.offset());
}

/// An error that a consumer reports: most pass by themselves.
fn judge(
    message: Message<'_>,
    code: RDKafkaErrorCode,
    feed: Option<Feed>,
    client: &Client<Callbacks>,
) -> Result<Polled, Fault> {
    use RDKafkaErrorCode as Code;
    let (topic, partition) = (message.topic(), message.partition());
    let Some(feed) = feed else {
        if is_hopeless(code) {
            return Err(Fault::Fatal(format!("read from Kafka: {}", message.reason())));
        }
        tracing::debug!(topic, partition, %code, reason = message.reason(), "consumer");
        return Ok(Polled::Nothing);
    };
    match code {
        Code::AutoOffsetReset | Code::OffsetOutOfRange => {
            let there = client
                .fetch_watermarks(topic, partition, ASK)
                .map_or_else(|error| error.to_string(), |(first, end)| format!("{first} to {end}"));
            Err(Fault::Fatal(format!(
                "read {topic}/{partition}: task {} is at offset {}, which is not in the topic any more (it has {there}): \
                 the records between were deleted before they were read; restore them, skip them with `wasmill offsets \
                 PIPELINE --reset …`, or start over with --fresh",
                feed.task, feed.next
            )))
        }
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => {
            Err(Fault::Fatal(format!("read {topic}/{partition}: it does not exist any more; create it again")))
        }
        code if is_hopeless(code) => Err(Fault::Fatal(format!("read {topic}/{partition}: {}", message.reason()))),
        code => {
            tracing::debug!(topic, partition, %code, reason = message.reason(), "consumer");
            Ok(Polled::Nothing)
        }
    }
}
