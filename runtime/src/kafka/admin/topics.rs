//! Topics: made, and given more partitions.

use std::thread;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, NewPartitions, ResourceSpecifier, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;

use super::{block_on, options, partitions, with_admin};
use crate::kafka::client::{ASK, Client, Error, Logs};
use crate::kafka::fault::describe as reason;

/// What a topic is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A user's topic, with the cluster's settings.
    Plain,
    /// The rows of an operator: compacted.
    Changelog,
    /// Records on their way to the task of their key: kept until they are purged.
    Repartition,
    /// No data; its committed offsets are the rows of tasks.
    Tasks,
}

/// A topic to make.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions.
    pub partitions: u32,
    /// What it is for.
    pub kind: Kind,
    /// How many copies; `None`: as many as the cluster's default.
    pub replication: Option<u32>,
}

impl NewTopic {
    /// A topic with the cluster's default number of copies.
    pub fn new(name: impl Into<String>, partitions: u32, kind: Kind) -> Self {
        Self { name: name.into(), partitions, kind, replication: None }
    }
}

/// Makes those topics that do not exist, and answers their names when every broker asked knows them. A topic that
/// exists keeps its settings, but must have the partitions asked for, unless it is a user's.
pub fn create(client: &Client, topics: &[NewTopic]) -> Result<Vec<String>, Error> {
    let lookup = client.lookup()?;
    let mut missing = Vec::new();
    for topic in topics {
        match partitions(&lookup, &topic.name)? {
            None => missing.push(topic),
            Some(there) if topic.kind != Kind::Plain && there != topic.partitions => return Err(misfit(topic, there)),
            Some(_) => {}
        }
    }
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let results = with_admin(client, |admin| {
        let default = default_replication(&lookup, admin)?;
        let wanted: Vec<_> = missing.iter().map(|topic| wanted(topic, default)).collect();
        block_on(admin.create_topics(&wanted, &options()))
            .map_err(|error| Error::failed("create topics", reason(&error)))
    })??;
    let mut made = Vec::new();
    for result in results {
        match result {
            Ok(name) => made.push(name),
            // Another node was faster.
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => return Err(Error::failed(format!("create topic {name}"), code)),
        }
    }
    await_topics(&lookup, &missing)?;
    tracing::info!(topics = ?made, "made topics");
    Ok(made)
}

/// Gives a topic more partitions, so that it has as many as this, and waits until a broker says so.
pub fn grow(client: &Client, topic: &str, width: u32) -> Result<(), Error> {
    let lookup = client.lookup()?;
    let doing = || format!("give topic {topic} {width} partitions");
    let wanted = NewPartitions::new(topic, width as usize);
    let results = with_admin(client, |admin| block_on(admin.create_partitions(&[wanted], &options())))?;
    let refused = match results.map_err(|error| Error::failed(doing(), reason(&error)))?.into_iter().next() {
        Some(Err((_, code))) => Some(code),
        Some(Ok(_)) | None => None,
    };
    let deadline = Instant::now() + ASK;
    while partitions(&lookup, topic)?.is_none_or(|there| there < width) {
        // Another node may have been faster, and then this is refused.
        if let Some(code) = refused.filter(|_| Instant::now() > deadline) {
            return Err(Error::failed(doing(), code));
        }
        if Instant::now() > deadline {
            return Err(Error::failed(doing(), "they were made but do not appear"));
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn misfit(topic: &NewTopic, there: u32) -> Error {
    let reason = format!(
        "it exists with {there} partitions in place of {}; partition counts belong to a pipeline's revision: delete the \
         pipeline, or use another --cluster",
        topic.partitions
    );
    Error::failed(format!("create topic {}", topic.name), reason)
}

fn wanted(topic: &NewTopic, default: u32) -> rdkafka::admin::NewTopic<'_> {
    const ALWAYS: &str = "9223372036854775807";
    let copies = topic.replication.map_or(-1, |copies| copies as i32);
    let wanted = rdkafka::admin::NewTopic::new(&topic.name, topic.partitions as i32, TopicReplication::Fixed(copies));
    let settings: &[(&str, &str)] = match topic.kind {
        Kind::Plain => return wanted,
        Kind::Changelog => {
            &[("cleanup.policy", "compact"), ("delete.retention.ms", "604800000"), ("min.cleanable.dirty.ratio", "0.3")]
        }
        Kind::Repartition => &[("cleanup.policy", "delete"), ("retention.ms", "-1"), ("retention.bytes", "-1")],
        Kind::Tasks => &[("cleanup.policy", "delete")],
    };
    let times = [
        ("message.timestamp.type", "CreateTime"),
        ("message.timestamp.before.max.ms", ALWAYS),
        ("message.timestamp.after.max.ms", ALWAYS),
    ];
    let copies = topic.replication.unwrap_or(default);
    let in_sync = (copies > 1).then_some(("min.insync.replicas", "2"));
    let all = settings.iter().copied().chain(times).chain(in_sync);
    all.fold(wanted, |wanted, (name, value)| wanted.set(name, value))
}

fn await_topics(lookup: &BaseConsumer<Logs>, topics: &[&NewTopic]) -> Result<(), Error> {
    let deadline = Instant::now() + ASK;
    for topic in topics {
        while partitions(lookup, &topic.name)?.is_none() {
            if Instant::now() > deadline {
                return Err(Error::failed(format!("create topic {}", topic.name), "it was made but does not appear"));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}

fn default_replication(lookup: &BaseConsumer<Logs>, admin: &AdminClient<Logs>) -> Result<u32, Error> {
    let failed = |error| Error::failed("ask a broker for its default replication", reason(&error));
    let metadata = lookup.fetch_metadata(Some("_"), ASK).map_err(failed)?;
    let Some(broker) = metadata.brokers().first() else { return Ok(1) };
    let results = block_on(admin.describe_configs(&[ResourceSpecifier::Broker(broker.id())], &options()));
    let setting = results
        .map_err(failed)?
        .into_iter()
        .flatten()
        .find_map(|resource| resource.get("default.replication.factor")?.value.as_ref()?.parse().ok());
    Ok(setting.unwrap_or(1))
}
