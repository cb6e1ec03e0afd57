//! The world in memory: a log whose transactions are all or nothing, and a disk. Every call of a port can be made to
//! fail before or after its effect.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::rc::Rc;
use std::time::Duration;

use wasmill_core::batch::{Batch, Message};
use wasmill_core::port::{
    Changelog, ChangelogId, Control, Fault, Fetched, Lease, Polled, Position, Sealed, Sink, Source, Store, StoreError,
    Stores, Target, Tasks, Visit, Write, Written,
};
use wasmill_core::record::{Offset, Partition, TaskId, Timestamp};
use wasmill_core::task::row::TaskRow;
use wasmill_core::worker::Ports;

/// Partitions of every topic.
pub const PARTITIONS: u32 = 2;

/// Records that one poll brings, at most.
const POLL: usize = 3;

/// The topics, by what the worker calls them.
pub const SOURCE: usize = 0;
pub const WORDS: Target = Target(1);
pub const COUNTS: Target = Target(2);
pub const LETTERS: Target = Target(3);

/// A record in the log.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Record {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Option<Vec<u8>>,
    pub at: i64,
}

impl Record {
    fn of(message: Message<'_>) -> Self {
        let owned = |part: Option<&[u8]>| part.map(<[u8]>::to_vec);
        let Message { key, value, headers, timestamp } = message;
        Self { key: owned(key), value: owned(value), headers: owned(headers), at: timestamp.0 }
    }

    fn message(&self) -> Message<'_> {
        Message {
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: self.headers.as_deref(),
            timestamp: Timestamp(self.at),
        }
    }
}

/// What stands in a partition.
#[derive(Clone, Debug)]
pub enum Entry {
    Record(Record),
    Control(Control),
}

type Row = (Vec<u8>, Option<Vec<u8>>);

/// How a call fails.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// The process dies before its effect.
    CrashBefore,
    /// The process dies after it.
    CrashAfter,
    /// It has no effect and says that it failed.
    ErrorBefore,
    /// It has its effect and says that it failed.
    ErrorAfter,
}

pub const KINDS: [Kind; 4] = [Kind::CrashBefore, Kind::CrashAfter, Kind::ErrorBefore, Kind::ErrorAfter];

/// When what is sent is in the log.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Delivery {
    /// All of it when it is committed, or none.
    #[default]
    Together,
    /// Each record at once, committed or not.
    AtOnce,
    /// When it is flushed, or when the process dies: then the changes, but nothing else.
    ChangesFirst,
}

/// The log and the disk.
#[derive(Default)]
pub struct World {
    pub topics: BTreeMap<(usize, u32), Vec<Entry>>,
    pub rows: BTreeMap<TaskId, TaskRow>,
    pub changelogs: BTreeMap<(u16, u32), Vec<Row>>,
    pub stores: BTreeMap<(TaskId, u16), BTreeMap<Vec<u8>, Vec<u8>>>,
    pub epochs: Vec<(TaskId, u64)>,
    pub delivery: Delivery,
    open: Option<Open>,
    positions: BTreeMap<(TaskId, u32), (Offset, bool)>,
    turn: usize,
    pub calls: usize,
    pub fail_at: BTreeMap<usize, Kind>,
    pub hit: BTreeSet<&'static str>,
}

#[derive(Default)]
struct Open {
    entries: Vec<((usize, u32), Entry)>,
    changes: Vec<((u16, u32), Row)>,
    changed: BTreeSet<(u16, u32)>,
}

pub type Shared = Rc<RefCell<World>>;

impl World {
    /// What a process that died leaves: all but the open transaction.
    pub fn reboot(&mut self) {
        self.withdraw();
        self.positions.clear();
    }

    pub fn records(&self, topic: usize, partition: u32) -> Vec<Record> {
        let entries = self.topics.get(&(topic, partition)).into_iter().flatten();
        entries
            .filter_map(|entry| if let Entry::Record(record) = entry { Some(record.clone()) } else { None })
            .collect()
    }

    fn end(&self, topic: usize, partition: u32) -> usize {
        self.topics.get(&(topic, partition)).map_or(0, Vec::len)
    }

    /// Which topic an input reads: stage 0 the source, stage 1 the words.
    fn topic(task: TaskId) -> usize {
        if task.stage == 0 { SOURCE } else { usize::from(WORDS.0) }
    }

    fn poll(&mut self) -> Polled {
        let assigned: Vec<_> = self.positions.keys().copied().collect();
        for step in 0..assigned.len() {
            let (task, input) = assigned[(self.turn + step) % assigned.len()];
            let (next, told) = self.positions[&(task, input)];
            let topic = Self::topic(task);
            let end = self.end(topic, task.partition.0);
            if next.0 as usize >= end {
                if !told {
                    self.positions.insert((task, input), (next, true));
                    return Polled::End { task, input, next };
                }
                continue;
            }
            self.turn = (self.turn + step + 1) % assigned.len();
            let fetched = self.fetch(task, input, next.0 as usize);
            self.positions.insert((task, input), (fetched.next, false));
            return Polled::Records(fetched);
        }
        Polled::Nothing
    }

