//! Changelogs, read from the log.

use std::sync::Arc;

use wasmill_core::port::{ChangelogId, Fault, Visit};
use wasmill_core::record::{Offset, Partition};

use super::catalog::{Kind, Topic};
use super::log::{As, Log};
use crate::topology::Topology;

/// Reads the changelogs of a plan.
#[derive(Debug)]
pub struct Changelog {
    log: Log,
    topology: Arc<Topology>,
}

impl Changelog {
    /// The changelogs that the plan names.
    pub fn new(log: Log, topology: Arc<Topology>) -> Self {
        Self { log, topology }
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
        from: Offset,
        end: Offset,
        visit: &mut Visit<'_>,
    ) -> Result<Offset, Fault> {
        let topic = self.topic(changelog)?;
        let next = self.log.read_as(&topic, partition, from, Some(end), As::Tail, &mut |offset, message| {
            visit(offset, message.key.unwrap_or_default(), message.value);
            true
        })?;
        Ok(next)
    }
}
