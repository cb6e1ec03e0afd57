//! Tasks of which a store failed.

use std::collections::BTreeSet;

use crate::port::Fault;
use crate::record::TaskId;

/// Tasks of which a store failed: their rows are read anew from the changelogs, whatever the stores say then.
#[derive(Debug, Default)]
pub(super) struct Distrust {
    tasks: BTreeSet<TaskId>,
    /// Those whose stores were to be emptied since the last commit.
    tried: BTreeSet<TaskId>,
    fresh: bool,
}

impl Distrust {
    /// Hands on an answer about a task's rows, and takes note if a store failed.
    pub(super) fn check<T, E: Into<Fault>>(&mut self, task: TaskId, answer: Result<T, E>) -> Result<T, Fault> {
        let answer = answer.map_err(Into::into);
        if matches!(answer, Err(Fault::Store(_))) {
            self.fresh |= self.tasks.insert(task) && !self.tried.contains(&task);
        }
        answer
    }

    /// Whether a task that is to be restored must be so from empty stores.
    pub(super) fn distrusts(&mut self, task: TaskId) -> bool {
        let distrusted = self.tasks.contains(&task);
        if distrusted {
            self.tried.insert(task);
        }
        distrusted
    }

    /// A task was restored.
    pub(super) fn acquit(&mut self, task: TaskId) {
        self.tasks.remove(&task);
    }

    /// Whether, since this was asked last, a store failed that was not to be emptied since the last commit: emptying it may
    /// help.
    pub(super) fn take_fresh(&mut self) -> bool {
        std::mem::take(&mut self.fresh)
    }

    /// An epoch was committed.
    pub(super) fn committed(&mut self) {
        self.tried.clear();
    }
}
