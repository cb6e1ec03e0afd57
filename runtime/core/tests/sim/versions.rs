//! Which versions of the operators a worker runs, and what must hold of them in what was committed.

use std::collections::{BTreeMap, BTreeSet};

use wasmill_core::batch::Headers;
use wasmill_core::operator::Operator;
use wasmill_core::port::{Fault, Target};
use wasmill_core::record::{Epoch, Offset, TaskId};
use wasmill_core::row::{self, Value};
use wasmill_core::task::memory::Memory;
use wasmill_core::worker::Worker;
use wasmill_core::worker::reload::{ReloadError, Reloaded, Replacement, Replacements};

use crate::check::{hash, records, replay, text};
use crate::log::{At, CHANGELOG, COUNTS, LETTERS, Log, PARTITIONS, Record, WORDS};
use crate::operators::{Count, Split, VERSION};
use crate::random::Random;
use crate::world::{Place, World};

/// Of the splitter and of the counter.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Versions(pub [u8; 2]);

impl Versions {
    pub const FIRST: Self = Self([1, 1]);

    /// The next ones of either or of both.
    pub fn next(self, random: &mut Random) -> Self {
        let Self([split, count]) = self;
        Self([[split + 1, count], [split, count + 1], [split + 1, count + 1]][random.below(3) as usize])
    }

    /// That of a task's operator.
    fn of(self, task: TaskId) -> u8 {
        self.0[usize::from(task.stage)]
    }

    /// What the core calls the code of a task's stage, which has one operator.
    pub fn code(self, task: TaskId) -> u64 {
        hash(&format!("{}\0", plugin(self.of(task))))
    }

    pub fn operators(self) -> [Box<dyn Operator>; 2] {
        [Box::new(Split::new(self.0[0])), Box::new(Count::new(self.0[1]))]
    }

    /// What makes these of others.
    pub fn replace(self, before: Self) -> Replacements {
        let back = self < before;
        let all = (0..).zip(self.operators());
        let other = all.filter(|&(stage, _)| self.0[usize::from(stage)] != before.0[usize::from(stage)]);
        other
            .map(|(stage, operator)| {
                ((stage, 0), Replacement { operator, plugin: plugin(self.0[usize::from(stage)]), back })
            })
            .collect()
    }
}

/// What tells the code of a version apart.
pub fn plugin(version: u8) -> String {
    format!("sha256:{version}")
}

fn header(record: &Record, name: &str) -> String {
    let headers = record.headers.as_deref().unwrap();
    text(Headers::new(headers).find(|(of, _)| *of == name).unwrap().1)
}

/// Which operator a record comes from, and of which version.
fn signature((topic, _): At, record: &Record) -> (usize, u8) {
    match Target(topic) {
        LETTERS => {
            let version = header(record, "wasmill-error-plugin").strip_prefix("sha256:").unwrap().parse();
            (usize::from(header(record, "wasmill-error-operator") == "count"), version.unwrap())
        }
        target => (usize::from(target != WORDS), header(record, VERSION).parse().unwrap()),
    }
}

/// A fault that ends a worker; what is reloaded here fits.
pub fn told(reloaded: Result<Reloaded, ReloadError>) -> Result<Reloaded, Fault> {
    reloaded.map_err(|error| match error {
        ReloadError::Fault(fault) => fault,
        unfit => panic!("{unfit}"),
    })
}

/// What a worker says of the last epochs of the versions before is what the log says, of all tasks that are its own.
pub fn check_last(world: &World, place: Place, worker: &Worker, last: &BTreeMap<TaskId, Epoch>) {
    let view = &world.views[place.0];
    for task in worker.tasks() {
        assert!(!task.is_dirty(), "{} is reloaded with an open epoch", task.id());
        let is_own = world.lease(place, task.id()) == Some(task.lease()) && view.generation == world.generation;
        if let Some(epoch) = last.get(&task.id()).filter(|_| is_own && !view.expelled) {
            assert_eq!(Some(*epoch), world.log.row(task.id()).map(|row| row.epoch), "{}", task.id());
        }
    }
}

/// Each transaction is of the versions that its worker ran when it was committed. `together`: all workers were told of
/// each reload before anything else was done, so no task goes back either. Answers how many versions came to committed records.
pub fn check_versions(log: &Log, together: bool) -> usize {
    let mut last: BTreeMap<TaskId, u8> = BTreeMap::new();
    let mut all = BTreeSet::new();
    for (number, commit) in log.commits.iter().enumerate() {
        let running = commit.versions.unwrap();
        for &(at, offset) in &commit.records {
            let (operator, version) = signature(at, log.record((at, offset)));
            assert_eq!(version, running.0[operator], "operator {operator} in transaction {number}");
            all.insert((operator, version));
        }
        for &task in commit.tasks.iter().filter(|_| together) {
            let last = last.insert(task, running.of(task));
            assert!(last <= Some(running.of(task)), "{task} goes back in transaction {number}");
        }
    }
    check_states(log);
    all.len()
}

/// Outputs and states of the counter agree on who counted what.
fn check_states(log: &Log) {
    for partition in 0..PARTITIONS {
        let mut last = BTreeMap::new();
        let mut by: BTreeMap<(String, u8), u8> = BTreeMap::new();
        for record in records(log, COUNTS, partition) {
            let version = header(&record, VERSION).parse().unwrap();
            if let Ok(n) = text(record.value.as_deref()).parse::<u8>() {
                let word = text(record.key.as_deref());
                *by.entry((word.clone(), version)).or_default() += 1;
                last.insert(word, [1, n, version].to_vec());
            }
        }
        // The first does not count by version.
        by.retain(|&(_, version), _| version > 1);
        let rows = replay(log, (CHANGELOG, partition), Offset(i64::MAX));
        let names = Memory::decode(&rows[&row::META[..]]).unwrap().2.operators.remove(0).states;
        let (mut found_last, mut found_by) = (BTreeMap::new(), BTreeMap::new());
        for (row, value) in rows.iter().filter(|(row, _)| row::kind(row) == Some(row::Kind::Value)) {
            let (number, word, field) = row::parse_keyed(row).unwrap();
            let (word, value) = (text(Some(word)), Value::decode(value).unwrap().bytes.to_vec());
            match names.get(usize::from(number)).map(String::as_str) {
                Some("count") => drop(found_last.insert(word, value)),
                Some("by") => drop(found_by.insert((word, text(Some(field)).parse().unwrap()), value[1])),
                name => assert!(name.is_some(), "a row of a state that nobody declared"),
            }
        }
        assert_eq!((found_last, found_by), (last, by), "partition {partition}");
    }
}
