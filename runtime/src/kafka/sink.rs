//! A worker's epochs, each a transaction as a rule.
//!
//! At least once there is none: what was sent stays sent, and the group's member commits the rows.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use rdkafka::TopicPartitionList;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use wasmill_core::batch::{Batch, Message};
use wasmill_core::commit::Guarantee;
use wasmill_core::port::{self, ChangelogId, Control, Fault, Sealed, Target, Written};
use wasmill_core::record::{Partition, Timestamp};
use wasmill_core::task::row::MAX_ENCODED;

use super::client::{OFFSETS, setting};
use super::fault::{Remedy, describe, is_hopeless, remedy, told};
use super::group::Group;
use super::native::member::Member;
use super::native::producer::{Outgoing, Producer, Refused};
use super::native::rows::Rows;
use super::pipeline::Pipeline;
use crate::step::{self, Step};
use crate::{control, partitioner};

/// How long one try of a call takes at most.
const TRY: Duration = Duration::from_secs(10);

/// Writes a worker's epochs.
pub struct Sink {
    producer: Option<Producer>,
    /// Whether an epoch is open.
    open: bool,
    /// Whether the producer cannot go on after this epoch.
    spent: bool,
    pipeline: Arc<Pipeline>,
    group: Arc<Group>,
    worker: u32,
    id: String,
    /// Changed rows that were not handed to the producer yet.
    rows: Rows,
    /// Of each target, its number of partitions.
    widths: Vec<u32>,
    /// Of each changelog, the tag of its partition 0; the tag of the end last.
    tags: Vec<usize>,
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, open, spent, .. } = self;
        f.debug_struct("Sink").field("id", id).field("open", open).field("spent", spent).finish_non_exhaustive()
    }
}

impl Sink {
    pub(super) fn new(pipeline: &Arc<Pipeline>, group: &Arc<Group>, worker: u32) -> Self {
        let topology = &pipeline.topology;
        let widths = topology.targets.iter().map(|topic| pipeline.partitions(topic)).collect();
        let mut tags = vec![0];
        for topic in &topology.changelogs {
            tags.push(tags.last().copied().unwrap_or(0) + pipeline.partitions(topic) as usize);
        }
        Self {
            producer: None,
            open: false,
            spent: false,
            id: pipeline.identity.transactional_id(worker),
            pipeline: Arc::clone(pipeline),
            group: Arc::clone(group),
            worker,
            rows: Rows::default(),
            widths,
            tags,
        }
    }

    fn guarantee(&self) -> Guarantee {
        self.pipeline.topology.guarantee
    }

    fn producer(&self) -> Result<&Producer, Fault> {
        self.producer.as_ref().ok_or_else(|| Fault::Fatal(format!("use producer {}: it was not reset", self.id)))
    }

    /// What to tell the worker of a call that failed, and what to keep in mind for the abort that follows.
    fn refuse(&mut self, doing: &str, refused: &Refused) -> Fault {
        let message = format!("{doing} of {}: {refused}", self.id);
        match remedy(refused) {
            Remedy::Give => Fault::Fatal(message),
            Remedy::Abort => Fault::Abort(message),
            Remedy::Again | Remedy::Replace => {
                self.spent = true;
                Fault::Abort(message)
            }
        }
    }

    fn queue(&mut self, record: &Outgoing<'_>, topic: &str) -> Result<(), Fault> {
        let mut full_since = None;
        loop {
            let Err(code) = self.producer()?.send(record) else { return Ok(()) };
            self.make_room(code, &mut full_since, topic, record.partition)?;
        }
    }

