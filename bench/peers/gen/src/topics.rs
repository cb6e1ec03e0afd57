//! Topics: made, filled, digested, deleted.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures_executor::block_on;
use rdkafka::Offset;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::metadata::MetadataTopic;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

use crate::digest::Digest;
use crate::input::{Input, Record};
use crate::kafka::{ASK, Brokers, partitions};

type Admin = AdminClient<DefaultClientContext>;

/// Between two attempts at what the broker or a queue does not take yet.
const AGAIN: Duration = Duration::from_millis(2);

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(ASK))
}

pub fn create(brokers: &Brokers, topics: &BTreeMap<String, i32>) -> Result<usize> {
    let admin: Admin = brokers.client(&[])?;
    for (name, partitions) in topics {
        create_one(&admin, name, *partitions)?;
    }
    for (name, partitions) in topics {
        await_leaders(&admin, name, *partitions)?;
    }
    Ok(topics.len())
}

/// Waits until a topic that was made can be read and written: the broker tells of it a little later.
fn await_leaders(admin: &Admin, name: &str, partitions: i32) -> Result<()> {
    let deadline = Instant::now() + ASK;
    loop {
        let metadata = admin.inner().fetch_metadata(Some(name), ASK)?;
        let all = metadata.topics().iter().flat_map(MetadataTopic::partitions);
        if all.filter(|partition| partition.leader() >= 0).count() == partitions as usize {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("topic {name} gets no leaders");
        }
        thread::sleep(AGAIN);
    }
}

/// Makes a topic. One of its name may just be on the way out.
fn create_one(admin: &Admin, name: &str, partitions: i32) -> Result<()> {
    let deadline = Instant::now() + ASK;
    loop {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let made = block_on(admin.create_topics([&topic], &options()))?.pop().context("an answer")?;
        match made {
            Ok(_) => return Ok(()),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) if Instant::now() < deadline => thread::sleep(AGAIN),
            Err((_, code)) => bail!("create topic {name}: {code}"),
        }
    }
}

pub fn delete(brokers: &Brokers, prefix: &str) -> Result<Vec<String>> {
    let admin: Admin = brokers.client(&[])?;
    let metadata = admin.inner().fetch_metadata(None, ASK)?;
    let names = metadata.topics().iter().map(MetadataTopic::name).filter(|name| name.starts_with(prefix));
    let names: Vec<_> = names.collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let results = block_on(admin.delete_topics(&names, &options()))?;
    results.into_iter().map(|result| result.or_else(|(name, code)| bail!("delete topic {name}: {code}"))).collect()
}

/// Writes an input in order, and answers how many records that were.
pub fn fill(brokers: &Brokers, topic: &str, input: &Input) -> Result<u64> {
    let producer: ThreadedProducer<DefaultProducerContext> = brokers.client(&[
        ("enable.idempotence", "true"),
        ("partitioner", "murmur2_random"),
        ("linger.ms", "20"),
        ("batch.size", "1000000"),
        ("queue.buffering.max.messages", "500000"),
    ])?;
    let mut records = 0;
    input.each(|record| {
        records += 1;
        send(&producer, topic, &record)
    })?;
    producer.flush(Duration::from_mins(1))?;
    Ok(records)
}

/// Sends a record, and waits where too many are on their way.
fn send(producer: &ThreadedProducer<DefaultProducerContext>, topic: &str, record: &Record<'_>) -> Result<()> {
    let mut message = BaseRecord::<[u8], [u8]>::to(topic).payload(record.value).timestamp(record.timestamp);
    message.key = record.key;
    while let Err((error, refused)) = producer.send(message) {
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
            bail!("write to {topic}: {error}");
        }
        message = refused;
        thread::sleep(AGAIN);
    }
    Ok(())
}

/// Digests what is committed in a topic.
pub fn digest(brokers: &Brokers, topic: &str) -> Result<Digest> {
    let consumer = brokers.consumer()?;
    let list = partitions(&consumer, topic, Offset::Beginning)?;
    consumer.assign(&list)?;
    let (mut digest, mut unfinished) = (Digest::default(), list.count());
    while unfinished > 0 {
        match consumer.poll(ASK) {
            Some(Ok(message)) => digest.add(message.key().unwrap_or_default(), message.payload().unwrap_or_default()),
            Some(Err(KafkaError::PartitionEOF(_))) => unfinished -= 1,
            Some(Err(error)) => bail!("read {topic}: {error}"),
            None => bail!("read {topic}: the broker is silent"),
        }
    }
    Ok(digest)
}
