//! Topics: made, described, purged. Every call makes a client of its own and drops it, for librdkafka's admin calls can
//! hang on a client that has outlived a coordinator.

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::admin::{
    AdminClient, AdminOptions, NewPartitions, OwnedResourceSpecifier, ResourceSpecifier, TopicReplication,
};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use wasmill_core::record::{Offset, Partition};

use super::client::{ASK, Client, Error, Logs};
use super::fault::{describe as reason, told};
use super::native::describe::topic_ids;

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

/// What a topic is like.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Described {
    /// How many partitions it has.
    pub partitions: u32,
    /// What tells it from an earlier topic of the same name; empty if the brokers do not say.
    pub id: String,
    /// The largest batch of records that it takes, in bytes.
    pub largest_message: usize,
    /// How far a record's time may lie behind the broker's clock.
    pub behind: Duration,
    /// How far it may lie ahead of it.
    pub ahead: Duration,
    /// How long a deletion is kept at least, where it is compacted.
    pub deletions: Duration,
}

/// The largest message of a topic that says nothing of it: the brokers' default.
const LARGEST_MESSAGE: usize = 1_048_588;

/// How long brokers keep a deletion by default.
const DELETIONS: Duration = Duration::from_hours(24);

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

/// Describes topics. One that does not exist is an error that says how to make it.
pub fn describe<'a>(
    client: &Client,
    topics: impl IntoIterator<Item = &'a str>,
) -> Result<HashMap<String, Described>, Error> {
    let lookup = client.lookup()?;
    let mut described = HashMap::new();
    for topic in topics {
        if described.contains_key(topic) {
            continue;
        }
        let partitions = partitions(&lookup, topic)?
            .ok_or_else(|| Error::Missing { topic: topic.to_owned(), brokers: client.brokers().to_owned() })?;
        let (id, largest_message, behind, ahead) = (String::new(), LARGEST_MESSAGE, Duration::MAX, Duration::MAX);
        let new = Described { partitions, id, largest_message, behind, ahead, deletions: DELETIONS };
        described.insert(topic.to_owned(), new);
    }
    let names: Vec<_> = described.keys().cloned().collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    if names.is_empty() {
        return Ok(described);
    }
    let (ids, settings) = with_admin(client, |admin| {
        let ids = topic_ids(admin.inner(), &names, ASK).map_err(|error| asking(&names, &error))?;
        Ok::<_, Error>((ids, settings(admin, &names, TAKES)?))
    })??;
    for (name, id) in ids {
        described.entry(name).and_modify(|topic| topic.id = id);
    }
    for (name, [bytes, kind, behind, ahead, deletions]) in settings {
        let Some(topic) = described.get_mut(&name) else { continue };
        topic.largest_message = bytes.and_then(|bytes| bytes.parse().ok()).unwrap_or(LARGEST_MESSAGE);
        if kind.as_deref() != Some("LogAppendTime") {
            (topic.behind, topic.ahead) = (time(behind), time(ahead));
        }
        if deletions.is_some() {
            topic.deletions = time(deletions);
        }
    }
    Ok(described)
}

/// The settings that say what records a topic takes, and how long it keeps deletions.
const TAKES: [&str; 5] = [
    "max.message.bytes",
    "message.timestamp.type",
    "message.timestamp.before.max.ms",
    "message.timestamp.after.max.ms",
    "delete.retention.ms",
];

/// A time that a setting has in milliseconds; without end where the brokers' own default is, or where they do not know
/// the setting.
fn time(millis: Option<String>) -> Duration {
    let millis = millis.and_then(|millis| millis.parse().ok()).filter(|&millis| millis < i64::MAX as u64);
    millis.map_or(Duration::MAX, Duration::from_millis)
}

/// Those of some topics that keep the last record of each key.
pub(super) fn compacted<'a>(
    client: &Client,
    topics: impl IntoIterator<Item = &'a str>,
) -> Result<HashSet<String>, Error> {
    let topics: Vec<_> = topics.into_iter().collect();
    if topics.is_empty() {
        return Ok(HashSet::new());
    }
    let policies = with_admin(client, |admin| settings(admin, &topics, ["cleanup.policy"]))??;
    let is_compacted =
        |[policy]: &[Option<String>; 1]| policy.as_ref().is_some_and(|policy| policy.contains("compact"));
    Ok(policies.into_iter().filter(|(_, policy)| is_compacted(policy)).map(|(topic, _)| topic).collect())
}

/// A topic and some of its settings.
type Settings<const N: usize> = (String, [Option<String>; N]);

/// Some settings of topics. A broker may keep a topic's settings to itself (an ACL); it is left out then.
fn settings<const N: usize>(
    admin: &AdminClient<Logs>,
    topics: &[&str],
    names: [&str; N],
) -> Result<Vec<Settings<N>>, Error> {
    let resources: Vec<_> = topics.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
    let results = block_on(admin.describe_configs(&resources, &options())).map_err(|error| asking(topics, &error))?;
    let entries = results.into_iter().flatten().filter_map(|resource| {
        let values = names.map(|name| resource.get(name).and_then(|entry| entry.value.clone()));
        let OwnedResourceSpecifier::Topic(topic) = resource.specifier else { return None };
        Some((topic, values))
    });
    Ok(entries.collect())
}

