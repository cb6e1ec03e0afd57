//! Asking a cluster about topics.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::groups::GroupInfo;
use wasmill_core::record::{Offset, Partition, Timestamp};

use super::admin;
use super::client::{ASK, Client, Error, Logs};
use super::fault::is_passing;

/// How long somebody else's transaction in a topic is waited for before what is committed is read.
const SETTLE: Duration = Duration::from_secs(10);

/// How often it is asked whether a topic has a partition by now.
const LEARN: Duration = Duration::from_secs(10);

/// A client that asks about topics.
pub struct Lookup {
    committed: BaseConsumer<Logs>,
    all: BaseConsumer<Logs>,
    /// When it was last asked for a topic's partitions because one was unknown.
    learnt: Mutex<HashMap<String, Instant>>,
}

impl Lookup {
    /// A client of a cluster.
    pub fn new(client: &Client) -> Result<Self, Error> {
        Ok(Self { committed: client.lookup()?, all: client.lookup_all()?, learnt: Mutex::default() })
    }

    /// The partitions of a topic; `None` if there is no such topic.
    pub fn partitions(&self, topic: &str) -> Result<Option<u32>, Error> {
        admin::partitions(&self.committed, topic)
    }

    /// The offset behind the last record of a partition, open transactions included: the markers of one that is
    /// committed may come after the answer to its commit, and count.
    pub fn end(&self, topic: &str, partition: Partition) -> Result<Offset, Error> {
        let mut asked = watermarks(&self.all, topic, partition);
        if is_unknown(&asked) && self.learns(topic) {
            asked = watermarks(&self.all, topic, partition);
        }
        ended(asked, topic, partition)
    }

    /// Asks for the partitions of a topic, some of which may be new: librdkafka goes by what it knows, for many minutes.
    fn learns(&self, topic: &str) -> bool {
        let mut learnt = self.learnt.lock().unwrap_or_else(PoisonError::into_inner);
        if learnt.get(topic).is_some_and(|at| at.elapsed() < LEARN) {
            return false;
        }
        learnt.insert(topic.to_owned(), Instant::now());
        self.all.fetch_metadata(Some(topic), ASK).is_ok()
    }

    /// The first offset that is kept of a partition.
    pub fn start(&self, topic: &str, partition: Partition) -> Result<Offset, Error> {
        let asked = watermarks(&self.all, topic, partition);
        let failed = |error| Error::failed(format!("find the start of {topic} partition {partition}"), error);
        asked.map(|(start, _)| Offset(start)).map_err(failed)
    }

    /// The first record of a time or later in a partition; `None` if there is none.
    pub fn at(&self, topic: &str, partition: Partition, time: Timestamp) -> Result<Option<Offset>, Error> {
        let asked = at_time(&self.committed, topic, partition.0 as i32, time);
        let failed = |error| Error::failed(format!("find a time in {topic} partition {partition}"), error);
        Ok(asked.map_err(failed)?.map(Offset))
    }

    /// The members of a group, by where they are.
    pub fn members(&self, group: &str) -> Result<Vec<String>, Error> {
        let asked = self.all.fetch_group_list(Some(group), ASK);
        let groups = asked.map_err(|error| Error::failed(format!("ask for the members of group {group}"), error))?;
        let members = groups.groups().iter().flat_map(GroupInfo::members);
        Ok(members.map(|member| format!("the node at {}", member.client_host().trim_start_matches('/'))).collect())
    }

    /// Waits until a reader of committed records sees all there is in a topic, or somebody else's transaction takes too
    /// long.
    pub fn settle(&self, topic: &str) -> Result<(), Error> {
        let deadline = Instant::now() + SETTLE;
        for partition in (0..self.partitions(topic)?.unwrap_or_default()).map(Partition) {
            while !self.is_settled(topic, partition)? && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(5));
            }
        }
        Ok(())
    }

    fn is_settled(&self, topic: &str, partition: Partition) -> Result<bool, Error> {
        let committed = ended(watermarks(&self.committed, topic, partition), topic, partition)?;
        Ok(committed >= self.end(topic, partition)?)
    }
}

/// Asks where the records of a time begin.
pub(super) fn at_time(
    lookup: &BaseConsumer<Logs>,
    topic: &str,
    partition: i32,
    time: Timestamp,
) -> KafkaResult<Option<i64>> {
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition_offset(topic, partition, rdkafka::Offset::Offset(time.0.max(0)))?;
    let found = lookup.offsets_for_times(list, ASK)?;
    let element = found.find_partition(topic, partition);
    element.map_or(Ok(None), |element| element.error().map(|()| element.offset().to_raw().filter(|at| *at >= 0)))
}

/// The start and the end of a partition. One that was made just now may have no leader yet.
pub(super) fn watermarks(consumer: &BaseConsumer<Logs>, topic: &str, partition: Partition) -> KafkaResult<(i64, i64)> {
    let deadline = Instant::now() + ASK;
    loop {
        match consumer.fetch_watermarks(topic, partition.0 as i32, ASK) {
            Err(error) if is_passing(error.rdkafka_error_code()) && Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(20));
            }
            answer => return answer,
        }
    }
}

fn is_unknown<T>(asked: &KafkaResult<T>) -> bool {
    let code = asked.as_ref().err().and_then(KafkaError::rdkafka_error_code);
    code == Some(RDKafkaErrorCode::UnknownPartition)
}

fn ended(asked: KafkaResult<(i64, i64)>, topic: &str, partition: Partition) -> Result<Offset, Error> {
    let failed = |error| Error::failed(format!("find the end of {topic} partition {partition}"), error);
    asked.map(|(_, end)| Offset(end)).map_err(failed)
}
