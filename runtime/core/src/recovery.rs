//! Starting a task where the log says it stands. There is no other way to start one: a restart, an aborted commit, a
//! broken store and a new owner all come here.
//!
//! It is claimed first. Then its rows are brought to where its changelogs stand, a slice at a time, while other tasks go
//! on. Then it is built, and what expires of its rows is indexed, a slice at a time as well.

mod built;
mod restore;
mod rows;

use std::collections::BTreeMap;
use std::sync::Arc;

use thiserror::Error;

use crate::commit::Terms;
use crate::port::{Changelog, Fault, Lease, Sealed, Sink, Source, Stores, Tasks};
use crate::record::{Epoch, TaskId};
use crate::stage::Stage;
use crate::task::care::Care;
use crate::task::row::TaskRow;

pub(crate) use self::restore::{Builder, Restore};
pub use self::rows::Left;

/// The world, as recovery needs it.
pub(crate) struct World<'a> {
    pub source: &'a mut dyn Source,
    pub sink: &'a mut dyn Sink,
    pub tasks: &'a mut dyn Tasks,
    pub changelog: &'a mut dyn Changelog,
    pub stores: &'a mut dyn Stores,
}

/// The log and the changelogs contradict each other: somebody changed one of them by hand.
#[derive(Debug, Error)]
enum Contradiction {
    #[error(
        "task {task}: its row says epoch {row}, but the changelog of {operator} has epoch {meta}: \
         somebody changed one of them; go on from the changelog with `wasmill offsets PIPELINE --from-changelog`"
    )]
    Ahead { task: TaskId, operator: String, row: Epoch, meta: Epoch },
    #[error(
        "task {task}: its row says epoch {row}, but the changelog of {operator} has {meta}: \
         was the topic deleted or made anew? restore it; or go on from what it has with `wasmill offsets PIPELINE \
         --from-changelog`; or forget the rows with `wasmill offsets PIPELINE --reset WHERE --drop-state`"
    )]
    Behind { task: TaskId, operator: String, row: Epoch, meta: String },
    #[error(
        "task {task}: the sources or stages of the pipeline have changed since it ran, so that its offsets would be read \
         as those of other topics: start over with --fresh, or give the pipeline another name"
    )]
    Reshaped { task: TaskId },
    #[error(
        "task {task}: the changelog of {operator} has nothing to go on from, and its row says epoch {row}: say where with \
         `wasmill offsets PIPELINE --reset WHERE --drop-state`"
    )]
    Empty { task: TaskId, operator: String, row: Epoch },
    #[error(
        "task {task}: the changelog of {operator} has epoch {epoch}, and the one that says where the task stands ends before: \
         restore that one; or forget all rows with `wasmill offsets PIPELINE --reset WHERE --drop-state`"
    )]
    Apart { task: TaskId, operator: String, epoch: Epoch },
    #[error("task {task}: what it remembers cannot be read: it was written by another version of Wasmill")]
    Unreadable { task: TaskId },
}

impl From<Contradiction> for Fault {
    fn from(contradiction: Contradiction) -> Self {
        Self::Fatal(contradiction.to_string())
    }
}

/// What was restored of a task.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Restored {
    /// Rows read from changelogs.
    pub rows: u64,
    /// Stores that were emptied first.
    pub wiped: u32,
    /// What failed of a store that was emptied for it.
    pub broken: Option<String>,
}

/// Which row a task has, and under what right.
#[derive(Clone, Debug)]
pub(crate) struct Claimed {
    id: TaskId,
    lease: Lease,
    row: TaskRow,
}

impl Claimed {
    /// Which task.
    pub(crate) fn id(&self) -> TaskId {
        self.id
    }
}

/// Makes sure that nobody else has anything open for these tasks, and that their rows name this worker. `had` says
/// which of them this process has claimed already.
pub(crate) fn claim(
    world: &mut World<'_>,
    stages: &[Arc<Stage>],
    terms: &Terms,
    ids: &[TaskId],
    had: &BTreeMap<TaskId, bool>,
) -> Result<Vec<Claimed>, Fault> {
    let own = world.tasks.id().to_owned();
    let mut fenced = Vec::new();
    let mut claimed = Vec::new();
    for &id in ids {
        let Some(lease) = world.tasks.lease(id) else { continue };
        let owner = world.tasks.owner(id)?.filter(|owner| !owner.is_empty() && *owner != own);
        if let Some(owner) = owner.filter(|owner| !fenced.contains(owner)) {
            world.tasks.fence(&owner)?;
            fenced.push(owner);
        }
        let row = match world.tasks.row(id)? {
            Some(row) => {
                let alive = had.get(&id).copied().unwrap_or(false);
                let care = row.care.claimed(alive, row.next.len());
                TaskRow { owner: own.clone(), care, ..row }
            }
            None => TaskRow { revision: terms.revision, ..first_row(world, stages, id, &own)? },
        };
        // From here on, and until it is committed anew, the changelogs may be ahead of it.
        let row = TaskRow { guarantee: row.guarantee.max(terms.guarantee), ..row };
        claimed.push(Claimed { id, lease, row });
    }
    if !claimed.is_empty() {
        let sealed: Vec<_> = claimed
            .iter()
            .map(|claimed| Sealed { task: claimed.id, lease: claimed.lease, row: claimed.row.clone() })
            .collect();
        world.sink.begin()?;
        world.sink.commit(&sealed)?;
    }
    Ok(claimed)
}

/// The row of a task that never ran: it starts where its inputs do.
fn first_row(world: &mut World<'_>, stages: &[Arc<Stage>], id: TaskId, own: &str) -> Result<TaskRow, Fault> {
    let inputs = stages.get(usize::from(id.stage)).map_or(0, |stage| stage.inputs.len() as u32);
    let next = (0..inputs).map(|input| world.source.start(id, input)).collect::<Result<_, _>>()?;
    Ok(TaskRow { owner: own.to_owned(), care: Care::first(), next, ..TaskRow::default() })
}
