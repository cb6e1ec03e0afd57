//! Topics, groups and records: deleted.

use std::thread;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::error::RDKafkaErrorCode;
use wasmill_core::record::{Offset, Partition};

use super::{block_on, options, partitions, with_admin};
use crate::kafka::client::{ASK, Client, Error};
use crate::kafka::fault::{describe as reason, is_passing};

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

/// Where the records of a partition are deleted up to.
type Before<'a> = (&'a str, Partition, Offset);

/// Deletes the records of repartition topics that lie before offsets, which must be committed by every reader. A
/// partition is asked for again while its leader changes: a broker may not yet know that it leads what was just made.
pub fn purge(client: &Client, before: &[Before<'_>]) -> Result<(), Error> {
    let deadline = Instant::now() + ASK;
    let mut left = before.to_vec();
    while !left.is_empty() {
        left = purge_once(client, &left, Instant::now() < deadline)?;
        if !left.is_empty() {
            thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}

/// Answers what is worth another try, if there may be one.
fn purge_once<'a>(client: &Client, before: &[Before<'a>], may_try_again: bool) -> Result<Vec<Before<'a>>, Error> {
    let failed = |reason: String| Error::failed("purge repartition topics", reason);
    let mut offsets = TopicPartitionList::with_capacity(before.len());
    for &(topic, partition, offset) in before {
        offsets
            .add_partition_offset(topic, partition.0 as i32, rdkafka::Offset::Offset(offset.0))
            .map_err(|error| failed(reason(&error)))?;
    }
    let purged = with_admin(client, |admin| block_on(admin.delete_records(&offsets, &options())))?;
    let purged = purged.map_err(|error| failed(reason(&error)))?;
    let mut again = Vec::new();
    for &(topic, partition, offset) in before {
        let Some(answer) = purged.find_partition(topic, partition.0 as i32) else { continue };
        match answer.error() {
            Ok(()) => {}
            Err(error) if may_try_again && is_passing(error.rdkafka_error_code()) => {
                again.push((topic, partition, offset));
            }
            Err(error) => return Err(failed(format!("{topic}/{}: {}", partition.0, reason(&error)))),
        }
    }
    Ok(again)
}
