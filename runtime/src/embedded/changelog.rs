//! Changelogs, read from the log.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use fjall::Snapshot;
use wasmill_core::port::{ChangelogId, Fault, Visit};
use wasmill_core::record::{Offset, Partition};

use super::catalog::{Kind, Topic};
use super::log::Log;
use crate::topology::Topology;

/// Reads the changelogs of a plan.
pub struct Changelog {
    log: Log,
    topology: Arc<Topology>,
    stopped: Option<Stopped>,
}

/// A read that may be continued: where it stopped, and the log as it was when it was begun, so that no cleaning comes
/// in between.
struct Stopped {
    changelog: ChangelogId,
    partition: Partition,
    next: Offset,
    snapshot: Snapshot,
}

impl fmt::Debug for Changelog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let next = self.stopped.as_ref().map(|stopped| stopped.next);
        f.debug_struct("Changelog").field("log", &self.log).field("next", &next).finish_non_exhaustive()
    }
}

impl Changelog {
    /// The changelogs that the plan names.
    pub fn new(log: Log, topology: Arc<Topology>) -> Self {
        Self { log, topology, stopped: None }
    }

    fn topic(&self, changelog: ChangelogId) -> Result<Topic, Fault> {
        let unknown = || Fault::Fatal(format!("read changelog {}: the plan has none", changelog.0));
        let topic = self.log.topic(self.topology.changelog(changelog).ok_or_else(unknown)?)?;
        topic.must_be(Kind::Changelog, "read rows from it")?;
        Ok(topic)
    }
}

impl wasmill_core::port::Changelog for Changelog {
    fn identity(&mut self, changelog: ChangelogId) -> Result<String, Fault> {
        Ok(format!("{}/{}", self.log.id(), self.topic(changelog)?.id))
    }

    fn end(&mut self, changelog: ChangelogId, partition: Partition) -> Result<Offset, Fault> {
        Ok(self.log.end(&self.topic(changelog)?, partition)?)
    }

    fn tail_from(&mut self, changelog: ChangelogId, partition: Partition) -> Result<Offset, Fault> {
        Ok(self.log.forgotten(&self.topic(changelog)?, partition)?)
    }

    fn read(
        &mut self,
        changelog: ChangelogId,
        partition: Partition,
        offsets: Range<Offset>,
        _: Duration,
        visit: &mut Visit<'_>,
    ) -> Result<Offset, Fault> {
        let (topic, from, end) = (self.topic(changelog)?, offsets.start, offsets.end);
        if from >= end {
            return Ok(from);
        }
        let goes_on = |it: &Stopped| (it.changelog, it.partition, it.next) == (changelog, partition, from);
        let snapshot = match self.stopped.take().filter(goes_on) {
            Some(stopped) => stopped.snapshot,
            None => self.log.tail(&topic, partition, from)?,
        };
        let mut on = true;
        let next = self.log.read_at(&snapshot, &topic, partition, offsets, &mut |offset, message| {
            // One behind the last that was wanted is refused: there reading goes on.
            let wanted = on;
            on = on && visit(offset, message.key.unwrap_or_default(), message.value).is_continue();
            wanted
        })?;
        self.stopped = (next < end).then_some(Stopped { changelog, partition, next, snapshot });
        Ok(next)
    }

    fn close(&mut self) {
        self.stopped = None;
    }
}
