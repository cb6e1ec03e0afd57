//! Which worker of this process has which task.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use anyhow::{Context, Result};
use tracing::{info, warn};
use wasmill_core::record::TaskId;

use super::worker::Command;
use crate::kafka::{Event, Group};

/// How often it is asked what new tasks read.
const ATTEMPTS: u32 = 5;

/// Gives tasks to workers: the tasks of a partition and its neighbours to different ones.
#[derive(Clone, Debug)]
pub(super) struct Division {
    workers: Vec<Sender<Command>>,
}

impl Division {
    pub(super) fn new(workers: Vec<Sender<Command>>) -> Self {
        Self { workers }
    }

    fn worker(&self, task: TaskId) -> usize {
        (task.partition.0 as usize + usize::from(task.stage)) % self.workers.len().max(1)
    }

    fn by_worker(&self, tasks: &[TaskId]) -> BTreeMap<usize, Vec<TaskId>> {
        let mut divided: BTreeMap<usize, Vec<TaskId>> = BTreeMap::new();
        for &task in tasks {
            divided.entry(self.worker(task)).or_default().push(task);
        }
        divided
    }

    fn tell(&self, worker: usize, command: Command) {
        // A worker that has ended has told why.
        if let Some(worker) = self.workers.get(worker) {
            let _ = worker.send(command);
        }
    }

    /// Has workers take over tasks.
    pub(super) fn acquire(&self, tasks: &[TaskId]) {
        for (worker, tasks) in self.by_worker(tasks) {
            self.tell(worker, Command::Acquire(tasks));
        }
    }

    /// Has workers let go of tasks. Answers when all have, through the channel's end.
    fn release(&self, tasks: &[TaskId]) -> Receiver<()> {
        let (done, released) = channel();
        for (worker, tasks) in self.by_worker(tasks) {
            self.tell(worker, Command::Release(tasks, done.clone()));
        }
        released
    }

    /// Does what the group says, on a thread of its own, until the group is left.
    pub(super) fn follow(self, group: Arc<Group>, events: Receiver<Event>) -> Result<()> {
        let follow = move || {
            for event in events {
                self.obey(&group, event);
            }
        };
        std::thread::Builder::new().name("division".into()).spawn(follow).context("cannot start a thread")?;
        Ok(())
    }

    fn obey(&self, group: &Group, event: Event) {
        match event {
            Event::Granted(tasks) => {
                info!(tasks = named(&tasks), "the group gives tasks to this node");
                for attempt in 1..=ATTEMPTS {
                    let Err(error) = group.learn(&tasks) else { break };
                    warn!(%error, attempt, "it is not known yet what new tasks read");
                }
                let given = |task: &TaskId| group.give(*task, self.worker(*task) as u32).is_some();
                self.acquire(&tasks.into_iter().filter(given).collect::<Vec<_>>());
            }
            Event::Revoked { tasks, released } => {
                info!(tasks = named(&tasks), "the group takes tasks from this node");
                let answers = self.release(&tasks);
                let mut missing = self.by_worker(&tasks).len();
                while missing > 0 && answers.recv_timeout(released.left()).is_ok() {
                    missing -= 1;
                }
                if missing > 0 {
                    warn!(workers = missing, "tasks were not let go in time; what is not committed of them is lost");
                }
                tasks.iter().for_each(|task| group.take(*task));
            }
            Event::Lost { tasks, reason } => {
                warn!(tasks = named(&tasks), reason, "this node lost its tasks");
                drop(self.release(&tasks));
            }
        }
    }
}

fn named(tasks: &[TaskId]) -> String {
    tasks.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
