//! The committed rows of tasks, in the log.

use std::sync::Arc;

use wasmill_core::port::{Fault, Lease};
use wasmill_core::record::TaskId;
use wasmill_core::task::row::TaskRow;

use super::layout;
use super::log::{Log, lock};
use crate::topology::Topology;

/// The one lease of a process: tasks do not move while it has the log.
pub(super) const LEASE: Lease = Lease { generation: 1, serial: 1 };

/// Task rows, as one worker sees them.
#[derive(Debug)]
pub struct Tasks {
    log: Log,
    topology: Arc<Topology>,
    id: String,
}

impl Tasks {
    /// The rows, for a worker that commits with this transactional id.
    pub fn new(log: Log, topology: Arc<Topology>, id: &str) -> Self {
        Self { log, topology, id: id.to_owned() }
    }
}

impl wasmill_core::port::Tasks for Tasks {
    fn lease(&mut self, _: TaskId) -> Option<Lease> {
        Some(LEASE)
    }

    fn owner(&mut self, task: TaskId) -> Result<Option<String>, Fault> {
        Ok(self.row(task)?.map(|row| row.owner).filter(|owner| !owner.is_empty()))
    }

    fn fence(&mut self, owner: &str) -> Result<(), Fault> {
        lock(&self.log.inner.catalog).fence(owner);
        Ok(())
    }

    fn row(&mut self, task: TaskId) -> Result<Option<TaskRow>, Fault> {
        let unknown = || Fault::Fatal(format!("read the row of task {task}: the plan has no such stage"));
        let tasks = self.topology.rows(task).ok_or_else(unknown)?;
        Ok(self.log.inner.row(&layout::row_key(tasks, task.partition))?)
    }

    fn id(&self) -> &str {
        &self.id
    }
}