    fn fetch(&self, task: TaskId, input: u32, from: usize) -> Fetched {
        let entries = &self.topics[&(Self::topic(task), task.partition.0)];
        let mut fetched = Fetched { task, input, ..Fetched::default() };
        for (offset, entry) in entries.iter().enumerate().skip(from).take(POLL) {
            match entry {
                Entry::Record(record) => {
                    fetched.records.push(record.message());
                    fetched.offsets.push(offset as i64);
                }
                Entry::Control(control) => fetched.controls.push((fetched.records.len(), *control)),
            }
            fetched.next = Offset(offset as i64 + 1);
        }
        fetched
    }

    fn withdraw(&mut self) {
        let open = self.open.take().unwrap_or_default();
        if self.delivery == Delivery::ChangesFirst {
            self.deliver(Open { changes: open.changes, ..Open::default() });
        }
    }

    fn deliver(&mut self, open: Open) -> BTreeSet<(u16, u32)> {
        for (at, entry) in open.entries {
            self.topics.entry(at).or_default().push(entry);
        }
        let mut changed = open.changed;
        for (at, row) in open.changes {
            self.changelogs.entry(at).or_default().push(row);
            changed.insert(at);
        }
        changed
    }

    /// What was sent so far is in the log, and the transaction goes on.
    fn hand_over(&mut self) {
        if let Some(open) = self.open.take() {
            let changed = self.deliver(open);
            self.open = Some(Open { changed, ..Open::default() });
        }
    }

    fn sent(&mut self) {
        if self.delivery == Delivery::AtOnce {
            self.hand_over();
        }
    }

    fn commit(&mut self, sealed: &[Sealed]) -> Vec<Written> {
        let open = self.open.take().unwrap_or_default();
        let written = match self.delivery {
            Delivery::Together => self.deliver(open),
            _ => open.changed,
        };
        for Sealed { task, row, .. } in sealed {
            self.epochs.push((*task, row.epoch.0));
            self.rows.insert(*task, row.clone());
        }
        let end = |at| Offset(self.changelogs[&at].len() as i64);
        let one = |(changelog, partition)| Written {
            changelog: ChangelogId(changelog),
            partition: Partition(partition),
            next: end((changelog, partition)),
        };
        written.into_iter().map(one).collect()
    }
}

fn call<T>(world: &Shared, name: &'static str, effect: impl FnOnce(&mut World) -> T) -> Result<T, Fault> {
    let world = &mut *world.borrow_mut();
    world.calls += 1;
    let Some(kind) = world.fail_at.remove(&world.calls) else { return Ok(effect(world)) };
    world.hit.insert(name);
    if matches!(kind, Kind::CrashAfter | Kind::ErrorAfter) {
        effect(world);
    }
    Err(match (kind, name) {
        (Kind::CrashBefore | Kind::CrashAfter, _) => Fault::Fatal(name.into()),
        (_, "commit") => Fault::Unknown(name.into()),
        _ => Fault::Abort(name.into()),
    })
}

fn stored<T>(world: &Shared, name: &'static str, effect: impl FnOnce(&mut World) -> T) -> Result<T, StoreError> {
    call(world, name, effect).map_err(|fault| StoreError(fault.to_string()))
}

#[derive(Clone)]
struct Port(Shared);

pub fn ports(world: &Shared) -> Ports {
    let port = Port(world.clone());
    Ports {
        source: Box::new(port.clone()),
        sink: Box::new(port.clone()),
        tasks: Box::new(port.clone()),
        changelog: Box::new(port.clone()),
        stores: Box::new(port),
    }
}

impl Source for Port {
    fn assign(&mut self, task: TaskId, positions: &[Position]) -> Result<(), Fault> {
        call(&self.0, "assign", |world| {
            for position in positions {
                world.positions.insert((task, position.input), (position.next, false));
            }
        })
    }

    fn unassign(&mut self, task: TaskId) -> Result<(), Fault> {
        call(&self.0, "unassign", |world| world.positions.retain(|(of, _), _| *of != task))
    }

    fn poll(&mut self, _: Duration) -> Result<Polled, Fault> {
        call(&self.0, "poll", World::poll)
    }

    fn idle(&mut self, _: Duration) -> Result<(), Fault> {
        call(&self.0, "idle", |_| ())
    }

    fn start(&mut self, _: TaskId, _: u32) -> Result<Offset, Fault> {
        call(&self.0, "start", |_| Offset(0))
    }
}

impl Sink for Port {
    fn begin(&mut self) -> Result<(), Fault> {
        call(&self.0, "begin", |world| world.open = Some(Open::default()))
    }

