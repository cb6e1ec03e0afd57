//! Topics of Kafka for the commands that list, produce and consume.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use uuid::Uuid;
use wasmill_core::batch::{Batch, Message, encode_headers};
use wasmill_core::record::{Offset, Partition, Timestamp};

use super::admin::{self, Kind, NewTopic};
use super::client::{ASK, Client, Error, Logs, setting};
use super::fault::is_hopeless;
use super::lookup::watermarks;
use super::native::consumer::{self, Consumer};
use super::native::producer::{Outgoing, Producer};
use super::sink::{init, timestamp};
use crate::broker::{Broker, BrokerError, Chunk, Cursor, Extent, Listed};
use crate::partitioner;

/// The most records that are brought at once.
const RECORDS: usize = 1_024;

/// What a batch of one record has beside key, value and headers, at most.
const BATCH: usize = 100;

/// How long to wait for records at least: they come over a network.
const PATIENCE: Duration = Duration::from_millis(100);

/// A Kafka cluster as a log for the command line.
pub struct Records {
    client: Client,
    reader: Option<Reader>,
}

struct Reader {
    topic: String,
    next: BTreeMap<i32, i64>,
    consumer: Consumer,
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records").field("brokers", &self.client.brokers()).finish_non_exhaustive()
    }
}

impl From<Error> for BrokerError {
    fn from(error: Error) -> Self {
        match error {
            Error::Unreachable { .. } => Self::Gone(error.to_string()),
            other => Self::Refused(other.to_string()),
        }
    }
}

fn refused(doing: &str, error: impl fmt::Display) -> BrokerError {
    BrokerError::Refused(format!("{doing}: {error}"))
}

impl Records {
    /// A cluster, which must be there.
    pub fn connect(client: Client) -> Result<Self, Error> {
        client.connect()?;
        Ok(Self { client, reader: None })
    }

    /// The reader of a topic that stands where the cursors do.
    fn reader(&mut self, topic: &str, cursors: &mut [Cursor]) -> Result<&mut Reader, BrokerError> {
        if let Some(reader) = self.reader.take().filter(|reader| reader.topic == topic && reader.stands_at(cursors)) {
            return Ok(self.reader.insert(reader));
        }
        let consumer = Consumer::new(&self.client.data("wasmill.consume")).map_err(setting)?;
        let mut reader = Reader { topic: topic.to_owned(), next: BTreeMap::new(), consumer };
        reader.begin(cursors).map_err(|error| refused(&format!("read {topic}"), error))?;
        Ok(self.reader.insert(reader))
    }
}

impl Reader {
    fn stands_at(&self, cursors: &[Cursor]) -> bool {
        let here = |cursor: &Cursor| self.next.get(&(cursor.partition.0 as i32)) == Some(&cursor.next.0);
        cursors.len() == self.next.len() && cursors.iter().all(here)
    }

    fn begin(&mut self, cursors: &mut [Cursor]) -> Result<(), KafkaError> {
        let mut list = TopicPartitionList::with_capacity(cursors.len());
        for cursor in cursors {
            let partition = cursor.partition.0 as i32;
            let (first, _) = self.consumer.client().fetch_watermarks(&self.topic, partition, ASK)?;
            cursor.next = cursor.next.max(Offset(first));
            list.add_partition_offset(&self.topic, partition, rdkafka::Offset::Offset(cursor.next.0))?;
            self.next.insert(partition, cursor.next.0);
        }
        self.consumer.assign(&list)
    }

    /// Brings what is there, or what comes within a time.
    fn read(&mut self, wait: Duration) -> Result<Vec<Chunk>, BrokerError> {
        let deadline = Instant::now() + wait;
        let mut chunks: BTreeMap<i32, Chunk> = BTreeMap::new();
        let (mut count, mut moved) = (0, false);
        while count < RECORDS {
            let wait = if moved { Duration::ZERO } else { deadline.saturating_duration_since(Instant::now()) };
            if !self.consumer.fill(wait) {
                break;
            }
            let Some(message) = self.consumer.first() else { break };
            let partition = message.partition();
            match message.error() {
                None => {
                    let chunk = chunks.entry(partition).or_default();
                    chunk.partition = Partition(partition as u32);
                    add(chunk, message);
                    self.next.insert(partition, message.offset() + 1);
                    (count, moved) = (count + 1, true);
                }
                Some(RDKafkaErrorCode::PartitionEOF) => {
                    self.next.insert(partition, message.offset());
                    moved = true;
                }
                Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::AutoOffsetReset) => {
                    return Err(refused(&format!("read {}/{partition}", self.topic), message.reason()));
                }
                Some(code) if is_hopeless(code) => return Err(refused("read from Kafka", message.reason())),
                Some(code) => tracing::debug!(%code, reason = message.reason(), "consumer"),
            }
            self.consumer.pop();
        }
        Ok(chunks.into_values().collect())
    }
}

fn add(chunk: &mut Chunk, message: consumer::Message<'_>) {
    let headers = message.headers().map(encode_headers);
    let timestamp = message.timestamp().map_or(Timestamp::NONE, Timestamp);
    chunk.records.push(Message { key: message.key(), value: message.value(), headers: headers.as_deref(), timestamp });
    chunk.offsets.push(message.offset());
}

