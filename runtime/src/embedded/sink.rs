//! Epochs, into the log: gathered in memory, committed as one batch.

use std::sync::Arc;

use std::collections::HashMap;
use wasmill_core::batch::{Batch, Message};
use wasmill_core::port::{ChangelogId, Control, Fault, Lease, Sealed, Target, Written};
use wasmill_core::record::{Partition, Timestamp};

use super::catalog::{Kind, Topic};
use super::commit::{Draft, Owner, Row};
use super::layout;
use super::log::{Log, lock};
use super::tasks::LEASE;
use crate::step::{self, Step};
use crate::topology::Topology;
use crate::{control, partitioner};

/// Where one worker's epochs go.
#[derive(Debug)]
pub struct Sink {
    log: Log,
    topology: Arc<Topology>,
    owner: Owner,
    fsync_each: bool,
    draft: Draft,
    targets: HashMap<Target, Topic>,
    changelogs: HashMap<ChangelogId, Topic>,
}

impl Sink {
    /// A sink that commits with a transactional id, which it takes over from whoever had it. With `fsync_each` every
    /// commit is flushed to disk before it is answered; without, within a second.
    pub fn new(log: Log, topology: Arc<Topology>, id: &str, fsync_each: bool) -> Self {
        let number = lock(&log.inner.catalog).fence(id);
        let owner = Owner { id: id.to_owned(), number };
        let (targets, changelogs) = (HashMap::new(), HashMap::new());
        Self { log, topology, owner, fsync_each, draft: Draft::default(), targets, changelogs }
    }

    fn target(&mut self, target: Target) -> Result<Topic, Fault> {
        if let Some(topic) = self.targets.get(&target) {
            return Ok(topic.clone());
        }
        let unknown = || Fault::Fatal(format!("write to target {}: the plan has none", target.0));
        let topic = self.log.topic(self.topology.target(target).ok_or_else(unknown)?)?;
        topic.must_be(Kind::Records, "write to it as a sink")?;
        self.targets.insert(target, topic.clone());
        Ok(topic)
    }

    fn row(&self, sealed: &Sealed) -> Result<Row, Fault> {
        let Sealed { task, lease, row } = sealed;
        let tasks = self.topology.rows(*task);
        let tasks = tasks.ok_or_else(|| Fault::Fatal(format!("commit task {task}: the plan has no such stage")))?;
        check_lease(sealed, *lease)?;
        let key = layout::row_key(tasks, task.partition);
        let name = format!("{tasks}/{}", task.partition);
        Ok(Row { name, key, value: layout::encode_row(row), epoch: row.epoch.0 })
    }
}

fn check_lease(sealed: &Sealed, lease: Lease) -> Result<(), Fault> {
    if lease == LEASE {
        return Ok(());
    }
    Err(Fault::Abort(format!("commit task {}: its lease {lease:?} is not of this process", sealed.task)))
}

impl wasmill_core::port::Sink for Sink {
    fn begin(&mut self) -> Result<(), Fault> {
        self.draft.clear();
        Ok(())
    }

    fn send(&mut self, target: Target, from: Partition, records: &Batch) -> Result<(), Fault> {
        let topic = self.target(target)?;
        let keyless = Partition(from.0 % topic.partitions);
        for record in records.iter() {
            let partition = record.key.map_or(keyless, |key| partitioner::partition(key, topic.partitions));
            self.draft.add(topic.place(partition)?, record);
        }
        Ok(())
    }

    fn tell(&mut self, target: Target, control: Control) -> Result<(), Fault> {
        let topic = self.target(target)?;
        let headers = control::encode(&control);
        let message = Message { key: None, value: None, headers: Some(&headers), timestamp: Timestamp::NONE };
        for partition in topic.all() {
            self.draft.add(topic.place(partition)?, message);
        }
        Ok(())
    }

    fn change(
        &mut self,
        changelog: ChangelogId,
        partition: Partition,
        row: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), Fault> {
        if let Some(topic) = self.changelogs.get(&changelog) {
            self.draft.change(topic.place(partition)?, row, value);
            return Ok(());
        }
        let unknown = || Fault::Fatal(format!("write to changelog {}: the plan has none", changelog.0));
        let topic = self.log.topic(self.topology.changelog(changelog).ok_or_else(unknown)?)?;
        topic.must_be(Kind::Changelog, "write rows to it")?;
        self.draft.change(topic.place(partition)?, row, value);
        self.changelogs.insert(changelog, topic);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    fn commit(&mut self, sealed: &[Sealed]) -> Result<Vec<Written>, Fault> {
        let rows = sealed.iter().map(|sealed| self.row(sealed)).collect::<Result<Vec<_>, _>>()?;
        [Step::Token, Step::Rows].into_iter().for_each(step::reached_in_epoch);
        let extents = self.log.inner.commit(&mut self.draft, &rows, Some(&self.owner))?;
        if self.fsync_each {
            self.log.sync()?;
        }
        let mut written = Vec::new();
        for (&changelog, topic) in &self.changelogs {
            let ends = extents.iter().filter(|(place, _)| place.topic == topic.id);
            written.extend(ends.map(|(place, extent)| Written {
                changelog,
                partition: place.partition,
                next: extent.end,
            }));
        }
        written.sort_by_key(|written| (written.changelog, written.partition));
        Ok(written)
    }

    fn abort(&mut self) -> Result<(), Fault> {
        self.draft.clear();
        Ok(())
    }

    fn reset(&mut self) -> Result<(), Fault> {
        self.draft.clear();
        self.owner.number = lock(&self.log.inner.catalog).fence(&self.owner.id);
        Ok(())
    }
}