    fn send(&mut self, target: Target, from: Partition, records: &Batch) -> Result<(), Fault> {
        call(&self.0, "send", |world| {
            let Some(open) = &mut world.open else { return };
            for message in records.iter() {
                let partition = message.key.map_or(from.0, |key| key.iter().map(|&b| u32::from(b)).sum()) % PARTITIONS;
                open.entries.push(((usize::from(target.0), partition), Entry::Record(Record::of(message))));
            }
            world.sent();
        })
    }

    fn tell(&mut self, target: Target, control: Control) -> Result<(), Fault> {
        call(&self.0, "tell", |world| {
            let Some(open) = &mut world.open else { return };
            for partition in 0..PARTITIONS {
                open.entries.push(((usize::from(target.0), partition), Entry::Control(control)));
            }
            world.sent();
        })
    }

    fn change(
        &mut self,
        changelog: ChangelogId,
        partition: Partition,
        row: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), Fault> {
        call(&self.0, "change", |world| {
            let Some(open) = &mut world.open else { return };
            open.changes.push(((changelog.0, partition.0), (row.to_vec(), value.map(<[u8]>::to_vec))));
            world.sent();
        })
    }

    fn flush(&mut self) -> Result<(), Fault> {
        call(&self.0, "flush", |world| {
            if world.delivery != Delivery::Together {
                world.hand_over();
            }
        })
    }

    fn commit(&mut self, sealed: &[Sealed]) -> Result<Vec<Written>, Fault> {
        call(&self.0, "commit", |world| world.commit(sealed))
    }

    fn abort(&mut self) -> Result<(), Fault> {
        call(&self.0, "abort", World::withdraw)
    }

    fn reset(&mut self) -> Result<(), Fault> {
        call(&self.0, "reset", World::withdraw)
    }
}

impl Tasks for Port {
    fn lease(&mut self, _: TaskId) -> Option<Lease> {
        Some(Lease::default())
    }

    fn owner(&mut self, task: TaskId) -> Result<Option<String>, Fault> {
        call(&self.0, "owner", |world| world.rows.get(&task).map(|row| row.owner.clone()))
    }

    fn fence(&mut self, _: &str) -> Result<(), Fault> {
        call(&self.0, "fence", |_| ())
    }

    fn row(&mut self, task: TaskId) -> Result<Option<TaskRow>, Fault> {
        call(&self.0, "row", |world| world.rows.get(&task).cloned())
    }

    fn id(&self) -> &'static str {
        "worker"
    }
}

impl Changelog for Port {
    fn identity(&mut self, changelog: ChangelogId) -> Result<String, Fault> {
        call(&self.0, "identity", |_| format!("changelog-{}", changelog.0))
    }

    fn end(&mut self, changelog: ChangelogId, partition: Partition) -> Result<Offset, Fault> {
        let at = (changelog.0, partition.0);
        call(&self.0, "end", |world| Offset(world.changelogs.get(&at).map_or(0, Vec::len) as i64))
    }

    fn read(
        &mut self,
        changelog: ChangelogId,
        partition: Partition,
        from: Offset,
        end: Offset,
        visit: &mut Visit<'_>,
    ) -> Result<Offset, Fault> {
        let rows = call(&self.0, "read", |world| {
            world.changelogs.get(&(changelog.0, partition.0)).cloned().unwrap_or_default()
        })?;
        for (offset, (row, value)) in rows.iter().enumerate().skip(from.0 as usize) {
            visit(Offset(offset as i64), row, value.as_deref());
        }
        Ok(end)
    }
}

impl Stores for Port {
    fn open(&mut self, task: TaskId, changelog: ChangelogId) -> Result<Box<dyn Store>, StoreError> {
        stored(&self.0, "open", |_| ())?;
        Ok(Box::new(Disk { world: self.0.clone(), at: (task, changelog.0) }))
    }
}

struct Disk {
    world: Shared,
    at: (TaskId, u16),
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Disk({:?})", self.at)
    }
}

impl Store for Disk {
    fn get(&self, row: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        stored(&self.world, "get", |world| world.stores.get(&self.at).and_then(|rows| rows.get(row).cloned()))
    }

    fn scan(&self, from: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StoreError> {
        let rows = stored(&self.world, "scan", |world| world.stores.get(&self.at).cloned().unwrap_or_default())?;
        let _ = rows.range::<[u8], _>((Bound::Included(from), Bound::Unbounded)).all(|(row, value)| visit(row, value));
        Ok(())
    }

    fn apply(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        stored(&self.world, "apply", |world| {
            let rows = world.stores.entry(self.at).or_default();
            for (row, value) in writes {
                match value {
                    Some(value) => rows.insert(row.clone(), value.clone()),
                    None => rows.remove(row),
                };
            }
        })
    }

    fn clear(&mut self) -> Result<(), StoreError> {
        stored(&self.world, "clear", |world| {
            world.stores.remove(&self.at);
        })
    }
}
