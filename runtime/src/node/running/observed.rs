//! What can be seen of pipelines that run.

use std::sync::Arc;

use wasmill_core::record::{Partition, TaskId, Timestamp};

use super::{OperatorTotals, Pipeline};
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
#[derive(Clone, Debug, Default)]
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
        let lag = prepared.inputs().filter_map(|(task, input, topic)| {
            let lag = self.lag(workers, task, input, topic)?;
            Some((topic.to_owned(), task.partition, lag))
        });
        let stage = |task: &TaskId| prepared.plan.stages.get(usize::from(task.stage)).map(|stage| stage.name.clone());
        let watermarks = workers.iter().flat_map(|worker| &worker.watermarks).filter(|(_, at)| at.is_some());
        Seen {
            pipeline: prepared.plan.pipeline.clone(),
            operators: prepared.operators(workers),
            epochs: workers.iter().fold((0, 0), |(done, lost), one| (done + one.epochs, lost + one.aborted)),
            restored: workers.iter().map(|worker| worker.restored).sum(),
            lag: lag.collect(),
            watermarks: watermarks.filter_map(|(task, &at)| Some((stage(task)?, task.partition, at))).collect(),
        }
    }

    fn lag(&self, workers: &[Status], task: TaskId, input: u32, topic: &str) -> Option<u64> {
        let key = (task, input);
        let worker = workers.iter().find(|worker| worker.next.contains_key(&key))?;
        let end = self.backend.end(topic, task.partition).ok()?;
        // The end of a topic may lie behind markers, which are no records: who has read to the end lags by nothing.
        let read = worker.quiet && worker.ends.get(&key).copied().flatten().is_some_and(|at| at >= end);
        let next = worker.next.get(&key)?;
        Some(if read { 0 } else { (end.0 - next.0).max(0) as u64 })
    }
}

impl Pipeline {
    fn own<'s>(&self, statuses: &'s [Status]) -> &'s [Status] {
        statuses.get(self.workers.clone()).unwrap_or_default()
    }
}