impl Broker for Records {
    fn topics(&mut self) -> Result<Vec<Listed>, BrokerError> {
        let topics = admin::list(&self.client)?;
        let compacted = admin::compacted(&self.client, topics.iter().map(|(topic, _)| topic.as_str()))?;
        let lookup = self.client.lookup()?;
        let mut listed = Vec::new();
        for (topic, width) in topics {
            // Somebody may delete a topic in the meantime.
            let Some(partitions) = extents(&lookup, &topic, width)? else { continue };
            let kind = if compacted.contains(&topic) { "changelog" } else { "records" };
            listed.push(Listed { topic, kind: kind.to_owned(), partitions });
        }
        Ok(listed)
    }

    fn ensure(&mut self, topic: &str, partitions: u32) -> Result<(), BrokerError> {
        admin::create(&self.client, &[NewTopic::new(topic, partitions, Kind::Plain)])?;
        Ok(())
    }

    fn append(&mut self, topic: &str, records: &Batch) -> Result<Vec<u64>, BrokerError> {
        let described = admin::describe(&self.client, [topic])?.remove(topic).unwrap_or_default();
        let (width, most) = (described.partitions, described.largest_message);
        let doing = format!("append to {topic}");
        check_sizes(records, most).map_err(|reason| refused(&doing, reason))?;
        let id = format!("wasmill/produce/{}", Uuid::new_v4());
        let mut config = self.client.producer(&id);
        config.set("message.max.bytes", most.clamp(1_000, 1_000_000_000).to_string());
        let producer = Producer::new(&config, [(topic, "lz4")], 0).map_err(setting)?;
        init(&producer, &id, ASK).map_err(|fault| BrokerError::Gone(fault.to_string()))?;
        producer.begin().map_err(|error| refused(&doing, error))?;
        let patience = self.client.timing().message;
        let sent = send(&producer, records, width, patience).map_err(|reason| refused(&doing, reason));
        if sent.is_err() {
            // Left open, it would keep others from reading the topic on until it times out.
            drop(producer.abort(ASK));
            return sent;
        }
        let deadline = Instant::now() + patience;
        while let Err(error) = producer.commit(ASK) {
            if !error.retriable || Instant::now() > deadline {
                return Err(BrokerError::Gone(format!("{doing}: commit: {error}")));
            }
        }
        sent
    }

    fn fetch(&mut self, topic: &str, cursors: &mut [Cursor], wait: Duration) -> Result<Vec<Chunk>, BrokerError> {
        let reader = self.reader(topic, cursors)?;
        let chunks = reader.read(wait.max(PATIENCE))?;
        for cursor in cursors {
            cursor.next = Offset(reader.next.get(&(cursor.partition.0 as i32)).copied().unwrap_or(cursor.next.0));
        }
        Ok(chunks)
    }
}

/// What the partitions of a topic hold; `None` if it is not there any more.
fn extents(lookup: &BaseConsumer<Logs>, topic: &str, width: u32) -> Result<Option<Vec<Extent>>, BrokerError> {
    let mut partitions = Vec::new();
    for partition in (0..width).map(Partition) {
        match watermarks(lookup, topic, partition) {
            Ok((start, end)) => partitions.push(Extent { start, end }),
            Err(error) if error.rdkafka_error_code().is_some_and(is_unknown) => return Ok(None),
            Err(error) => return Err(refused(&format!("ask for the offsets of {topic}/{partition}"), error)),
        }
    }
    Ok(Some(partitions))
}

fn is_unknown(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(code, Code::UnknownPartition | Code::UnknownTopic | Code::UnknownTopicOrPartition)
}

/// Checks that each record alone fits into a batch of its topic.
fn check_sizes(records: &Batch, most: usize) -> Result<(), String> {
    let sizes = records.iter().map(|record| record.size() + BATCH);
    match (1..).zip(sizes).find(|&(_, size)| size > most) {
        None => Ok(()),
        Some((number, size)) => Err(format!(
            "record {number} takes {size} bytes, and the topic at most {most} (max.message.bytes); nothing was written: \
             split the record, or raise the topic's limit"
        )),
    }
}

/// Sends all records and waits until they are delivered. Answers how many each partition got.
fn send(producer: &Producer, records: &Batch, width: u32, patience: Duration) -> Result<Vec<u64>, String> {
    let mut counts = vec![0; width as usize];
    let mut turn = 0;
    for Message { key, value, headers, timestamp: time } in records.iter() {
        let partition = if let Some(key) = key {
            partitioner::partition(key, width).0
        } else {
            turn = (turn + 1) % width;
            turn
        };
        let timestamp = timestamp(time);
        let record = Outgoing { topic: 0, partition: partition as i32, key, value, headers, timestamp, tag: None };
        let deadline = Instant::now() + patience;
        while let Err(code) = producer.send(&record) {
            if code != RDKafkaErrorCode::QueueFull || Instant::now() > deadline {
                return Err(format!("{code}; nothing was written"));
            }
            producer.poll(Duration::from_millis(20));
        }
        counts[partition as usize] += 1;
    }
    let done = producer.flush(patience);
    match producer.undelivered() {
        Some(undelivered) => Err(format!("{}; nothing was written", undelivered.code)),
        None if !done => Err("Kafka did not take the records in time; nothing was written".into()),
        None => Ok(counts),
    }
}
