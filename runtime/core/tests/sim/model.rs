//! What must become visible, told the plain way: no batches, no epochs, no partitions but the source's.

use std::collections::{BTreeMap, BTreeSet};

use crate::operators::TIMER;

/// Why a dead letter was written whose process died.
pub const DIED: &str = "died";

/// A dead letter: operator, key, value, reason.
pub type Letter = (String, String, String, String);

/// Timers, and how often.
pub type Ticks = BTreeMap<(String, i64), u64>;

/// What a reader must find.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct Expected {
    /// How often each word was counted.
    pub counts: BTreeMap<String, u64>,
    /// The timers that fired: word and time that they were set at.
    pub timers: BTreeSet<(String, i64)>,
    /// The timers in processing time that fired: word and event time that they were set at.
    /// They may fire once for each time that they were set, or once for several.
    pub ticks: Ticks,
    /// How often each word was counted for a short time.
    pub shorts: u64,
    /// The dead letters in any order.
    pub letters: Vec<Letter>,
    /// How many lines there are, which no reader of the outputs sees.
    pub lines: u64,
}

/// What was taken for the cause when processes died on it twice, killed from outside or not.
#[derive(Clone, Debug, Default)]
pub struct Blamed {
    /// Lines, by partition and number.
    pub lines: BTreeSet<(usize, usize)>,
    /// Words with their event times.
    pub words: Vec<(String, i64)>,
    /// Timers: word and time that they were set at.
    pub timers: BTreeSet<(String, i64)>,
    /// Timers in processing time.
    pub ticks: BTreeSet<(String, i64)>,
}

/// What must become of lines with their event times, by partition.
pub fn expected(lines: &[Vec<(i64, String)>]) -> Expected {
    expected_but(lines, &Blamed::default())
}

/// The same where some are known to have been blamed.
pub fn expected_but(lines: &[Vec<(i64, String)>], blamed: &Blamed) -> Expected {
    let mut expected = Expected::default();
    let mut blamed = blamed.clone();
    let mut set = BTreeSet::new();
    let mut letters = Vec::new();
    let mut letter = |operator: &str, key: &str, value: &str, reason: &str| {
        letters.push((operator.into(), key.into(), value.into(), reason.into()));
    };
    for (partition, lines) in lines.iter().enumerate() {
        for (number, (at, line)) in lines.iter().enumerate() {
            match line.as_str() {
                _ if blamed.lines.contains(&(partition, number)) => letter("split", "", line, DIED),
                "kill" => letter("split", "", line, DIED),
                "slow" => letter("split", "", line, "slow"),
                "poison" => letter("split", "", line, "poisoned"),
                "no" => letter("split", "", line, "no"),
                _ => {
                    for word in line.split(' ') {
                        let is_blamed = blamed.words.iter().position(|blamed| *blamed == (word.to_owned(), *at));
                        if let Some(index) = is_blamed {
                            blamed.words.swap_remove(index);
                            letter("count", word, "", DIED);
                        } else if word == "die" {
                            letter("count", word, "", DIED);
                        } else if word.starts_with('x') {
                            letter("count", word, "", "x");
                        } else if word == "pox" || word == "never" {
                            letter("count", word, "", word);
                        } else {
                            *expected.counts.entry(word.into()).or_default() += 1;
                            set.insert((word.to_owned(), *at));
                            if word.starts_with('t') {
                                expected.shorts += 1;
                                *expected.ticks.entry((word.to_owned(), *at)).or_default() += 1;
                            }
                        }
                    }
                }
            }
        }
    }
    let greatest = |partition: &Vec<(i64, String)>| partition.iter().map(|&(at, _)| at).max().unwrap_or(i64::MIN);
    let watermark = lines.iter().map(greatest).min().unwrap_or(i64::MIN).saturating_sub(1);
    for tick in &blamed.ticks {
        letter("count", &tick.0, &tick.1.to_string(), DIED);
    }
    for timer in set.into_iter().filter(|&(_, at)| at + TIMER <= watermark) {
        if timer.0 == "bomb" || blamed.timers.contains(&timer) {
            letter("count", &timer.0, &timer.1.to_string(), DIED);
        } else if timer.0 == "dud" {
            letter("count", &timer.0, &timer.1.to_string(), "dud");
        } else {
            expected.timers.insert(timer);
        }
    }
    expected.letters = letters;
    expected.letters.sort();
    expected.lines = lines.iter().map(Vec::len).sum::<usize>() as u64;
    expected
}
