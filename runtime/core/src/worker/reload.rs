//! Other versions of operators, put in place of running ones between two epochs.
//!
//! The open epoch is sealed first, by the versions that it was begun with. If it is lost, or its outcome is not known, the
//! tasks are started where the log says they stand, as ever, and go on from there with the next versions. So each epoch of a
//! task is of one version of each of its operators, and what a record is given, leaves and counts as is of one version too.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use thiserror::Error;

use crate::operator::{Operator, Unfit};
use crate::port::Fault;
use crate::record::{Epoch, Now, TaskId, Timestamp};
use crate::stage::Node;
use crate::worker::Worker;

/// A version of an operator that is to take the place of the running one.
pub struct Replacement {
    /// An instance that was not called yet.
    pub operator: Box<dyn Operator>,
    /// What tells its code apart; see [`Node::plugin`].
    pub plugin: String,
    /// Whether it has run here before, so that outputs and states may be missing that came since, and encodings be
    /// lower. Rows of such states stay; whoever says so knows that it can do with those that it reads.
    pub back: bool,
}

/// Replacements by the index of the stage, and that of the node in it.
pub type Replacements = BTreeMap<(u16, usize), Replacement>;

/// What was replaced.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Reloaded {
    /// The last epoch that the versions before had a part in, of each task of the stages in which something was replaced.
    pub last: BTreeMap<TaskId, Epoch>,
}

/// Why nothing was replaced.
#[derive(Clone, Debug, Error, Eq, PartialEq)]
pub enum ReloadError {
    /// A version does not fit; all goes on as before.
    #[error("reload operator {operator}: the next version does not fit: {why}")]
    Unfit {
        /// Which.
        operator: String,
        /// Why.
        why: Unfit,
    },
    /// There is no such operator; all goes on as before.
    #[error("reload node {node} of stage {stage}: there is no such node: reload what the running pipeline has")]
    Unknown {
        /// Index of the stage.
        stage: u16,
        /// Index of the node.
        node: usize,
    },
    /// The worker cannot go on.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Worker {
    /// Ends the open epoch and goes on with other versions of some operators. All of them are replaced, or none.
    ///
    /// State stays, told by name: the next versions may declare more of it, and in another order; outputs too. Timers that
    /// are set fire in the next versions. What was learnt about records that fail is forgotten: one that is not settled by a
    /// committed epoch is for the next versions to try. Instances of operators that are not replaced stay.
    ///
    /// It is called between two steps, by the thread that has the worker, which makes the instances too: they need
    /// not be fit for another thread. Only [`ReloadError::Fault`] ends the worker.
    pub fn reload(&mut self, replacements: Replacements, now: Now) -> Result<Reloaded, ReloadError> {
        self.check(&replacements)?;
        self.seal(now)?;
        Ok(self.replace(replacements, now.steady))
    }

    fn check(&self, replacements: &Replacements) -> Result<(), ReloadError> {
        for (&(stage, node), replacement) in replacements {
            let of = usize::from(stage);
            let shape = self.stages.get(of).and_then(|stage| stage.nodes.get(node));
            let running = self.operators.get(of).and_then(|operators| operators.get(node));
            let (Some(shape), Some(running)) = (shape, running) else {
                return Err(ReloadError::Unknown { stage, node });
            };
            let fits = replacement.operator.declaration().follows(running.declaration(), replacement.back);
            fits.map_err(|why| ReloadError::Unfit { operator: shape.operator.clone(), why })?;
        }
        Ok(())
    }

    /// Puts what was checked in place. Nothing is open.
    fn replace(&mut self, replacements: Replacements, now: Timestamp) -> Reloaded {
        let stages: BTreeSet<_> = replacements.keys().map(|&(stage, _)| stage).collect();
        for ((stage, node), Replacement { operator, plugin, .. }) in replacements {
            let stage = usize::from(stage);
            let running = &mut self.operators[stage][node];
            let shape = &mut Arc::make_mut(&mut self.stages[stage]).nodes[node];
            shape.follow(running.as_ref(), operator.as_ref());
            shape.plugin = plugin;
            *running = operator;
        }
        let mut last = BTreeMap::new();
        for task in self.tasks.values_mut().filter(|task| stages.contains(&task.id().stage)) {
            let stage = usize::from(task.id().stage);
            task.replace(Arc::clone(&self.stages[stage]), &self.operators[stage], now);
            last.insert(task.id(), task.epoch());
        }
        // They are built with the next versions, as if they were acquired then.
        for restore in self.restoring.iter_mut().filter(|restore| stages.contains(&restore.id().stage)) {
            restore.forget_verdicts();
            last.insert(restore.id(), restore.epoch());
        }
        self.restoring.unbuild(&stages);
        Reloaded { last }
    }
}

impl Node {
    /// Records go from an output to where they went from the one of its name. New ones lead nowhere.
    fn follow(&mut self, running: &dyn Operator, next: &dyn Operator) {
        let mut ways = running.declaration().outputs.iter().zip(std::mem::take(&mut self.outputs)).collect::<Vec<_>>();
        let outputs = next.declaration().outputs.iter().map(|output| {
            let index = ways.iter().position(|(running, _)| running.name == output.name);
            index.map(|index| ways.swap_remove(index).1).unwrap_or_default()
        });
        self.outputs = outputs.collect();
    }
}
