//! Changelogs, read to restore a task.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use wasmill_core::port::{self, ChangelogId, Fault, Visit};
use wasmill_core::record::{Offset, Partition};

use super::client::setting;
use super::ends::Ends;
use super::fault::is_hopeless;
use super::native::consumer::Consumer;
use super::pipeline::Pipeline;

/// How often to look whether time is up while nothing comes.
const WAIT: Duration = Duration::from_millis(500);

/// Reads the changelogs of a worker's tasks, with a client that is made when it is first needed.
pub struct Changelogs {
    consumer: Option<Consumer>,
    ends: Ends,
    pipeline: Arc<Pipeline>,
}

impl fmt::Debug for Changelogs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changelogs").field("connected", &self.consumer.is_some()).finish_non_exhaustive()
    }
}

impl Changelogs {
    pub(super) fn new(pipeline: &Arc<Pipeline>) -> Self {
        Self { consumer: None, ends: Ends::default(), pipeline: Arc::clone(pipeline) }
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

    fn read(
        &mut self,
        changelog: ChangelogId,
        partition: Partition,
        from: Offset,
        end: Offset,
        visit: &mut Visit<'_>,
    ) -> Result<Offset, Fault> {
        if from >= end {
            return Ok(from);
        }
        let topic = self.pipeline.changelog(changelog).to_owned();
        let place = Place { topic: &topic, partition: partition.0 as i32 };
        let patience = self.pipeline.client.timing().transaction + Duration::from_secs(10);
        let consumer = self.consumer()?;
        let stopped = place.read(consumer, from, end, patience, visit);
        if stopped.is_err() {
            self.consumer = None;
        }
        stopped
    }
}

struct Place<'a> {
    topic: &'a str,
    partition: i32,
}

impl Place<'_> {
    fn list(&self, offset: Offset) -> Result<TopicPartitionList, KafkaError> {
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition_offset(self.topic, self.partition, rdkafka::Offset::Offset(offset.0))?;
        Ok(list)
    }

    fn read(
        &self,
        consumer: &mut Consumer,
        from: Offset,
        end: Offset,
        patience: Duration,
        visit: &mut Visit<'_>,
    ) -> Result<Offset, Fault> {
        let doing = format!("read changelog {}/{}", self.topic, self.partition);
        let failed = |error: KafkaError| Fault::Abort(format!("{doing}: {error}"));
        let list = self.list(from).map_err(failed)?;
        consumer.assign(&list).map_err(failed)?;
        let mut next = from;
        let mut deadline = Instant::now() + patience;
        // Markers of transactions and compacted records leave holes, so an end of the partition counts as well as a
        // record; a record at the end itself may never come.
        while next < end {
            if !consumer.fill(WAIT) {
                if Instant::now() > deadline {
                    return Err(Fault::Abort(format!("{doing}: nothing came for {patience:?} at {next} of {end}")));
                }
                continue;
            }
            let Some(message) = consumer.first() else { continue };
            let ours = message.topic() == self.topic && message.partition() == self.partition;
            match message.error() {
                None if ours && message.offset() >= next.0 => {
                    let offset = Offset(message.offset());
                    next = offset;
                    if offset < end {
                        visit(offset, message.key().unwrap_or_default(), message.value());
                        (next, deadline) = (offset.next(), Instant::now() + patience);
                    }
                }
                Some(RDKafkaErrorCode::PartitionEOF) if ours => next = next.max(Offset(message.offset())),
                Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) if ours => {
                    return Err(if from == Offset(0) {
                        Fault::Fatal(format!("{doing}: it does not begin at offset 0; records of it were deleted"))
                    } else {
                        Fault::Store(format!("{doing}: it has no offset {next} any more"))
                    });
                }
                Some(code) if is_hopeless(code) => {
                    return Err(Fault::Fatal(format!("{doing}: {}", message.reason())));
                }
                _ => {}
            }
            consumer.pop();
        }
        consumer.unassign(&list).map_err(failed)?;
        Ok(next)
    }
}