/// The topics there are, without Kafka's own, each with its number of partitions.
pub fn list(client: &Client) -> Result<Vec<(String, u32)>, Error> {
    let lookup = client.lookup()?;
    let all = lookup.fetch_metadata(None, ASK).map_err(|error| Error::failed("list topics", reason(&error)))?;
    let topics = all.topics().iter().filter(|topic| !topic.name().starts_with("__"));
    let mut listed: Vec<_> = topics.map(|topic| (topic.name().to_owned(), topic.partitions().len() as u32)).collect();
    listed.sort();
    Ok(listed)
}

/// Deletes topics. Those that do not exist are left out.
pub fn delete(client: &Client, topics: &[&str]) -> Result<(), Error> {
    if topics.is_empty() {
        return Ok(());
    }
    let results = with_admin(client, |admin| block_on(admin.delete_topics(topics, &options())))?
        .map_err(|error| Error::failed("delete topics", reason(&error)))?;
    for result in results {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => {}
            Err((name, code)) => return Err(Error::failed(format!("delete topic {name}"), code)),
        }
    }
    Ok(())
}

/// Deletes a pipeline's group, which fails while it has members, and its own topics, and waits until no broker knows the topics any more.
pub fn forget(client: &Client, group: &str, topics: &[&str]) -> Result<(), Error> {
    forget_group(client, group)?;
    delete(client, topics)?;
    let lookup = client.lookup()?;
    let deadline = Instant::now() + ASK;
    for topic in topics {
        while partitions(&lookup, topic)?.is_some() {
            if Instant::now() > deadline {
                return Err(Error::failed(format!("delete topic {topic}"), "it is still there"));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}

/// Deletes a group. A member that was killed is waited for until its session ends.
fn forget_group(client: &Client, group: &str) -> Result<(), Error> {
    let deadline = Instant::now() + client.timing().session + Duration::from_secs(5);
    with_admin(client, |admin| {
        loop {
            let results = block_on(admin.delete_groups(&[group], &options()))
                .map_err(|error| Error::failed(format!("delete group {group}"), reason(&error)))?;
            match results.into_iter().next() {
                None | Some(Ok(_) | Err((_, RDKafkaErrorCode::GroupIdNotFound))) => return Ok(()),
                Some(Err((_, RDKafkaErrorCode::NonEmptyGroup))) if Instant::now() < deadline => {
                    tracing::debug!(group, "waiting for the group's members to be gone");
                    thread::sleep(Duration::from_millis(200));
                }
                Some(Err((_, code))) => {
                    return Err(Error::failed(format!("delete group {group}, is the pipeline still running?"), code));
                }
            }
        }
    })?
}

/// Deletes the records of repartition topics that lie before offsets, which must be committed by every reader.
pub fn purge(client: &Client, before: &[(&str, Partition, Offset)]) -> Result<(), Error> {
    if before.is_empty() {
        return Ok(());
    }
    let failed = |reason: String| Error::failed("purge repartition topics", reason);
    let mut offsets = TopicPartitionList::with_capacity(before.len());
    for &(topic, partition, offset) in before {
        offsets
            .add_partition_offset(topic, partition.0 as i32, rdkafka::Offset::Offset(offset.0))
            .map_err(|error| failed(reason(&error)))?;
    }
    let purged = with_admin(client, |admin| block_on(admin.delete_records(&offsets, &options())))?;
    let purged = purged.map_err(|error| failed(reason(&error)))?;
    for partition in purged.elements() {
        partition
            .error()
            .map_err(|error| failed(format!("{}/{}: {}", partition.topic(), partition.partition(), reason(&error))))?;
    }
    Ok(())
}

/// Partitions of a topic; `None` if it does not exist.
pub(super) fn partitions(lookup: &BaseConsumer<Logs>, topic: &str) -> Result<Option<u32>, Error> {
    let metadata = lookup.fetch_metadata(Some(topic), ASK).map_err(|error| asking(&[topic], &error))?;
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else { return Ok(None) };
    match found.error().map(RDKafkaErrorCode::from) {
        None => Ok(Some(found.partitions().len() as u32).filter(|&partitions| partitions > 0)),
        Some(
            RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::LeaderNotAvailable,
        ) => Ok(None),
        Some(code) => Err(Error::failed(format!("describe topic {topic}"), told(code))),
    }
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

fn asking(topics: &[&str], error: &rdkafka::error::KafkaError) -> Error {
    Error::failed(format!("describe topic {}", topics.join(", ")), reason(error))
}

/// Does something with an admin client, which is let go by a thread of its own: that takes as long as one of its polls, a
/// tenth of a second.
fn with_admin<T>(client: &Client, act: impl FnOnce(&AdminClient<Logs>) -> T) -> Result<T, Error> {
    let admin: AdminClient<Logs> = super::client::create(&client.config(&[], &[]))?;
    let done = act(&admin);
    let letting_go = thread::Builder::new().name("admin client".into()).spawn(move || drop(admin));
    // Without a thread it was let go here.
    drop(letting_go);
    Ok(done)
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(ASK)).request_timeout(Some(ASK + Duration::from_secs(2)))
}

/// Waits for a future whose answer comes from librdkafka's own threads.
fn block_on<T>(future: impl Future<Output = KafkaResult<T>>) -> KafkaResult<T> {
    let waker = Waker::from(Arc::new(Parked(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(answer) = future.as_mut().poll(&mut context) {
            return answer;
        }
        thread::park();
    }
}

struct Parked(Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
