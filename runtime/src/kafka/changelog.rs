//! Changelogs, read to restore a task.

use std::fmt;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use wasmill_core::port::{self, ChangelogId, Fault, Visit};
use wasmill_core::record::{Offset, Partition, Timestamp};

use super::client::setting;
use super::ends::Ends;
use super::fault::is_hopeless;
use super::native::consumer::{Consumer, Message};
use super::pipeline::Pipeline;
use crate::clock::now;

/// Reads the changelogs of a worker's tasks, with a client that is made when it is first needed.
pub struct Changelogs {
    consumer: Option<Consumer>,
    reading: Option<Reading>,
    ends: Ends,
    pipeline: Arc<Pipeline>,
}

/// A partition that the client reads.
struct Reading {
    topic: String,
    partition: Partition,
    next: Offset,
    /// When it was begun, or the last record came.
    heard: Instant,
}

impl fmt::Debug for Changelogs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changelogs").field("connected", &self.consumer.is_some()).finish_non_exhaustive()
    }
}

impl Changelogs {
    pub(super) fn new(pipeline: &Arc<Pipeline>) -> Self {
        Self { consumer: None, reading: None, ends: Ends::default(), pipeline: Arc::clone(pipeline) }
    }

    fn consumer(&mut self) -> Result<&mut Consumer, Fault> {
        let consumer = self.consumer.take().map_or_else(
            || Consumer::new(&self.pipeline.client.restore(&self.pipeline.identity.group())).map_err(setting),
            Ok,
        )?;
        Ok(self.consumer.insert(consumer))
    }
}

impl port::Changelog for Changelogs {
    fn identity(&mut self, changelog: ChangelogId) -> Result<String, Fault> {
        let topic = self.pipeline.changelog(changelog);
        Ok(format!("{}/{topic}/{}", self.pipeline.cluster_id, self.pipeline.topic_id(topic)))
    }

    fn end(&mut self, changelog: ChangelogId, partition: Partition) -> Result<Offset, Fault> {
        self.ends.end(&self.pipeline.client, self.pipeline.changelog(changelog), partition)
    }

    fn tail_from(&mut self, changelog: ChangelogId, partition: Partition) -> Result<Offset, Fault> {
        let topic = self.pipeline.changelog(changelog);
        // The clocks of those that wrote them may differ from this one.
        let kept = self.pipeline.deletions(topic) / 10 * 9;
        let time = Timestamp(now().0.saturating_sub(i64::try_from(kept.as_millis()).unwrap_or(i64::MAX)));
        if time < Timestamp(0) {
            return Ok(Offset(0));
        }
        let client = &self.pipeline.client;
        match self.ends.first_at(client, topic, partition, time)? {
            Some(first) => Ok(first),
            None => self.ends.end(client, topic, partition),
        }
    }

    fn read(
        &mut self,
        changelog: ChangelogId,
        partition: Partition,
        Range { start: from, end }: Range<Offset>,
        wait: Duration,
        visit: &mut Visit<'_>,
    ) -> Result<Offset, Fault> {
        if from >= end {
            return Ok(from);
        }
        let topic = self.pipeline.changelog(changelog).to_owned();
        let patience = self.pipeline.client.timing().transaction + Duration::from_secs(10);
        let goes_on = |it: &Reading| it.topic == topic && it.partition == partition && it.next == from;
        if !self.reading.as_ref().is_some_and(goes_on) {
            self.close();
            let reading = Reading { topic, partition, next: from, heard: Instant::now() };
            let begun = reading.assign(self.consumer()?);
            self.reading = Some(reading);
            begun.inspect_err(|_| self.consumer = None)?;
        }
        let (Some(reading), Some(consumer)) = (&mut self.reading, &mut self.consumer) else { return Ok(from) };
        let read = reading.read(consumer, end, wait, patience, visit);
        if read.is_err() {
            (self.consumer, self.reading) = (None, None);
        } else if reading.next >= end {
            self.close();
        }
        read
    }

    fn close(&mut self) {
        let (Some(reading), Some(consumer)) = (self.reading.take(), &mut self.consumer) else { return };
        if reading.unassign(consumer).is_err() {
            self.consumer = None;
        }
    }
}

impl Reading {
    fn failed(&self, error: &KafkaError) -> Fault {
        Fault::Abort(format!("{}: {error}", self.doing()))
    }

    fn doing(&self) -> String {
        format!("read changelog {}/{}", self.topic, self.partition.0)
    }

    fn list(&self) -> Result<TopicPartitionList, KafkaError> {
        let mut list = TopicPartitionList::with_capacity(1);
        let next = rdkafka::Offset::Offset(self.next.0);
        list.add_partition_offset(&self.topic, self.partition.0 as i32, next)?;
        Ok(list)
    }

    fn assign(&self, consumer: &mut Consumer) -> Result<(), Fault> {
        self.list().and_then(|list| consumer.assign(&list)).map_err(|error| self.failed(&error))
    }

    fn unassign(&self, consumer: &mut Consumer) -> Result<(), KafkaError> {
        self.list().and_then(|list| consumer.unassign(&list))
    }

    /// Hands over what comes, until it is told to stop, nothing comes for `wait`, or the end is reached.
    fn read(
        &mut self,
        consumer: &mut Consumer,
        end: Offset,
        wait: Duration,
        patience: Duration,
        visit: &mut Visit<'_>,
    ) -> Result<Offset, Fault> {
        // Markers of transactions and compacted records leave holes, so an end of the partition counts as well as a
        // record; a record at the end itself may never come.
        while self.next < end {
            if !consumer.fill(wait) {
                let (doing, next) = (self.doing(), self.next);
                if self.heard.elapsed() > patience {
                    return Err(Fault::Abort(format!(
                        "{doing}: nothing came for {patience:?} at {next} of {end}; if a transaction that nobody ends any \
                         more hides the rest, `kafka-transactions.sh find-hanging` finds it"
                    )));
                }
                return Ok(next);
            }
            let Some(message) = consumer.first() else { continue };
            let on = self.take(message, end, visit)?;
            consumer.pop();
            if on.is_break() {
                break;
            }
        }
        Ok(self.next)
    }

    fn take(&mut self, message: Message<'_>, end: Offset, visit: &mut Visit<'_>) -> Result<ControlFlow<()>, Fault> {
        let ours = message.topic() == self.topic && message.partition() == self.partition.0 as i32;
        match message.error() {
            None if ours && message.offset() >= self.next.0 => {
                let offset = Offset(message.offset());
                self.next = offset;
                if offset < end {
                    (self.next, self.heard) = (offset.next(), Instant::now());
                    return Ok(visit(offset, message.key().unwrap_or_default(), message.value()));
                }
            }
            Some(RDKafkaErrorCode::PartitionEOF) if ours => self.next = self.next.max(Offset(message.offset())),
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) if ours => {
                let (doing, next) = (self.doing(), self.next);
                return Err(if next == Offset(0) {
                    Fault::Fatal(format!("{doing}: it does not begin at offset 0; records of it were deleted"))
                } else {
                    Fault::Store(format!("{doing}: it has no offset {next} any more"))
                });
            }
            Some(code) if is_hopeless(code) => {
                return Err(Fault::Fatal(format!("{}: {}", self.doing(), message.reason())));
            }
            _ => {}
        }
        Ok(ControlFlow::Continue(()))
    }
}