    /// Hands the changed rows to the producer.
    fn queue_rows(&mut self) -> Result<(), Fault> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let pipeline = Arc::clone(&self.pipeline);
        let (mut queued, mut full_since) = (0, None);
        while let Err((more, code)) = self.producer()?.send_rows(&self.rows, queued) {
            queued += more;
            let changelog = self.rows.topic - self.widths.len();
            self.make_room(
                code,
                &mut full_since,
                pipeline.changelog(ChangelogId(changelog as u16)),
                self.rows.partition,
            )?;
        }
        self.rows.clear();
        Ok(())
    }

    /// What to do when the producer took no record: waits for room if that was missing.
    fn make_room(
        &mut self,
        code: RDKafkaErrorCode,
        full_since: &mut Option<Instant>,
        topic: &str,
        partition: i32,
    ) -> Result<(), Fault> {
        let patience = self.pipeline.client.timing().message;
        if code == RDKafkaErrorCode::QueueFull && full_since.get_or_insert_with(Instant::now).elapsed() < patience {
            // What waits for a batch to be full need not any more.
            self.producer()?.flush(Duration::from_millis(20));
            return Ok(());
        }
        let message = format!("send a record to {topic}/{partition}: {}", told(code));
        // It is not in the transaction, which would commit without it.
        self.spent |= code != RDKafkaErrorCode::MessageSizeTooLarge;
        Err(if is_hopeless(code) { Fault::Fatal(message) } else { Fault::Abort(message) })
    }

    fn tag(&self, changelog: ChangelogId, partition: Partition) -> Option<usize> {
        let index = usize::from(changelog.0);
        let (first, behind) = (*self.tags.get(index)?, *self.tags.get(index + 1)?);
        Some(first + partition.0 as usize).filter(|&tag| tag < behind)
    }

    fn written(&self, tag: usize, next: i64) -> Written {
        let index = self.tags.partition_point(|&first| first <= tag) - 1;
        Written {
            changelog: ChangelogId(index as u16),
            partition: Partition((tag - self.tags[index]) as u32),
            next: wasmill_core::record::Offset(next),
        }
    }

    /// The rows as offsets of the group, and the inputs' offsets for tools that show lag.
    fn offsets(&self, sealed: &[Sealed]) -> Result<TopicPartitionList, Fault> {
        let mut list = TopicPartitionList::with_capacity(sealed.len() * 2);
        let bad = |error: KafkaError| Fault::Fatal(format!("write the rows of {}: {error}", self.id));
        let pipeline = &self.pipeline;
        for Sealed { task, row, .. } in sealed {
            let bytes = row.encode();
            if bytes.len() > MAX_ENCODED {
                let size = bytes.len();
                return Err(Fault::Fatal(format!(
                    "write the row of task {task}: it has {size} bytes, and Kafka takes {MAX_ENCODED}; give the stage \
                     fewer inputs"
                )));
            }
            let topic = pipeline.topology.rows(*task).unwrap_or_default();
            let mut entry = list.add_partition(topic, task.partition.0 as i32);
            entry.set_offset(rdkafka::Offset::Offset(row.epoch.0 as i64)).map_err(bad)?;
            entry.set_metadata(STANDARD_NO_PAD.encode(bytes));
            for (input, next) in (0..).zip(&row.next) {
                let Some(input) = pipeline.input(*task, input) else { continue };
                let partition = task.partition.0 as i32;
                if list.find_partition(&input.topic, partition).is_none() {
                    list.add_partition_offset(&input.topic, partition, rdkafka::Offset::Offset(next.0)).map_err(bad)?;
                }
            }
        }
        Ok(list)
    }

    /// Commits the transaction together with the rows.
    fn end(&mut self, offsets: &TopicPartitionList, member: &Member) -> Result<(), Fault> {
        let deadline = Instant::now() + self.pipeline.client.timing().transaction;
        loop {
            let call = self.pipeline.client.calls.enter("write the rows");
            step::reached_in_epoch(Step::Token);
            let Err(refused) = self.producer()?.offsets(offsets, member, OFFSETS) else { break };
            drop(call);
            if remedy(&refused) != Remedy::Again || Instant::now() >= deadline {
                return Err(self.refuse("write the rows", &refused));
            }
        }
        step::reached_in_epoch(Step::Rows);
        while let Err(refused) = self.commit_once()? {
            if refused.fatal || refused.abort || !refused.retriable || Instant::now() >= deadline {
                self.spent = true;
                return Err(Fault::Unknown(format!("commit a transaction of {}: {refused}", self.id)));
            }
        }
        Ok(())
    }

    fn commit_rows(&self, offsets: &TopicPartitionList) -> KafkaResult<()> {
        let _call = self.pipeline.client.calls.enter("commit rows");
        self.group.commit(offsets)
    }

    fn commit_once(&self) -> Result<Result<(), Refused>, Fault> {
        let _call = self.pipeline.client.calls.enter("commit");
        Ok(self.producer()?.commit(TRY))
    }

    /// Ends what the id has open, with a new producer.
    fn replace(&mut self) -> Result<(), Fault> {
        self.rows.clear();
        let before = self.producer.take();
        if let (Guarantee::AtLeastOnce, Some(producer)) = (self.guarantee(), &before) {
            // What is on its way is not to arrive after the end of a changelog was read.
            producer.flush(TRY);
        }
        let closing = self.pipeline.client.calls.enter("close a producer");
        drop(before);
        drop(closing);
        (self.open, self.spent) = (false, false);
        let topology = &self.pipeline.topology;
        let wanted = self.pipeline.client.compression();
        let targets = topology.targets.iter().map(|topic| (topic.as_str(), wanted.unwrap_or("lz4")));
        let changelogs = topology.changelogs.iter().map(|topic| (topic.as_str(), wanted.unwrap_or("zstd")));
        let topics: Vec<_> = targets.chain(changelogs).collect();
        let largest = topics.iter().map(|(topic, _)| self.pipeline.largest_of(topic)).max().unwrap_or(0);
        let mut config = match self.guarantee() {
            Guarantee::ExactlyOnce => self.pipeline.client.producer(&self.id),
            Guarantee::AtLeastOnce => self.pipeline.client.plain_producer(),
        };
        config.set("message.max.bytes", largest.clamp(1_000, 1_000_000_000).to_string());
        let tags = self.tags.last().copied().unwrap_or(0);
        let producer = Producer::new(&config, topics, tags).map_err(setting)?;
        if self.guarantee() == Guarantee::ExactlyOnce {
            init(&producer, &self.id, self.pipeline.client.timing().transaction)?;
            self.pipeline.own(&self.id);
        }
        self.producer = Some(producer);
        Ok(())
    }
}

