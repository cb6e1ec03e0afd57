//! Tells what a worker did: on the board, and in the log.

use std::time::{Duration, Instant};

use tracing::{debug, info, warn};
use wasmill_core::record::{Offset, TaskId};
use wasmill_core::task::care::Care;
use wasmill_core::task::{Dropped, Task};
use wasmill_core::worker::{Event, Worker};

use super::{Job, Status};
use crate::metrics::meter::{Calls, Meter};
use crate::metrics::own::Own;

/// How often records at fault are told in the log, at most.
const FAULTS_EVERY: Duration = Duration::from_secs(1);

/// How often it is told how far tasks are restored while nothing else happens.
const RESTORES_EVERY: Duration = Duration::from_millis(100);

/// Tells what a worker did, when there is something to tell.
pub(super) struct Publisher<'a, F> {
    job: &'a Job,
    worker: usize,
    meter: &'a Meter,
    tell: F,
    quiet: bool,
    restores: Option<Instant>,
    faults: Faults,
}

/// Records at fault that were told, and since when others were not.
#[derive(Debug, Default)]
struct Faults {
    told: Option<Instant>,
    untold: u64,
}

impl<'a, F: Fn(&mut dyn FnMut(&mut Status))> Publisher<'a, F> {
    /// `tell` changes the worker's status on the board.
    pub(super) fn new(job: &'a Job, worker: usize, meter: &'a Meter, tell: F) -> Self {
        Self { job, worker, meter, tell, quiet: false, restores: None, faults: Faults::default() }
    }

    /// Tells what happened since the last time.
    pub(super) fn publish(&mut self, running: &mut Worker) {
        let mut events = running.take_events();
        events.retain(|event| self.measure(event));
        let quiet = running.is_quiet();
        if !self.has_restored(running) && events.is_empty() && !quiet && !self.quiet {
            return;
        }
        self.quiet = quiet;
        events.iter().for_each(|event| self.log(event));
        (self.tell)(&mut |status| {
            events.drain(..).for_each(|event| note(status, event));
            status.tasks = running.tasks().count();
            status.restoring = running.restoring().collect();
            status.quiet = quiet;
            status.ends = running.ends().map(|(task, input, end)| ((task, input), end)).collect();
            status.next = running.tasks().flat_map(next).collect();
            status.counts = running.tasks().map(|task| (task.id(), task.counts().collect())).collect();
            status.sizes = running.tasks().map(|task| (task.id(), task.sizes().collect())).collect();
            status.watermarks = running.tasks().map(|task| (task.id(), task.committed().watermark)).collect();
        });
    }

    /// Whether it is time to tell again how far tasks are restored.
    fn has_restored(&mut self, running: &Worker) -> bool {
        if running.restoring().next().is_none() {
            return self.restores.take().is_some();
        }
        let is_due = self.restores.is_none_or(|told| told.elapsed() >= RESTORES_EVERY);
        if is_due {
            self.restores = Some(Instant::now());
        }
        is_due
    }

    /// Takes what plugins measured, which counts with its epoch. Answers whether there is more to an event.
    fn measure(&self, event: &Event) -> bool {
        let all = || self.meter.calls().filter_map(Calls::own);
        match event {
            Event::Measured { stage, node, value } => {
                let calls = self.meter.nodes.get(usize::from(*stage)).and_then(|nodes| nodes.get(*node));
                calls.and_then(|calls| calls.own()).into_iter().for_each(|own| own.measure(*value));
                return false;
            }
            Event::Committed { .. } => all().for_each(Own::commit),
            Event::Aborted { .. } => all().for_each(Own::abort),
            _ => {}
        }
        true
    }

    fn log(&mut self, event: &Event) {
        let (pipeline, worker) = (&self.job.pipeline, self.worker);
        match event {
            Event::Acquired { task, epoch, restored, care } => {
                let Care { claims, struck, .. } = care;
                if care.is_singly() {
                    let deaths = struck.map_or(0, |(_, deaths)| deaths);
                    warn!(
                        pipeline, worker, %task, claims, deaths,
                        "processes ended before they had committed anything of this task: its records run one at a time, \
                         until the one is found that ends them"
                    );
                }
                if let Some(reason) = &restored.broken {
                    warn!(pipeline, worker, %task, reason, "its store failed and was emptied, and its rows were read anew");
                } else if restored.wiped > 0 {
                    warn!(pipeline, worker, %task, "its rows were not those of its changelog, and were read anew");
                }
                debug!(pipeline, worker, %task, %epoch, restored = restored.rows, "acquired");
            }
            Event::Committed { tasks, bytes, .. } => debug!(pipeline, worker, tasks, bytes, "epoch committed"),
            Event::Interrupted { task, reason } => {
                warn!(pipeline, worker, %task, reason, "a task is not restored for now; it is tried again");
            }
            Event::Begun => debug!(pipeline, worker, "epoch begun"),
            Event::Aborted { reason } => {
                warn!(pipeline, worker, reason, "an epoch was lost and is processed again");
            }
            Event::AtFault { task, node, reason }
            | Event::Dropped { task, reason: Dropped::Verdict { node, reason } } => {
                self.at_fault(*task, *node, reason);
            }
            Event::Dropped { task, reason: Dropped::Paused { node, reason } } => {
                let operator = self.operator(*task, *node);
                info!(pipeline, worker, %task, operator, reason, "waiting before trying again");
            }
            Event::Dropped { task, reason: Dropped::Smaller } => {
                debug!(pipeline, worker, %task, "a turn is made smaller");
            }
            Event::Measured { .. } => {}
        }
    }

    /// Where one record in a thousand is at fault there are hundreds in a second: one of them is told.
    fn at_fault(&mut self, task: TaskId, node: usize, reason: &str) {
        if self.faults.told.is_some_and(|told| told.elapsed() < FAULTS_EVERY) {
            self.faults.untold += 1;
            return;
        }
        let untold = std::mem::take(&mut self.faults.untold);
        self.faults.told = Some(Instant::now());
        let (pipeline, worker, operator) = (&self.job.pipeline, self.worker, self.operator(task, node));
        if untold == 0 {
            warn!(pipeline, worker, %task, operator, reason, "a record is at fault");
        } else {
            warn!(pipeline, worker, %task, operator, reason, untold, "a record is at fault, as others were before it");
        }
    }

    fn operator(&self, task: TaskId, node: usize) -> &str {
        let stage = self.job.assembly.stages.get(usize::from(task.stage));
        stage.and_then(|stage| stage.nodes.get(node)).map_or("", |node| &node.operator)
    }
}

fn next(task: &Task) -> impl Iterator<Item = ((TaskId, u32), Offset)> {
    task.committed().next.iter().zip(0..).map(|(&next, input)| ((task.id(), input), next))
}

fn note(status: &mut Status, event: Event) {
    match event {
        Event::Acquired { restored, .. } => status.restored += restored.rows,
        Event::Committed { records, .. } => {
            status.epochs += 1;
            for (stage, count) in records {
                *status.records.entry(stage).or_default() += count;
            }
        }
        Event::Aborted { .. } => status.aborted += 1,
        Event::Interrupted { .. }
        | Event::Begun
        | Event::AtFault { .. }
        | Event::Dropped { .. }
        | Event::Measured { .. } => {}
    }
}
