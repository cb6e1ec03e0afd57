//! What topics there are, and what they are like.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use rdkafka::admin::{AdminClient, OwnedResourceSpecifier, ResourceSpecifier};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;

use super::{asking, block_on, options, with_admin};
use crate::kafka::client::{ASK, Client, Error, Logs};
use crate::kafka::fault::{describe as reason, told};
use crate::kafka::native::describe::{GroupMember, group_members, topic_ids};

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
pub(crate) fn compacted<'a>(
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

/// Partitions of a topic; `None` if it does not exist.
pub(crate) fn partitions(lookup: &BaseConsumer<Logs>, topic: &str) -> Result<Option<u32>, Error> {
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

/// The members of a consumer group and what each was given; `None` while it rebalances, or if it has none.
pub(crate) fn members(client: &Client, group: &str) -> Result<Option<Vec<GroupMember>>, Error> {
    let asked = with_admin(client, |admin| group_members(admin.inner(), group, ASK))?;
    asked.map_err(|error| Error::failed(format!("describe group {group}"), reason(&error)))
}
