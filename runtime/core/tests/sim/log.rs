//! A log as a cluster of brokers keeps it: transactions whose records lie between those of others until they are
//! decided, markers that take an offset, committed rows, and ids that are fenced by an epoch.

use std::collections::{BTreeMap, BTreeSet};

use wasmill_core::batch::Message;
use wasmill_core::port::{Control, Target};
use wasmill_core::record::{TaskId, Timestamp};
use wasmill_core::task::care::{MAX_DEATHS, Suspect};
use wasmill_core::task::row::TaskRow;

use crate::versions::Versions;

/// Partitions of every topic.
pub const PARTITIONS: u32 = 2;

/// The topics, by what the worker calls them; changelogs come behind them.
pub const LINES: u16 = 0;
pub const WORDS: Target = Target(1);
pub const COUNTS: Target = Target(2);
pub const LETTERS: Target = Target(3);
pub const MORE: u16 = 4;
pub const CHANGELOG: u16 = 5;

/// Milliseconds that a transaction may be open.
const TIMEOUT: i64 = 60_000;

/// A partition of a topic.
pub type At = (u16, u32);

/// A record in the log.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Record {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Option<Vec<u8>>,
    pub at: i64,
}

impl Record {
    pub fn of(message: Message<'_>) -> Self {
        let owned = |part: Option<&[u8]>| part.map(<[u8]>::to_vec);
        let Message { key, value, headers, timestamp } = message;
        Self { key: owned(key), value: owned(value), headers: owned(headers), at: timestamp.0 }
    }

    pub fn message(&self) -> Message<'_> {
        Message {
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: self.headers.as_deref(),
            timestamp: Timestamp(self.at),
        }
    }
}

pub type Row = (Vec<u8>, Option<Vec<u8>>);

/// What stands in a partition.
#[derive(Clone, Debug)]
pub enum Entry {
    Record(Record),
    Control(Control),
    Change(Row),
    /// The end of a transaction.
    Marker,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    Open(u64),
    Committed,
    Aborted,
}

#[derive(Clone, Debug, Default)]
struct Producer {
    epoch: u64,
    /// Whether somebody else has taken it over: the process that had it may go on with what is not its own any more.
    taken_over: bool,
    transaction: Option<Transaction>,
}

#[derive(Clone, Debug, Default)]
struct Transaction {
    number: u64,
    since: i64,
    touched: BTreeSet<At>,
    rows: Vec<(TaskId, TaskRow)>,
}

/// A transaction that was committed.
#[derive(Clone, Debug)]
pub struct Commit {
    /// What its worker ran then, where that is known.
    pub versions: Option<Versions>,
    pub tasks: Vec<TaskId>,
    /// Where its records are.
    pub records: Vec<(At, usize)>,
}

/// Somebody else has initialized the id since.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fenced;

#[derive(Clone, Default)]
pub struct Log {
    partitions: BTreeMap<At, Vec<(Entry, Fate)>>,
    producers: BTreeMap<String, Producer>,
    transactions: u64,
    rows: BTreeMap<TaskId, TaskRow>,
    /// Every row that was ever committed, in order.
    pub epochs: Vec<(TaskId, u64)>,
    pub commits: Vec<Commit>,
    /// What workers run, by their ids.
    pub running: BTreeMap<String, Versions>,
    /// What is at fault, as the rows say, and what was settled of it.
    convicted: BTreeMap<TaskId, Suspect>,
    pub settled: Vec<(TaskId, Suspect)>,
    /// The time at the brokers.
    pub now: i64,
    /// Tells what is decided.
    pub trace: bool,
    /// Rows that were pending when they were asked for, or records that were not decided.
    pub undecided: usize,
}

impl Log {
    /// Takes an id over. What is open under it is aborted.
    pub fn initialize(&mut self, id: &str) -> u64 {
        self.decide(id, Fate::Aborted);
        let producer = self.producers.entry(id.to_owned()).or_default();
        producer.epoch += 1;
        producer.epoch
    }

