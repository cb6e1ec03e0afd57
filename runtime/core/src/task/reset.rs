//! A task that goes on at other positions.

use crate::port::{Position, StoreError};
use crate::record::Timestamp;
use crate::task::Task;
use crate::task::memory::Counts;
use crate::watermark::{Progress, Told};

impl Task {
    /// Moves inputs, with the next epoch. What was known of event time is of records that may come again: it begins anew.
    /// `forget`: so does all that operators remember.
    pub(crate) fn reset(&mut self, moved: &[Position], forget: bool) -> Result<(), StoreError> {
        for &Position { input, next, mark } in moved {
            let input = input as usize;
            self.memory.next[input] = next;
            self.memory.marks[input] = mark;
            self.memory.inputs[input] = Progress::new(&self.stage.inputs[input].progress);
        }
        (self.memory.watermark, self.memory.told, self.memory.backlog) = (Timestamp::NONE, Told::default(), false);
        if forget {
            self.states.iter_mut().flatten().try_for_each(|state| state.delete_all())?;
            self.memory.operators.iter_mut().for_each(|operator| operator.counts = Counts::default());
        }
        self.pending.clear();
        self.ends.fill(None);
        self.trial.aborted();
        (self.dirty, self.paused) = (true, None);
        Ok(())
    }
}
