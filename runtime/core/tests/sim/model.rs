//! What must become visible, told the plain way: no batches, no epochs, no partitions but the source's.

use std::collections::{BTreeMap, BTreeSet};

use crate::operators::TIMER;

/// What a reader must find.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct Expected {
    /// How often each word was counted.
    pub counts: BTreeMap<String, u64>,
    /// The timers that fired: word and time that they were set at.
    pub timers: BTreeSet<(String, i64)>,
    /// The dead letters: key, value, reason, in any order.
    pub letters: Vec<(String, String, String)>,
    /// How many lines there are, which no reader of the outputs sees.
    pub lines: u64,
}

/// What must become of lines with their event times, by partition.
pub fn expected(lines: &[Vec<(i64, String)>]) -> Expected {
    let mut expected = Expected::default();
    let mut set = BTreeSet::new();
    for (at, line) in lines.iter().flatten() {
        let (at, line) = (*at, line.as_str());
        match line {
            "poison" => expected.letters.push((String::new(), line.into(), "poisoned".into())),
            "slow" => expected.letters.push((String::new(), line.into(), "slow".into())),
            "no" => expected.letters.push((String::new(), line.into(), "no".into())),
            _ => {
                for word in line.split(' ') {
                    if word.starts_with('x') {
                        expected.letters.push((word.into(), String::new(), "x".into()));
                    } else if word == "pox" {
                        expected.letters.push((word.into(), String::new(), "pox".into()));
                    } else {
                        *expected.counts.entry(word.into()).or_default() += 1;
                        set.insert((word.to_owned(), at));
                    }
                }
            }
        }
    }
    let greatest = |partition: &Vec<(i64, String)>| partition.iter().map(|&(at, _)| at).max().unwrap_or(i64::MIN);
    let watermark = lines.iter().map(greatest).min().unwrap_or(i64::MIN) - 1;
    expected.timers = set.into_iter().filter(|&(_, at)| at + TIMER <= watermark).collect();
    expected.letters.sort();
    expected.lines = lines.iter().map(Vec::len).sum::<usize>() as u64;
    expected
}