    /// Takes an id over with a process that has just begun, and so has nothing that is not its own.
    pub fn begin_anew(&mut self, id: &str) -> u64 {
        let epoch = self.initialize(id);
        self.producers.entry(id.to_owned()).or_default().taken_over = false;
        epoch
    }

    /// Takes an id over whose tasks go to somebody else.
    pub fn fence(&mut self, id: &str) {
        self.initialize(id);
        self.producers.entry(id.to_owned()).or_default().taken_over = true;
    }

    fn producer(&mut self, id: &str, epoch: u64) -> Result<&mut Producer, Fenced> {
        self.producers.get_mut(id).filter(|producer| producer.epoch == epoch).ok_or(Fenced)
    }

    /// Appends without a transaction.
    pub fn append(&mut self, at: At, entry: Entry) {
        self.partitions.entry(at).or_default().push((entry, Fate::Committed));
    }

    /// Appends to an id's transaction. Answers the offset behind it.
    pub fn send(&mut self, id: &str, epoch: u64, at: At, entry: Entry) -> Result<i64, Fenced> {
        self.transactions += 1;
        let (next, now) = (self.transactions, self.now);
        let producer = self.producer(id, epoch)?;
        let begin = || Transaction { number: next, since: now, ..Transaction::default() };
        let transaction = producer.transaction.get_or_insert_with(begin);
        transaction.touched.insert(at);
        let number = transaction.number;
        let partition = self.partitions.entry(at).or_default();
        partition.push((entry, Fate::Open(number)));
        Ok(partition.len() as i64)
    }

    /// Adds rows to an id's transaction; until it is decided they are pending.
    pub fn add_rows(&mut self, id: &str, epoch: u64, rows: Vec<(TaskId, TaskRow)>) -> Result<(), Fenced> {
        self.transactions += 1;
        let (next, now) = (self.transactions, self.now);
        let producer = self.producer(id, epoch)?;
        let begin = || Transaction { number: next, since: now, ..Transaction::default() };
        let transaction = producer.transaction.get_or_insert_with(begin);
        transaction.rows = rows;
        Ok(())
    }

    pub fn commit(&mut self, id: &str, epoch: u64) -> Result<(), Fenced> {
        self.producer(id, epoch)?;
        self.decide(id, Fate::Committed);
        Ok(())
    }

    pub fn abort(&mut self, id: &str, epoch: u64) -> Result<(), Fenced> {
        self.producer(id, epoch)?;
        self.decide(id, Fate::Aborted);
        Ok(())
    }

    /// The brokers abort what has been open for too long, and lock out who has it.
    pub fn expire(&mut self, now: i64) {
        self.now = now;
        let is_late = |transaction: &Transaction| now - transaction.since > TIMEOUT;
        let late = self.producers.iter().filter(|(_, producer)| producer.transaction.as_ref().is_some_and(is_late));
        let late: Vec<_> = late.map(|(id, _)| id.clone()).collect();
        for id in late {
            assert!(self.producers[&id].taken_over, "{id} left a transaction open, and nobody ended it");
            self.initialize(&id);
        }
    }

    fn decide(&mut self, id: &str, fate: Fate) {
        let Some(transaction) = self.producers.get_mut(id).and_then(|producer| producer.transaction.take()) else {
            return;
        };
        if self.trace {
            let row = |(task, row): &(TaskId, TaskRow)| format!("{task} epoch {} next {:?}", row.epoch, row.next);
            println!("    {id} {fate:?}: {:?}", transaction.rows.iter().map(row).collect::<Vec<_>>());
        }
        let versions = self.running.get(id).copied();
        let tasks = transaction.rows.iter().map(|(task, _)| *task).collect();
        let mut commit = Commit { versions, tasks, records: Vec::new() };
        for at in transaction.touched {
            let partition = self.partitions.entry(at).or_default();
            let of = partition.iter_mut().enumerate().filter(|(_, (_, of))| *of == Fate::Open(transaction.number));
            for (offset, (entry, open)) in of {
                *open = fate;
                if matches!(entry, Entry::Record(_)) {
                    commit.records.push((at, offset));
                }
            }
            partition.push((Entry::Marker, Fate::Committed));
        }
        if fate == Fate::Committed {
            transaction.rows.into_iter().for_each(|(task, row)| self.put_row(task, row, versions));
            self.commits.push(commit);
        }
    }

