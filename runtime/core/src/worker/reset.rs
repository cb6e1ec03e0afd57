//! Tasks moved to other positions, while nobody processes anything.

use std::collections::BTreeMap;

use crate::port::{Fault, Position};
use crate::record::{Now, TaskId, Timestamp};
use crate::worker::Worker;

/// Where inputs of tasks go on. Those that are not named stay where they are.
pub type Moves = BTreeMap<TaskId, Vec<Position>>;

impl Worker {
    /// Moves tasks, all in one epoch that has nothing else. `forget`: they forget what they remember, rows and counts.
    ///
    /// It is called between two steps. If it fails the tasks stand where the log says, which is the one or the other
    /// if the outcome was not known; it may be called again. Only a [`Fault::Fatal`] ends the worker.
    pub fn reset(&mut self, moves: &Moves, forget: bool, now: Now) -> Result<(), Fault> {
        self.seal(now)?;
        let now = self.hear(now);
        let done = self.move_all(moves, forget, now);
        if let Err(fault) = &done {
            self.recover(Err(fault.clone()), now)?;
        }
        done
    }

    fn move_all(&mut self, moves: &Moves, forget: bool, now: Timestamp) -> Result<(), Fault> {
        let lost = |id: &TaskId| Fault::Abort(format!("reset task {id}: this worker does not have it"));
        self.begin(now)?;
        for (id, positions) in moves {
            let task = self.tasks.get_mut(id).ok_or_else(|| lost(id))?;
            self.distrust.check(*id, task.reset(positions, forget))?;
        }
        self.commit(now)?;
        self.moved = true;
        self.renew();
        for id in moves.keys() {
            let task = self.tasks.get(id).ok_or_else(|| lost(id))?;
            self.ports.source.assign(*id, &task.positions())?;
        }
        Ok(())
    }
}