/// Initializes a producer, trying until a deadline.
pub(super) fn init(producer: &Producer, id: &str, patience: Duration) -> Result<(), Fault> {
    let deadline = Instant::now() + patience;
    loop {
        let Err(refused) = producer.init(TRY) else { return Ok(()) };
        if !refused.retriable || Instant::now() >= deadline {
            let seen = producer.last_error().map(|error| format!(" ({error})")).unwrap_or_default();
            return Err(Fault::Fatal(format!("initialize producer {id}: {refused}{seen}")));
        }
        tracing::warn!(id, %refused, "initialize a producer: trying again");
    }
}

/// A time as Kafka's client takes it: for 0 it would put the present, so the first millisecond of 1970 becomes the
/// second.
pub(super) fn timestamp(timestamp: Timestamp) -> i64 {
    match timestamp {
        Timestamp::NONE => 0,
        Timestamp(0) => 1,
        Timestamp(millis) => millis,
    }
}

impl port::Sink for Sink {
    fn begin(&mut self) -> Result<(), Fault> {
        match self.guarantee() {
            Guarantee::ExactlyOnce => {
                if let Err(refused) = self.producer()?.begin() {
                    self.spent = true;
                    return Err(self.refuse("begin a transaction", &refused));
                }
            }
            Guarantee::AtLeastOnce => self.producer()?.restart(),
        }
        self.open = true;
        Ok(())
    }

    fn send(&mut self, target: Target, from: Partition, records: &Batch) -> Result<(), Fault> {
        let pipeline = Arc::clone(&self.pipeline);
        let topic = pipeline.topology.target(target).unwrap_or_default();
        let width = self.widths.get(usize::from(target.0)).copied().unwrap_or(0).max(1);
        for Message { key, value, headers, timestamp: time } in records.iter() {
            let partition = key.map_or(from.0 % width, |key| partitioner::partition(key, width).0) as i32;
            let (topic_index, timestamp) = (usize::from(target.0), timestamp(time));
            let record = Outgoing { topic: topic_index, partition, key, value, headers, timestamp, tag: None };
            self.queue(&record, topic)?;
        }
        self.producer()?.poll(Duration::ZERO);
        Ok(())
    }