    /// The record at a place.
    pub fn record(&self, (at, offset): (At, usize)) -> &Record {
        let Entry::Record(record) = &self.partitions[&at][offset].0 else { panic!("{at:?} {offset} is no record") };
        record
    }

    /// Commits a row, outside of any transaction too. What is at fault and is not in it any more was settled, or was of
    /// other code than its worker runs.
    pub fn put_row(&mut self, task: TaskId, row: TaskRow, versions: Option<Versions>) {
        self.epochs.push((task, row.epoch.0));
        let before = self.rows.get(&task).map(|row| row.epoch);
        let convicted = row.care.struck.filter(|(_, deaths)| *deaths >= MAX_DEATHS).map(|(suspect, _)| suspect);
        let was = self.convicted.remove(&task);
        self.convicted.extend(convicted.map(|suspect| (task, suspect)));
        if before < Some(row.epoch) && was != convicted {
            let is_of = |suspect: &Suspect| versions.is_none_or(|versions| versions.code(task) == suspect.code);
            self.settled.extend(was.filter(is_of).map(|suspect| (task, suspect)));
        }
        self.rows.insert(task, row);
    }

    /// The row of a task as it was sent last, decided or not.
    pub fn latest_row(&self, task: TaskId) -> Option<&TaskRow> {
        self.pending(task).or_else(|| self.rows.get(&task))
    }

    /// The row of a task; `Err` while a newer one is pending.
    pub fn stable_row(&mut self, task: TaskId) -> Result<Option<TaskRow>, ()> {
        if self.pending(task).is_some() {
            self.undecided += 1;
            return Err(());
        }
        Ok(self.rows.get(&task).cloned())
    }

    fn pending(&self, task: TaskId) -> Option<&TaskRow> {
        let open = self.producers.values().filter_map(|producer| producer.transaction.as_ref());
        open.flat_map(|transaction| &transaction.rows).find(|(of, _)| *of == task).map(|(_, row)| row)
    }

    /// Changes a committed row by hand.
    pub fn tamper(&mut self, task: TaskId, change: impl FnOnce(TaskRow) -> Option<TaskRow>) {
        let changed = self.rows.remove(&task).and_then(change);
        self.rows.extend(changed.map(|row| (task, row)));
    }

    /// Deletes all of a partition by hand.
    pub fn make_anew(&mut self, at: At) {
        self.partitions.remove(&at);
    }

    pub fn row(&self, task: TaskId) -> Option<&TaskRow> {
        self.rows.get(&task)
    }

    /// The end of a partition, open transactions included.
    pub fn end(&self, at: At) -> i64 {
        self.partitions.get(&at).map_or(0, |partition| partition.len() as i64)
    }

    /// The end of what is decided.
    pub fn stable_end(&self, at: At) -> i64 {
        let partition = self.partitions.get(&at).map_or(&[][..], Vec::as_slice);
        partition.iter().position(|(_, fate)| matches!(fate, Fate::Open(_))).unwrap_or(partition.len()) as i64
    }

    /// What is committed in a partition from an offset on, up to the end of what is decided.
    pub fn committed(&self, at: At, from: i64) -> impl Iterator<Item = (i64, &Entry)> {
        let partition = self.partitions.get(&at).map_or(&[][..], Vec::as_slice);
        let end = self.stable_end(at) as usize;
        let decided = partition.iter().enumerate().take(end).skip(from as usize);
        decided.filter(|(_, (_, fate))| *fate == Fate::Committed).map(|(offset, (entry, _))| (offset as i64, entry))
    }

    /// Whether anything is open.
    pub fn is_undecided(&self) -> bool {
        self.producers.values().any(|producer| producer.transaction.is_some())
    }
}
