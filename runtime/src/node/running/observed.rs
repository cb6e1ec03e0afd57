//! What can be seen of pipelines that run.

use std::sync::Arc;

use wasmill_core::record::{Offset, Partition, TaskId, Timestamp};

use super::{OperatorTotals, Pipeline, Prepared};
use crate::metrics::distribution::{Buckets, COMMIT};
use crate::metrics::meter;
use crate::node::backend::Backend;
use crate::node::worker::{Board, Status};

/// Pipelines that run, as others see them.
#[derive(Clone)]
pub struct Observed {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) pipelines: Arc<[Pipeline]>,
    pub(super) board: Arc<Board>,
}

/// What is seen of a pipeline at a moment.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its name.
    pub pipeline: String,
    /// What became of the records of each operator.
    pub operators: Vec<OperatorTotals>,
    /// Epochs committed and lost by this process.
    pub epochs: (u64, u64),
    /// Rows that this process has restored.
    pub restored: u64,
    /// Records of each input that are there and not processed yet: topic, partition, number.
    pub lag: Vec<(String, Partition, u64)>,
    /// Up to when each task knows event time, by its stage's name.
    pub watermarks: Vec<(String, Partition, Timestamp)>,
    /// What is measured of each operator's calls.
    pub meters: Vec<(String, meter::Seen)>,
    /// How long commits took, in seconds.
    pub commits: Buckets,
    /// Records of changelogs that are still to be read before a task can run: operator, partition, number.
    pub to_restore: Vec<(String, Partition, u64)>,
    /// Of each worker, the share of time in which it did not wait.
    pub busy: Vec<f64>,
}

impl Observed {
    /// Why a worker has failed, if one has.
    pub fn failure(&self) -> Option<String> {
        self.board.read().into_iter().find_map(|status| status.failed)
    }

    /// Whether the workers have all the tasks that are this process's.
    pub fn is_ready(&self) -> bool {
        let statuses = self.board.read();
        self.pipelines.iter().all(|pipeline| {
            let has: usize = pipeline.own(&statuses).iter().map(|status| status.tasks).sum();
            has == pipeline.site.tasks().unwrap_or(pipeline.prepared.assembly.tasks.len())
        })
    }

    /// What there is to see of each pipeline. A topic whose end is not known just now is left out.
    pub fn see(&self) -> Vec<Seen> {
        let statuses = self.board.read();
        self.pipelines.iter().map(|pipeline| self.see_one(pipeline, pipeline.own(&statuses))).collect()
    }

    fn see_one(&self, pipeline: &Pipeline, workers: &[Status]) -> Seen {
        let prepared = &pipeline.prepared;
        let lag = workers.iter().flat_map(|worker| self.lag(prepared, worker));
        let stage = |task: &TaskId| prepared.plan.stages.get(usize::from(task.stage)).map(|stage| stage.name.clone());
        let watermarks = workers.iter().flat_map(|worker| &worker.watermarks).filter(|(_, at)| at.is_some());
        Seen {
            pipeline: prepared.plan.pipeline.clone(),
            operators: prepared.operators(workers),
            epochs: workers.iter().fold((0, 0), |(done, lost), one| (done + one.epochs, lost + one.aborted)),
            restored: workers.iter().map(|worker| worker.restored).sum(),
            lag: lag.collect(),
            watermarks: watermarks.filter_map(|(task, &at)| Some((stage(task)?, task.partition, at))).collect(),
            meters: pipeline.calls(),
            commits: pipeline.commits(),
            to_restore: prepared.to_restore(workers),
            busy: pipeline.meters.iter().map(|meter| meter.busy()).collect(),
        }
    }

    /// What a worker lags by. It may read partitions that were not there when the pipeline was prepared.
    fn lag(&self, prepared: &Prepared, worker: &Status) -> Vec<(String, Partition, u64)> {
        let of = |(&key, &next): (&(TaskId, u32), &Offset)| {
            let ((task, input), partition) = (key, key.0.partition);
            let topic = &prepared.assembly.topology.input(task, input)?.topic;
            let end = self.backend.end(topic, partition).ok()?;
            // The end of a topic may lie behind markers, which are no records: who has read to the end lags by nothing.
            let read = worker.quiet && worker.ends.get(&key).copied().flatten().is_some_and(|at| at >= end);
            Some((topic.clone(), partition, if read { 0 } else { (end.0 - next.0).max(0) as u64 }))
        };
        worker.next.iter().filter_map(of).collect()
    }
}

impl Prepared {
    /// What is left of the changelogs of all tasks that are here: nothing of those that run.
    fn to_restore(&self, workers: &[Status]) -> Vec<(String, Partition, u64)> {
        let left = workers.iter().flat_map(|worker| &worker.restoring).map(|left| (left.task, left.node, left.left));
        let runs = workers.iter().flat_map(|worker| &worker.sizes).flat_map(|(&task, sizes)| {
            let keeps = sizes.iter().enumerate().filter(|(_, size)| size.is_some());
            keeps.map(move |(node, _)| (task, node, 0))
        });
        let of = |(task, node, left): (TaskId, usize, u64)| {
            let node = self.assembly.stages.get(usize::from(task.stage))?.nodes.get(node)?;
            Some((node.operator.clone(), task.partition, left))
        };
        left.chain(runs).filter_map(of).collect()
    }
}

/// A changelog that is read before a task of it can run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Restoring {
    /// The operator, behind its pipeline and a dot.
    pub operator: String,
    /// Which of its partitions.
    pub partition: Partition,
    /// Records that were read.
    pub done: u64,
    /// Records that are left.
    pub left: u64,
}

impl Pipeline {
    /// What is restored of it.
    pub(super) fn restoring<'s>(&'s self, statuses: &'s [Status]) -> impl Iterator<Item = Restoring> + 's {
        let pipeline = &self.prepared.plan.pipeline;
        self.own(statuses).iter().flat_map(|worker| &worker.restoring).filter_map(move |left| {
            let stage = self.prepared.assembly.stages.get(usize::from(left.task.stage))?;
            let operator = format!("{pipeline}.{}", stage.nodes.get(left.node)?.operator);
            Some(Restoring { operator, partition: left.task.partition, done: left.done, left: left.left })
        })
    }

    fn own<'s>(&self, statuses: &'s [Status]) -> &'s [Status] {
        statuses.get(self.workers.clone()).unwrap_or_default()
    }

    fn commits(&self) -> Buckets {
        let mut commits = Buckets::new(COMMIT);
        self.meters.iter().for_each(|meter| commits.add(&meter.commits.read()));
        commits
    }

    /// What is measured of each operator, on all workers, in the order of the stages. What finds the keys of an
    /// operator's records is none of its calls.
    fn calls(&self) -> Vec<(String, meter::Seen)> {
        let assembly = &self.prepared.assembly;
        let mut operators: Vec<(String, meter::Seen)> = Vec::new();
        for (worker, meter) in self.meters.iter().enumerate() {
            for (stage, (shape, calls)) in assembly.stages.iter().zip(&meter.nodes).enumerate() {
                let nodes = shape.nodes.iter().zip(calls).enumerate();
                for (_, (node, calls)) in nodes.filter(|(node, _)| !assembly.is_key(stage, *node)) {
                    let seen = calls.read(worker);
                    match operators.iter_mut().find(|(operator, _)| *operator == node.operator) {
                        Some((_, operator)) => operator.add(&seen),
                        None => operators.push((node.operator.clone(), seen)),
                    }
                }
            }
        }
        operators
    }
}
