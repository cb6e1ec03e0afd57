//! What a run leaves, and how that of one differs from that of another.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;
use indicatif::HumanCount;
use wasmill_core::record::{Offset, Partition};
use wasmill_core::row::META;

use super::records;
use crate::broker::{Broker, Cursor, find};

/// A topic whose content is compared.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Watched {
    /// Its name in the log.
    pub(super) topic: String,
    /// What users call it.
    pub(super) name: String,
    /// Whether only the last record of each key counts.
    pub(super) state: bool,
}

/// Key, value and headers of a record, or key and value of a row, and how many there are of it.
type Content = BTreeMap<Vec<Option<Vec<u8>>>, usize>;

/// What a run leaves, by topic, in the order in which these were asked for.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    topics: Vec<(Watched, Content)>,
}

impl Outcome {
    /// Reads all that is committed in topics. Those that are not there are empty.
    pub(super) fn read(broker: &mut dyn Broker, watched: &[Watched]) -> Result<Self> {
        let listed = broker.topics()?;
        let mut topics = Vec::new();
        for watched in watched {
            let found = find(&listed, &watched.topic).map_or(&[][..], |found| &found.partitions);
            let at = |partition, offset| Cursor { partition: Partition(partition), next: Offset(offset) };
            let extents = || (0..).zip(found);
            let mut cursors: Vec<_> = extents().map(|(partition, extent)| at(partition, extent.start)).collect();
            let ends: Vec<_> = extents().map(|(_, extent)| Offset(extent.end)).collect();
            let mut content = if watched.state { Read::Rows(BTreeMap::new()) } else { Read::Records(Content::new()) };
            while cursors.iter().zip(&ends).any(|(cursor, end)| cursor.next < *end) {
                for chunk in broker.fetch(&watched.topic, &mut cursors, Duration::ZERO)? {
                    for record in chunk.records.iter() {
                        let [key, value, headers] =
                            [record.key, record.value, record.headers].map(|part| part.map(<[u8]>::to_vec));
                        content.add(chunk.partition, key, value, headers);
                    }
                }
            }
            topics.push((watched.clone(), content.finish()));
        }
        Ok(Self { topics })
    }
}

/// A topic's content, while it is read.
enum Read {
    Records(Content),
    Rows(BTreeMap<(Partition, Vec<u8>), Vec<u8>>),
}

impl Read {
    fn add(&mut self, partition: Partition, key: Option<Vec<u8>>, value: Option<Vec<u8>>, headers: Option<Vec<u8>>) {
        match self {
            Self::Records(content) => *content.entry(vec![key, value, headers]).or_default() += 1,
            // What a task remembers beside its rows counts epochs, of which a run has more than another.
            Self::Rows(rows) => match (key.filter(|key| *key != META), value) {
                (Some(key), Some(value)) => _ = rows.insert((partition, key), value),
                (Some(key), None) => _ = rows.remove(&(partition, key)),
                (None, _) => {}
            },
        }
    }

    fn finish(self) -> Content {
        match self {
            Self::Records(content) => content,
            Self::Rows(rows) => {
                let of = |((partition, key), value): ((Partition, _), _)| {
                    (vec![Some(partition.0.to_be_bytes().to_vec()), Some(key), Some(value)], 1)
                };
                rows.into_iter().map(of).collect()
            }
        }
    }
}

/// How closely a topic can be compared.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Closeness {
    /// Record by record.
    Content,
    /// By the number of records: their content is another one at each run.
    Count,
    /// Not at all.
    Nothing,
}

/// What a run that was not killed left, and how closely others can be compared with it.
#[derive(Debug)]
pub(super) struct Comparison(Vec<(Watched, Content, Closeness)>);

impl Comparison {
    /// Of runs that were not killed: where they differ, nothing can be said of others.
    pub(super) fn between(references: Vec<Outcome>) -> Self {
        let mut references = references.into_iter();
        let first = references.next().unwrap_or_default().topics.into_iter();
        let mut close: Vec<_> = first.map(|(watched, content)| (watched, content, Closeness::Content)).collect();
        for other in references {
            for ((_, content, closeness), (_, other)) in close.iter_mut().zip(&other.topics) {
                *closeness = match other {
                    other if other == content => *closeness,
                    other if count(other) == count(content) => Closeness::Count.max(*closeness),
                    _ => Closeness::Nothing,
                };
            }
        }
        Self(close)
    }

    /// What cannot be compared closely.
    pub(super) fn notes(&self) -> impl Iterator<Item = String> {
        self.0.iter().filter_map(|(Watched { name, .. }, _, closeness)| match closeness {
            Closeness::Content => None,
            Closeness::Count => Some(format!(
                "{name} has other contents at each run, although nothing is killed: only how much there is is compared"
            )),
            Closeness::Nothing => {
                Some(format!("{name} is another one at each run, although nothing is killed: it is not compared"))
            }
        })
    }

