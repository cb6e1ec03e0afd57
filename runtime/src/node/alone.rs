//! One worker of the process at a time makes a call on which the process may die, so that no call of another one is taken
//! for the cause.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use wasmill_core::port::{Fault, Lease, Tasks};
use wasmill_core::record::TaskId;
use wasmill_core::task::row::TaskRow;

/// What the workers of a process wait at.
#[derive(Debug, Default)]
pub struct Gate {
    taken: Mutex<bool>,
    freed: Condvar,
}

impl Gate {
    fn pass(&self) {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = self.freed.wait_while(taken, |taken| *taken).unwrap_or_else(PoisonError::into_inner);
        *taken = true;
    }

    fn free(&self) {
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.freed.notify_one();
    }
}

/// The rows of a worker's tasks, where it shares its process with others.
pub(super) struct Gated {
    rows: Box<dyn Tasks>,
    gate: Arc<Gate>,
    alone: bool,
}

impl Gated {
    pub(super) fn new(rows: Box<dyn Tasks>, gate: Arc<Gate>) -> Self {
        Self { rows, gate, alone: false }
    }
}

impl Tasks for Gated {
    fn lease(&mut self, task: TaskId) -> Option<Lease> {
        self.rows.lease(task)
    }

    fn owner(&mut self, task: TaskId) -> Result<Option<String>, Fault> {
        self.rows.owner(task)
    }

    fn fence(&mut self, owner: &str) -> Result<(), Fault> {
        self.rows.fence(owner)
    }

    fn row(&mut self, task: TaskId) -> Result<Option<TaskRow>, Fault> {
        self.rows.row(task)
    }

    fn id(&self) -> &str {
        self.rows.id()
    }

    fn alone(&mut self, alone: bool) {
        match (self.alone, alone) {
            (false, true) => self.gate.pass(),
            (true, false) => self.gate.free(),
            _ => {}
        }
        self.alone = alone;
    }
}

impl Drop for Gated {
    /// A worker that ends in the middle of it must not keep the others waiting.
    fn drop(&mut self) {
        self.alone(false);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    struct NoRows;

    impl Tasks for NoRows {
        fn lease(&mut self, _: TaskId) -> Option<Lease> {
            None
        }

        fn owner(&mut self, _: TaskId) -> Result<Option<String>, Fault> {
            Ok(None)
        }

        fn fence(&mut self, _: &str) -> Result<(), Fault> {
            Ok(())
        }

        fn row(&mut self, _: TaskId) -> Result<Option<TaskRow>, Fault> {
            Ok(None)
        }

        fn id(&self) -> &'static str {
            ""
        }
    }

    #[test]
    fn no_two_workers_are_alone_and_none_waits_for_one_that_ended() {
        let gate = Arc::new(Gate::default());
        let inside = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        // Each ends while it is alone.
                        let mut rows = Gated::new(Box::new(NoRows), gate.clone());
                        rows.alone(true);
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
    }
}
