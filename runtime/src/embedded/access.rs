//! The log, as commands see it.

use std::time::{Duration, Instant};

use wasmill_core::batch::Batch;

use super::catalog::{Kind, Topic};
use super::error::LogError;
use super::log::Log;
use crate::broker::{Broker, BrokerError, Chunk, Cursor, Extent, Listed};

const MOST_RECORDS: usize = 10_000;
const MOST_BYTES: usize = 1 << 20;
/// Bytes of all partitions together, but for one chunk.
const MOST_IN_ALL: usize = 8 << 20;

impl From<LogError> for BrokerError {
    fn from(error: LogError) -> Self {
        Self::Refused(error.to_string())
    }
}

impl Broker for Log {
    fn topics(&mut self) -> Result<Vec<Listed>, BrokerError> {
        let extent = |topic: &Topic, partition| {
            Ok(Extent { start: self.start(topic, partition)?.0, end: self.end(topic, partition)?.0 })
        };
        let mut listed = Vec::new();
        for topic in &Log::topics(self) {
            let partitions = topic.all().map(|partition| extent(topic, partition)).collect::<Result<Vec<_>, LogError>>()?;
            listed.push(Listed { topic: topic.name.to_string(), kind: topic.kind.to_string(), partitions });
        }
        Ok(listed)
    }

    fn ensure(&mut self, topic: &str, partitions: u32) -> Result<(), BrokerError> {
        self.create_topic(topic, partitions, Kind::Records)?;
        Ok(())
    }

    fn append(&mut self, topic: &str, records: &Batch) -> Result<Vec<u64>, BrokerError> {
        Ok(Log::append(self, &self.topic(topic)?, records)?)
    }

    fn fetch(&mut self, topic: &str, cursors: &mut [Cursor], wait: Duration) -> Result<Vec<Chunk>, BrokerError> {
        let topic = self.topic(topic)?;
        let deadline = Instant::now() + wait;
        loop {
            let seen = self.commits();
            let (mut chunks, mut bytes) = (Vec::new(), 0);
            for cursor in cursors.iter_mut() {
                let Cursor { partition, next } = *cursor;
                let from = next.max(self.start(&topic, partition)?);
                let fetched = Log::fetch(self, &topic, partition, from, MOST_RECORDS, MOST_BYTES)?;
                cursor.next = fetched.next;
                bytes += fetched.records.bytes();
                if !fetched.records.is_empty() {
                    chunks.push(Chunk { partition, records: fetched.records, offsets: fetched.offsets });
                }
                if bytes > MOST_IN_ALL {
                    break;
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if !chunks.is_empty() || left.is_zero() {
                return Ok(chunks);
            }
            self.wait(seen, left);
        }
    }
}
