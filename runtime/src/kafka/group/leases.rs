//! Which tasks a node has, and under what right its workers have them.

use std::collections::{BTreeMap, BTreeSet};

use wasmill_core::port::Lease;
use wasmill_core::record::TaskId;

/// The tasks that were granted to this node.
#[derive(Debug, Default)]
pub(super) struct Leases {
    granted: BTreeMap<TaskId, Grant>,
    serial: u64,
}

#[derive(Debug)]
struct Grant {
    generation: i32,
    given: Option<(u32, Lease)>,
}

impl Leases {
    /// Notes that the group has granted tasks.
    pub(super) fn grant(&mut self, tasks: &[TaskId], generation: i32) {
        self.granted.extend(tasks.iter().map(|&task| (task, Grant { generation, given: None })));
    }

    /// Forgets tasks; the rights to them are void.
    pub(super) fn void(&mut self, tasks: &[TaskId]) {
        self.granted.retain(|task, _| !tasks.contains(task));
    }

    /// Forgets all tasks, and answers which they were.
    pub(super) fn void_all(&mut self) -> Vec<TaskId> {
        std::mem::take(&mut self.granted).into_keys().collect()
    }

    pub(super) fn tasks(&self) -> BTreeSet<TaskId> {
        self.granted.keys().copied().collect()
    }

    pub(super) fn give(&mut self, task: TaskId, worker: u32) -> Option<Lease> {
        let grant = self.granted.get_mut(&task)?;
        self.serial += 1;
        let lease = Lease { generation: grant.generation, serial: self.serial };
        grant.given = Some((worker, lease));
        Some(lease)
    }

    pub(super) fn take(&mut self, task: TaskId) {
        if let Some(grant) = self.granted.get_mut(&task) {
            grant.given = None;
        }
    }

    pub(super) fn of(&self, task: TaskId, worker: u32) -> Option<Lease> {
        let (whose, lease) = self.granted.get(&task)?.given?;
        (whose == worker).then_some(lease)
    }
}

#[cfg(test)]
mod tests {
    use wasmill_core::record::Partition;

    use super::*;

    #[test]
    fn a_lease_that_was_interrupted_is_another() {
        let task = TaskId { stage: 0, partition: Partition(3) };
        let mut leases = Leases::default();
        assert_eq!(leases.give(task, 0), None, "it was not granted");
        leases.grant(&[task], 1);
        let first = leases.give(task, 0);
        assert!(first.is_some());
        assert_eq!(leases.of(task, 0), first);
        assert_eq!(leases.of(task, 1), None, "another worker's");

        leases.give(task, 1);
        assert_eq!(leases.of(task, 0), None, "it was given away");
        assert_ne!(leases.give(task, 0), first, "it was away in between");

        let second = leases.of(task, 0);
        leases.void(&[task]);
        assert_eq!(leases.of(task, 0), None, "it was revoked");
        leases.grant(&[task], 1);
        assert_eq!(leases.of(task, 0), None, "it was granted again, and given to nobody");
        assert_ne!(leases.give(task, 0), second);
        leases.take(task);
        assert_eq!(leases.of(task, 0), None, "it was taken back");
        assert_eq!(leases.void_all(), [task]);
    }
}
