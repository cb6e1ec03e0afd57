//! Ports of a worker whose process is to end at a step of the protocol.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use wasmill_core::batch::Batch;
use wasmill_core::port::{self, ChangelogId, Control, Fault, Found, Sealed, StoreError, Target, Visit, Written};
use wasmill_core::record::{Offset, Partition, TaskId};
use wasmill_core::row::{self, Kind};
use wasmill_core::worker::Ports;
use wasmill_core::writes::{Pair, Writes};

use crate::step::{self, Step};

/// The ports, which take note of the steps that a worker takes with them.
pub(super) fn ports(ports: Ports) -> Ports {
    if !step::is_to_end() {
        return ports;
    }
    let Ports { source, sink, tasks, changelog, stores } = ports;
    Ports {
        source,
        sink: Box::new(Sink { port: sink, at: At::Nothing, answered: false }),
        tasks,
        changelog: Box::new(Changelog(changelog)),
        stores: Box::new(Stores(stores)),
    }
}

/// How far an epoch has come.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum At {
    /// There is none.
    Nothing,
    /// A transaction was begun, by an epoch or by a claim.
    Begun,
    /// Something was sent.
    Open,
    /// It is being ended.
    Sealed,
}

struct Sink {
    port: Box<dyn port::Sink>,
    at: At,
    /// Whether an epoch was committed, and no transaction begun since.
    answered: bool,
}

impl Sink {
    /// A transaction of a claim never comes here.
    fn open(&mut self) {
        if self.at < At::Open {
            self.at = At::Open;
            step::reached(Step::Begin);
        }
    }

    fn seal(&mut self) {
        self.open();
        if self.at < At::Sealed {
            self.at = At::Sealed;
            step::reached(Step::Seal);
        }
    }
}

/// Tells which epochs of which tasks a worker is about to commit, or has committed.
fn tell(what: &str, sealed: &[Sealed]) {
    let tasks: Vec<_> = sealed.iter().map(|sealed| format!("{}@{}", sealed.task, sealed.row.epoch)).collect();
    let thread = std::thread::current();
    tracing::debug!(thread = thread.name().unwrap_or_default(), tasks = tasks.join(","), "{what}");
}

impl port::Sink for Sink {
    fn begin(&mut self) -> Result<(), Fault> {
        self.port.begin()?;
        self.at = At::Begun;
        if std::mem::take(&mut self.answered) {
            step::reached(Step::Publish);
        }
        Ok(())
    }

    fn send(&mut self, target: Target, from: Partition, records: &Batch) -> Result<(), Fault> {
        self.open();
        self.port.send(target, from, records)?;
        step::reached(Step::Process);
        Ok(())
    }

    fn tell(&mut self, target: Target, control: Control) -> Result<(), Fault> {
        self.open();
        self.port.tell(target, control)
    }

    fn change(
        &mut self,
        changelog: ChangelogId,
        partition: Partition,
        row: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), Fault> {
        self.seal();
        self.port.change(changelog, partition, row, value)
    }

    fn flush(&mut self) -> Result<(), Fault> {
        self.seal();
        step::reached(Step::Changelog);
        self.port.flush()?;
        step::reached(Step::Flush);
        Ok(())
    }

    fn commit(&mut self, sealed: &[Sealed]) -> Result<Vec<Written>, Fault> {
        if self.at < At::Open {
            let written = self.port.commit(sealed)?;
            step::reached(Step::Claim);
            return Ok(written);
        }
        tell("sealed", sealed);
        let port = &mut self.port;
        let written = step::commit(|| port.commit(sealed))?;
        (self.at, self.answered) = (At::Nothing, true);
        tell("answered", sealed);
        step::reached(Step::Answer);
        Ok(written)
    }

    fn abort(&mut self) -> Result<(), Fault> {
        self.at = At::Nothing;
        self.port.abort()
    }

    fn reset(&mut self) -> Result<(), Fault> {
        self.at = At::Nothing;
        self.port.reset()
    }
}

struct Changelog(Box<dyn port::Changelog>);

impl port::Changelog for Changelog {
    fn identity(&mut self, changelog: ChangelogId) -> Result<String, Fault> {
        self.0.identity(changelog)
    }

    fn end(&mut self, changelog: ChangelogId, partition: Partition) -> Result<Offset, Fault> {
        self.0.end(changelog, partition)
    }

    fn tail_from(&mut self, changelog: ChangelogId, partition: Partition) -> Result<Offset, Fault> {
        self.0.tail_from(changelog, partition)
    }

    fn read(
        &mut self,
        changelog: ChangelogId,
        partition: Partition,
        offsets: Range<Offset>,
        wait: Duration,
        visit: &mut Visit<'_>,
    ) -> Result<Offset, Fault> {
        let from = offsets.start;
        let next = self.0.read(changelog, partition, offsets, wait, visit)?;
        if next > from {
            step::reached(Step::Restore);
        }
        Ok(next)
    }

    fn close(&mut self) {
        self.0.close();
    }
}

struct Stores(Box<dyn port::Stores>);

impl port::Stores for Stores {
    fn open(&mut self, task: TaskId, changelog: ChangelogId) -> Result<Box<dyn port::Store>, StoreError> {
        Ok(Box::new(Store(self.0.open(task, changelog)?)))
    }
}

#[derive(Debug)]
struct Store(Box<dyn port::Store>);

impl port::Store for Store {
    fn get(&self, row: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(row)
    }

    fn get_many(&self, rows: &[&[u8]], visit: &mut Found<'_>) -> Result<(), StoreError> {
        self.0.get_many(rows, visit)
    }

    fn scan(&self, from: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StoreError> {
        self.0.scan(from, visit)
    }

    fn is_in_memory(&self) -> bool {
        self.0.is_in_memory()
    }

    fn apply(&mut self, writes: Arc<Writes>) -> Result<(), StoreError> {
        let values = writes.iter().any(|(row, _)| is_value(row));
        self.0.apply(writes)?;
        if values {
            step::reached(Step::Apply);
        }
        Ok(())
    }

    fn apply_each(&mut self, rows: &mut dyn Iterator<Item = Pair<'_>>) -> Result<(), StoreError> {
        let mut values = false;
        self.0.apply_each(&mut rows.inspect(|(row, _)| values |= is_value(row)))?;
        if values {
            step::reached(Step::Apply);
        }
        Ok(())
    }

    fn restore(&mut self, writes: Arc<Writes>) -> Result<(), StoreError> {
        self.0.restore(writes)
    }

    fn restore_each(&mut self, rows: &mut dyn Iterator<Item = Pair<'_>>) -> Result<(), StoreError> {
        self.0.restore_each(rows)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.0.sync()
    }

    fn clear(&mut self) -> Result<(), StoreError> {
        self.0.clear()
    }
}

/// Whether a row is an operator's: where a store stands is written at the start as well.
fn is_value(row: &[u8]) -> bool {
    matches!(row::kind(row), Some(Kind::Value | Kind::Timer))
}
