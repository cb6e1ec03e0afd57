//! The topics there are and where their partitions stand, in memory.

use std::fmt;
use std::sync::Arc;

use std::collections::HashMap;
use wasmill_core::record::{Offset, Partition};

use super::error::LogError;
use super::layout::Place;

const LONGEST_NAME: usize = 249;
const MOST_PARTITIONS: u32 = 10_000;
/// Fewer bytes are not worth cleaning.
const LEAST_DIRTY: u64 = if cfg!(test) { 2 << 10 } else { 8 << 20 };

/// What a topic keeps.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Every record, until it is purged.
    Records,
    /// The last record of each key.
    Changelog,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Records => "records",
            Self::Changelog => "changelog",
        })
    }
}

/// A topic of the log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Topic {
    pub(super) id: u32,
    /// Its name.
    pub name: Arc<str>,
    /// What it keeps.
    pub kind: Kind,
    /// How many partitions it has.
    pub partitions: u32,
}

impl Topic {
    /// Its partitions.
    pub fn all(&self) -> impl Iterator<Item = Partition> + use<> {
        (0..self.partitions).map(Partition)
    }

    pub(super) fn place(&self, partition: Partition) -> Result<Place, LogError> {
        if partition.0 < self.partitions {
            return Ok(Place { topic: self.id, partition });
        }
        Err(LogError::UnknownPartition { topic: self.name.to_string(), partition, partitions: self.partitions })
    }

    pub(super) fn must_be(&self, wanted: Kind, doing: &'static str) -> Result<(), LogError> {
        if self.kind == wanted {
            return Ok(());
        }
        Err(LogError::WrongKind { topic: self.name.to_string(), doing, found: self.kind, wanted })
    }
}

/// What a partition holds: offsets from `start` up to `end`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Extent {
    pub(super) start: Offset,
    pub(super) end: Offset,
    pub(super) wear: Wear,
}

/// How much of a changelog's partition a newer record has made superfluous, at most; nothing in other topics.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Wear {
    /// Below it, each row has one record.
    pub(super) cleaned: Offset,
    /// Deletions below it may be gone: who has rows of an offset before it does not learn of them.
    pub(super) forgotten: Offset,
    /// Bytes of the records below `cleaned`.
    pub(super) clean: u64,
    /// Bytes of those behind.
    pub(super) dirty: u64,
}

impl Wear {
    /// Whether cleaning is worth while: it reads and writes the clean part once more, so that this must have doubled.
    pub(super) fn is_due(&self) -> bool {
        self.dirty >= LEAST_DIRTY.max(self.clean)
    }
}

/// What some partitions hold.
pub(super) type Extents = HashMap<Place, Extent, foldhash::fast::RandomState>;

/// All topics, and where all partitions stand.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    topics: Vec<Topic>,
    names: HashMap<Arc<str>, usize>,
    extents: Extents,
    /// Number of the last commit.
    pub(super) commits: u64,
    /// The fencing number of each transactional id. Not on disk: whoever had an id in an earlier process is gone with it.
    fences: HashMap<String, u64>,
}

impl Catalog {
    pub(super) fn add(&mut self, topic: Topic) {
        self.names.insert(Arc::clone(&topic.name), self.topics.len());
        self.topics.push(topic);
    }

    pub(super) fn topics(&self) -> &[Topic] {
        &self.topics
    }

    pub(super) fn topic(&self, name: &str) -> Option<&Topic> {
        self.names.get(name).and_then(|&index| self.topics.get(index))
    }

    pub(super) fn next_id(&self) -> u32 {
        self.topics.iter().map(|topic| topic.id + 1).max().unwrap_or(0)
    }

    pub(super) fn extent(&self, place: Place) -> Extent {
        self.extents.get(&place).copied().unwrap_or_default()
    }

    /// The partitions that are worth cleaning.
    pub(super) fn worn(&self) -> impl Iterator<Item = Place> {
        self.extents.iter().filter(|(_, extent)| extent.wear.is_due()).map(|(&place, _)| place)
    }

    pub(super) fn set_extent(&mut self, place: Place, extent: Extent) {
        self.extents.insert(place, extent);
    }

    /// Takes over an id: whoever had it is locked out.
    pub(super) fn fence(&mut self, id: &str) -> u64 {
        let number = self.fences.entry(id.to_owned()).or_insert(0);
        *number += 1;
        *number
    }

    pub(super) fn check_fence(&self, id: &str, number: u64) -> Result<(), LogError> {
        if self.fences.get(id) == Some(&number) { Ok(()) } else { Err(LogError::Fenced(id.to_owned())) }
    }
}

/// Kafka's rule, so that a pipeline's topics can be had there too.
pub(super) fn check_topic(name: &str, partitions: u32) -> Result<(), LogError> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let named = !matches!(name, "" | "." | "..") && name.len() <= LONGEST_NAME && name.bytes().all(known);
    if !named {
        return Err(LogError::InvalidName(name.to_owned()));
    }
    if !(1..=MOST_PARTITIONS).contains(&partitions) {
        return Err(LogError::InvalidPartitions { topic: name.to_owned(), partitions });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_kafka_takes() {
        #[rustfmt::skip]
        let table = [
            ("orders", 1, true), ("Orders_2.by-key", 9, true), (&"x".repeat(249), 1, true),
            ("", 1, false), (".", 1, false), ("..", 1, false), ("a/b", 1, false), ("ä", 1, false),
            (&"x".repeat(250), 1, false), ("orders", 0, false), ("orders", 10_001, false),
        ];
        for (name, partitions, ok) in table {
            assert_eq!(check_topic(name, partitions).is_ok(), ok, "{name:?} {partitions}");
        }
    }
}
