//! What is told of tasks that are restored: a bar on a terminal, and a line now and then.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use wasmill_core::record::Partition;

use crate::node::running::Restoring;

/// Shorter ones are not told.
const LONG: Duration = Duration::from_secs(1);

/// How often it is told how far they are, where there is no bar.
const EVERY: Duration = Duration::from_secs(10);

/// Operators that are restored.
pub(super) struct Restores {
    operators: BTreeMap<String, Operator>,
    told: Instant,
    /// On a terminal.
    bar: Option<ProgressBar>,
}

struct Operator {
    since: Instant,
    /// Records that were read of each changelog, and those that are left.
    partitions: BTreeMap<Partition, (u64, u64)>,
}

impl Operator {
    fn done(&self) -> u64 {
        self.partitions.values().map(|(done, _)| done).sum()
    }

    fn all(&self) -> u64 {
        self.partitions.values().map(|(done, left)| done + left).sum()
    }
}

impl Restores {
    pub(super) fn new() -> Self {
        Self { operators: BTreeMap::new(), told: Instant::now(), bar: None }
    }

    /// Tells how far they are.
    pub(super) fn tell(&mut self, restoring: &[Restoring]) {
        if restoring.is_empty() && self.operators.is_empty() {
            return;
        }
        let on_terminal = std::io::stderr().is_terminal();
        let lines = self.look(restoring, Instant::now(), if on_terminal { Duration::MAX } else { EVERY });
        if on_terminal {
            self.draw();
        }
        lines.iter().for_each(|line| eprintln!("{line}"));
    }

    fn draw(&mut self) {
        if self.operators.is_empty() {
            self.bar.take().into_iter().for_each(|bar| bar.finish_and_clear());
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::new(0);
            let style = ProgressStyle::with_template("{bar:30} {msg} [{eta} left]");
            style.map_or_else(|_| bar.clone(), |style| bar.clone().with_style(style))
        });
        bar.set_length(self.operators.values().map(Operator::all).sum());
        bar.set_position(self.operators.values().map(Operator::done).sum());
        bar.set_message(self.operators.iter().map(line).collect::<Vec<_>>().join(", "));
    }

    /// Takes note of how far they are. Answers the lines that are due.
    fn look(&mut self, restoring: &[Restoring], now: Instant, every: Duration) -> Vec<String> {
        if self.operators.is_empty() {
            self.told = now;
        }
        for Restoring { operator, partition, done, left } in restoring {
            let begin = || Operator { since: now, partitions: BTreeMap::new() };
            let operator = self.operators.entry(operator.clone()).or_insert_with(begin);
            operator.partitions.insert(*partition, (*done, *left));
        }
        for (name, operator) in &mut self.operators {
            for (partition, (done, left)) in &mut operator.partitions {
                let goes_on = |it: &Restoring| it.operator == *name && it.partition == *partition;
                if !restoring.iter().any(goes_on) {
                    (*done, *left) = (*done + *left, 0);
                }
            }
        }
        let mut lines = Vec::new();
        self.operators.retain(|name, operator| {
            let took = now.saturating_duration_since(operator.since);
            let goes_on = restoring.iter().any(|it| it.operator == *name);
            if !goes_on && took > LONG {
                let (all, took) = (HumanCount(operator.all()), took.as_secs_f64());
                lines.push(format!("restored {name}: {all} records in {took:.1} s"));
            }
            goes_on
        });
        if now.saturating_duration_since(self.told) >= every {
            lines.extend(self.operators.iter().map(line));
            self.told = now;
        }
        lines
    }
}

fn line((name, operator): (&String, &Operator)) -> String {
    let (done, all) = (HumanCount(operator.done()), HumanCount(operator.all()));
    format!("restoring {name}: {done} of {all} records")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(partition: u32, done: u64, left: u64) -> Restoring {
        Restoring { operator: "p.count".into(), partition: Partition(partition), done, left }
    }

    #[test]
    fn a_long_restore_is_told_every_ten_seconds_and_at_its_end() {
        let (mut restores, begun) = (Restores::new(), Instant::now());
        let mut look = |seconds, restoring: &[Restoring]| {
            restores.look(restoring, begun + Duration::from_secs_f64(seconds), EVERY)
        };
        let nothing = Vec::<String>::new();
        assert_eq!(look(0.0, &[at(0, 0, 2_000), at(1, 0, 3_000_000)]), nothing);
        assert_eq!(look(9.0, &[at(0, 1_500, 500), at(1, 0, 3_000_000)]), nothing);
        assert_eq!(look(11.0, &[at(1, 1_000_000, 2_000_000)]), ["restoring p.count: 1,002,000 of 3,002,000 records"]);
        assert_eq!(look(20.0, &[at(1, 1_500_000, 1_500_000)]), nothing);
        assert_eq!(look(21.5, &[]), ["restored p.count: 3,002,000 records in 21.5 s"]);
        assert_eq!(look(40.0, &[]), nothing);
        // One that is begun later has its own ten seconds.
        assert_eq!(look(50.0, &[at(0, 0, 10)]), nothing);
        assert_eq!(look(50.9, &[]), nothing, "a short one");
    }
}