    /// What there is to compare.
    pub(super) fn about(&self) -> String {
        let each = self.0.iter().map(|(Watched { name, state, .. }, content, _)| {
            let count = count(content);
            if *state {
                format!("{name}: {} rows", HumanCount(count as u64))
            } else {
                format!("{name}: {}", records(count))
            }
        });
        each.collect::<Vec<_>>().join(", ")
    }

    /// In what a run differs, a line for each topic.
    pub(super) fn differences(&self, outcome: &Outcome) -> Vec<String> {
        let pairs = self.0.iter().zip(&outcome.topics);
        let line = |((watched, content, closeness), (_, found)): (&(Watched, Content, Closeness), &(_, Content))| {
            let differs = match closeness {
                Closeness::Content => found != content,
                Closeness::Count => count(found) != count(content),
                Closeness::Nothing => false,
            };
            differs.then(|| format!("{}: {}", watched.name, difference(content, found, *closeness)))
        };
        pairs.filter_map(line).collect()
    }
}

fn count(content: &Content) -> usize {
    content.values().sum()
}

fn difference(expected: &Content, found: &Content, closeness: Closeness) -> String {
    if closeness == Closeness::Count {
        return format!("{} in place of {}", records(count(found)), count(expected));
    }
    let short = |few: &Content, many: &Content| {
        let missing = many.iter().map(|(record, &n)| (record, n.saturating_sub(few.get(record).copied().unwrap_or(0))));
        let missing: Vec<_> = missing.filter(|(_, n)| *n > 0).collect();
        (missing.iter().map(|(_, n)| n).sum::<usize>(), missing.first().map(|(record, _)| show(record)))
    };
    let mut text = String::new();
    for (what, (number, example)) in [("missing", short(found, expected)), ("too many", short(expected, found))] {
        let Some(example) = example else { continue };
        let comma = if text.is_empty() { "" } else { "; " };
        // Writing to a string does not fail.
        let _ = write!(text, "{comma}{} {what}, for example {example}", records(number));
    }
    text
}

/// A record for people: its first parts, as far as they are text.
fn show(record: &[Option<Vec<u8>>]) -> String {
    const MOST: usize = 60;
    let part = |part: &Option<Vec<u8>>| match part {
        None => "null".to_owned(),
        Some(bytes) => String::from_utf8_lossy(bytes).escape_debug().take(MOST).collect(),
    };
    record.iter().map(part).collect::<Vec<_>>().join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(records: &[&str]) -> Outcome {
        let watched = Watched { topic: "t".into(), name: "sink s".into(), state: false };
        let mut content = Content::new();
        records.iter().for_each(|record| *content.entry(vec![Some(record.as_bytes().to_vec())]).or_default() += 1);
        Outcome { topics: vec![(watched, content)] }
    }

    #[test]
    fn what_is_missing_and_what_is_too_much_is_told() {
        let comparison = Comparison::between(vec![outcome(&["a", "b", "b"]), outcome(&["b", "a", "b"])]);
        assert_eq!(comparison.differences(&outcome(&["b", "b", "a"])), [""; 0]);
        let line = "sink s: 1 record missing, for example b; 2 records too many, for example a";
        assert_eq!(comparison.differences(&outcome(&["a", "b", "a", "a"])), [line]);
    }

    #[test]
    fn what_differs_without_a_kill_is_compared_as_far_as_it_goes() {
        let comparison = Comparison::between(vec![outcome(&["at 1"]), outcome(&["at 2"])]);
        assert_eq!(comparison.notes().count(), 1);
        assert_eq!(comparison.differences(&outcome(&["at 3"])), [""; 0]);
        assert_eq!(comparison.differences(&outcome(&["at 3", "at 3"])), ["sink s: 2 records in place of 1"]);
        let comparison = Comparison::between(vec![outcome(&["a"]), outcome(&[])]);
        assert_eq!(comparison.notes().count(), 1);
        assert_eq!(comparison.differences(&outcome(&["b", "b"])), [""; 0]);
    }

    #[test]
    fn of_a_row_the_last_value_counts() {
        let mut rows = Read::Rows(BTreeMap::new());
        let text = |text: &str| Some(text.as_bytes().to_vec());
        for (key, value) in [("a", text("1")), ("b", text("1")), ("a", text("2")), ("b", None), ("\0", text("meta"))] {
            rows.add(Partition(0), text(key), value, None);
        }
        assert_eq!(rows.finish().keys().map(|row| row[1..].to_vec()).collect::<Vec<_>>(), [[text("a"), text("2")]]);
    }
}