    fn tell(&mut self, target: Target, control: Control) -> Result<(), Fault> {
        let pipeline = Arc::clone(&self.pipeline);
        let topic = pipeline.topology.target(target).unwrap_or_default();
        let headers = control::encode(&control);
        let index = usize::from(target.0);
        for partition in 0..self.widths.get(index).copied().unwrap_or(0) as i32 {
            self.queue(&Outgoing { topic: index, partition, headers: Some(&headers), ..Outgoing::default() }, topic)?;
        }
        Ok(())
    }

    fn change(
        &mut self,
        changelog: ChangelogId,
        partition: Partition,
        row: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), Fault> {
        let topic = self.widths.len() + usize::from(changelog.0);
        let number = partition.0 as i32;
        if self.rows.is_full() || (self.rows.topic, self.rows.partition) != (topic, number) {
            self.queue_rows()?;
            (self.rows.topic, self.rows.partition) = (topic, number);
            self.rows.tag = self.tag(changelog, partition);
        }
        self.rows.push(row, value);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Fault> {
        self.queue_rows()?;
        let patience = self.pipeline.client.timing().message + Duration::from_secs(5);
        let producer = self.producer()?;
        let call = self.pipeline.client.calls.enter("flush");
        let done = producer.flush(patience);
        drop(call);
        let failure = match producer.undelivered() {
            Some(undelivered) => format!("deliver a record to {}: {}", undelivered.place, told(undelivered.code)),
            None if !done => format!("flush {}: {} records were not delivered in time", self.id, producer.pending()),
            None => return Ok(()),
        };
        let hopeless = producer.undelivered().is_some_and(|undelivered| is_hopeless(undelivered.code));
        self.spent = true;
        Err(if hopeless { Fault::Fatal(failure) } else { Fault::Abort(failure) })
    }

    fn commit(&mut self, sealed: &[Sealed]) -> Result<Vec<Written>, Fault> {
        self.flush()?;
        let offsets = self.offsets(sealed)?;
        // In this order: if a lease goes after it was compared, the metadata is of an older generation, and refused.
        let member = self.group.member()?;
        for Sealed { task, lease, .. } in sealed {
            if self.group.lease(*task, self.worker) != Some(*lease) {
                return Err(Fault::Abort(format!("commit an epoch of task {task}: its lease is gone")));
            }
        }
        match self.guarantee() {
            Guarantee::ExactlyOnce => self.end(&offsets, &member)?,
            Guarantee::AtLeastOnce => self.commit_rows(&offsets).map_err(|error| {
                let message = format!("write the rows of {}: {}", self.id, describe(&error));
                let hopeless = error.rdkafka_error_code().is_some_and(is_hopeless);
                if hopeless { Fault::Fatal(message) } else { Fault::Unknown(message) }
            })?,
        }
        self.open = false;
        Ok(self.producer()?.ends().map(|(tag, next)| self.written(tag, next)).collect())
    }

    fn abort(&mut self) -> Result<(), Fault> {
        self.rows.clear();
        if self.open {
            self.spent |= match self.guarantee() {
                Guarantee::ExactlyOnce => {
                    let _call = self.pipeline.client.calls.enter("abort");
                    let aborted = self.producer()?.abort(TRY);
                    if let Err(refused) = &aborted {
                        tracing::debug!(id = self.id, %refused, "abort a transaction: with a new producer");
                    }
                    aborted.is_err()
                }
                Guarantee::AtLeastOnce => true,
            };
            self.open = false;
        }
        if self.spent { self.replace() } else { Ok(()) }
    }

    fn reset(&mut self) -> Result<(), Fault> {
        self.replace()
    }
}
