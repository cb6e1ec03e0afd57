//! What happened in a step.

use std::collections::BTreeMap;

use crate::record::{Epoch, TaskId};
use crate::recovery::Restored;
use crate::scope::Measurement;
use crate::task::Dropped;
use crate::task::care::Care;

/// What happened in a step, for whoever keeps the log and the metrics.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A task was acquired.
    Acquired {
        /// Which.
        task: TaskId,
        /// The epoch that it stands at.
        epoch: Epoch,
        /// What had to be restored.
        restored: Restored,
        /// What processes that had it died on.
        care: Care,
    },
    /// A task could not be restored further; it is tried again after a pause.
    Interrupted {
        /// Which.
        task: TaskId,
        /// Why.
        reason: String,
    },
    /// An epoch was begun.
    Begun,
    /// An epoch was committed.
    Committed {
        /// Tasks in it.
        tasks: usize,
        /// Records taken in, by stage.
        records: BTreeMap<u16, u64>,
        /// Bytes sent.
        bytes: u64,
    },
    /// An epoch was lost; its records are processed again.
    Aborted {
        /// Why.
        reason: String,
    },
    /// A turn was dropped.
    Dropped {
        /// Of which task.
        task: TaskId,
        /// Why.
        reason: Dropped,
    },
    /// A record or timer was found to be at fault, and was left to the operator's policy.
    AtFault {
        /// In which task.
        task: TaskId,
        /// Index of the operator in the stage.
        node: usize,
        /// Why.
        reason: String,
    },
    /// An operator measured something.
    Measured {
        /// Its stage.
        stage: u16,
        /// Its index in the stage.
        node: usize,
        /// What.
        value: Measurement,
    },
}
