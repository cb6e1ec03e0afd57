//! Going on with other versions of operators.

use std::sync::Arc;

use crate::operator::Operator;
use crate::record::Timestamp;
use crate::stage::Stage;
use crate::task::trial::Trial;
use crate::task::{Task, number_states};

impl Task {
    /// Goes on with other versions of its stage's operators. Nothing may be open.
    ///
    /// What was learnt about failing records and slow calls was learnt of the versions before, and is forgotten, of all
    /// operators of the stage: what one is given at a place depends on those before it. For the same reason nothing waits
    /// for what the versions before could not do yet.
    pub(crate) fn replace(&mut self, stage: Arc<Stage>, operators: &[Box<dyn Operator>], now: Timestamp) {
        self.stage = stage;
        for (node, rows) in self.states.iter_mut().enumerate() {
            let Some(rows) = rows else { continue };
            rows.declare(number_states(&mut self.memory, operators, node));
            // A rewind keeps the numbers that rows have from now on.
            self.committed.operators[node].states.clone_from(&self.memory.operators[node].states);
        }
        self.trial = Trial::default();
        self.watch.replaced();
        self.paused = self.paused.map(|until| until.min(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::Lease;
    use crate::record::TaskId;
    use crate::scope::Limits;
    use crate::stage::{Node, OnError, Retry};
    use crate::task::blame::{Blame, Cause};
    use crate::task::care::{self, Care, MAX_DEATHS, Suspect};
    use crate::task::memory::Memory;
    use crate::task::row::TaskRow;
    use crate::task::trial::Place;

    fn stage(plugins: [&str; 2]) -> Arc<Stage> {
        let node = |plugin: &str| Node {
            operator: "o".into(),
            plugin: plugin.into(),
            changelog: None,
            outputs: Vec::new(),
            on_error: OnError::Skip,
            retry: Retry::default(),
            limits: Limits::default(),
        };
        let nodes = plugins.map(node).into();
        Arc::new(Stage { name: "s".into(), inputs: Vec::new(), nodes, repartitions: Vec::new() })
    }

    /// The record was given to the second operator by the first, which is another one now.
    #[test]
    fn what_was_learnt_of_one_operator_is_forgotten_with_the_one_before_it() {
        let (before, next) = (stage(["a", "b"]), stage(["c", "b"]));
        let place = Place::Record { input: 0, offset: 7, ordinal: 1 };
        let suspect = Suspect::new(1, care::code(&before), &place);
        assert_ne!(suspect, Suspect::new(1, care::code(&next), &place));
        let care = Care { claims: 4, left: 9, turns: 1, struck: Some((suspect, MAX_DEATHS - 1)), announced: None };
        let (row, now) = (TaskRow { care, ..TaskRow::default() }, Timestamp(100));
        let memory = Memory::new(&before, Vec::new());
        let mut task = Task::new(TaskId::default(), Lease::default(), before, &row, memory, Vec::new(), now);
        task.trial.convict(1, place, Blame::new(Cause::Failure, "no"));
        task.trial.failed(1, 8);
        task.trial.dropped();
        assert!(task.trial.has_verdicts() && task.paused() > Some(now));
        task.replace(next, &[], now);
        assert_eq!((task.trial.has_verdicts(), task.trial.limit(1)), (false, usize::MAX));
        assert_eq!(*task.care(), Care { struck: None, ..care }, "it goes on as carefully");
        assert_eq!(task.paused(), Some(now), "and at once");
    }
}
