//! A pipeline that can be started: its plan, the widths of its topics, and what its workers are made of.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use tracing::warn;
use wasmill_core::record::{Partition, TaskId};
use wasmill_core::state::Size;
use wasmill_core::task::memory::Counts;

use super::OperatorTotals;
use crate::embedded::Stops;
use crate::files::{self, Writer};
use crate::metrics::own;
use crate::node::assembly::Assembly;
use crate::node::backend::Backend;
use crate::node::plugins::declarations;
use crate::node::widths::Widths;
use crate::node::worker::Status;
use crate::pipeline::Graph;
use crate::pipeline::plan::{InputKind, Plan, Purpose};
use crate::plugin::Placed;
use crate::topology::FileInput;

/// A pipeline that can be started.
pub struct Prepared {
    pub(super) plan: Plan,
    pub(super) widths: Widths,
    pub(in crate::node) assembly: Arc<Assembly>,
}

impl Prepared {
    /// Plans a pipeline, and makes the topics that it needs. `fresh`: after it forgot all that it did before.
    pub fn new(
        graph: &Graph,
        placed: &BTreeMap<String, Placed>,
        cluster: &str,
        backend: &dyn Backend,
        fresh: bool,
    ) -> Result<Self> {
        let plan = Plan::new(graph, &declarations(graph, placed), cluster)?;
        warn_of_metrics(&plan.pipeline, placed);
        if fresh {
            let own: Vec<_> = plan.topics.iter().map(|topic| topic.name.as_str()).collect();
            backend.forget(&plan.group, &own)?;
        }
        let widths = Widths::settle(&plan, backend)?;
        Self::assemble(plan, widths, placed, backend)
    }

    /// Plans a pipeline that has run before, and makes nothing.
    pub fn existing(
        graph: &Graph,
        placed: &BTreeMap<String, Placed>,
        cluster: &str,
        backend: &dyn Backend,
    ) -> Result<Self> {
        let plan = Plan::new(graph, &declarations(graph, placed), cluster)?;
        let widths = Widths::existing(&plan, backend)?;
        Self::assemble(plan, widths, placed, backend)
    }

    /// The same pipeline with other plugins, put together.
    pub(in crate::node) fn reassemble(
        &self,
        graph: &Graph,
        placed: &BTreeMap<String, Placed>,
        cluster: &str,
        backend: &dyn Backend,
    ) -> Result<Arc<Assembly>> {
        let plan = Plan::new(graph, &declarations(graph, placed), cluster)?;
        Ok(Self::assemble(plan, self.widths.clone(), placed, backend)?.assembly)
    }

    pub(super) fn assemble(
        plan: Plan,
        widths: Widths,
        placed: &BTreeMap<String, Placed>,
        backend: &dyn Backend,
    ) -> Result<Self> {
        let limits = backend.limits(&written(&plan))?;
        let assembly = Arc::new(Assembly::new(&plan, &widths, placed, limits)?);
        Ok(Self { plan, widths, assembly })
    }

    /// The topics that its sources read, with the source's name and the partitions that they had.
    pub(super) fn sources(&self) -> impl Iterator<Item = (&str, &str, u32)> {
        let inputs = self.plan.stages.iter().flat_map(|stage| &stage.inputs);
        let sources = inputs.filter(|input| matches!(input.kind, InputKind::Source { file: None, .. }));
        let topics = sources.flat_map(|input| input.topics.iter().map(|topic| (input.name.as_str(), topic.as_str())));
        topics.map(|(source, topic)| (source, topic, self.widths.topic(topic)))
    }

    /// The topics that it writes for others to read.
    pub(super) fn writes(&self) -> impl Iterator<Item = &str> {
        let sinks = self.plan.sinks.iter().map(|sink| sink.topic.as_str());
        sinks.chain([self.plan.dead_letters.as_str()])
    }

    /// The inputs of all tasks with their topics. An input that has no partition for a task has no part in it.
    pub(super) fn inputs(&self) -> impl Iterator<Item = (TaskId, u32, &str)> {
        self.assembly.tasks.iter().flat_map(move |&task| {
            let inputs = self.assembly.topology.inputs.get(usize::from(task.stage)).into_iter().flatten();
            inputs.zip(0..).filter_map(move |(input, index)| {
                let there = task.partition.0 < self.widths.topic(&input.topic);
                there.then_some((task, index, input.topic.as_str()))
            })
        })
    }

    /// Those inputs that are repartition topics.
    pub(super) fn repartitioned(&self) -> impl Iterator<Item = (TaskId, u32, &str)> {
        self.inputs().filter(|&(task, input, _)| self.is_own(task, input))
    }

    pub(super) fn is_own(&self, task: TaskId, input: u32) -> bool {
        self.assembly.topology.input(task, input).is_some_and(|input| input.repartition)
    }

    pub(super) fn file(&self, task: TaskId, input: u32) -> Option<&FileInput> {
        self.assembly.topology.input(task, input)?.file.as_ref()
    }

    /// Begins to write the files of its sinks.
    pub(super) fn writers(&self, backend: &dyn Backend, directory: &Path) -> Result<Vec<Writer>> {
        let mut writers = Vec::new();
        for sink in &self.plan.sinks {
            let Some(path) = sink.file.clone() else { continue };
            let job = files::Job {
                sink: sink.name.clone(),
                pipeline: self.plan.pipeline.clone(),
                path,
                topic: sink.topic.clone(),
                log: backend.identity(&sink.topic)?,
                end: backend.end(&sink.topic, Partition(0))?,
                directory: directory.to_path_buf(),
            };
            writers.push(Writer::start(job, backend.broker()?)?);
        }
        Ok(writers)
    }

    /// Where its sources end now, but for those that the pipelines themselves write.
    pub(super) fn stops(&self, backend: &dyn Backend, written: &BTreeSet<&str>) -> Result<Stops> {
        let mut stops = Stops::new();
        for (task, input, topic) in self.inputs() {
            if let Some(file) = self.file(task, input) {
                stops.insert((task, input), files::size(&file.path)?);
            } else if !self.is_own(task, input) && !written.contains(topic) {
                stops.insert((task, input), backend.end(topic, task.partition)?);
            }
        }
        Ok(stops)
    }

    /// What became of the records of each operator, and what it remembers, in the order of the stages.
    pub(super) fn operators(&self, workers: &[Status]) -> Vec<OperatorTotals> {
        let mut totals: Vec<OperatorTotals> = Vec::new();
        for (stage, shape) in self.assembly.stages.iter().enumerate() {
            for (node, shape) in shape.nodes.iter().enumerate() {
                let mut counts = Counts::default();
                let tasks = workers.iter().flat_map(|worker| &worker.counts);
                let of = tasks.filter(|(task, _)| usize::from(task.stage) == stage);
                of.filter_map(|(_, nodes)| nodes.get(node)).for_each(|of| counts.add(of));
                if self.assembly.is_key(stage, node) {
                    // What finds the key of an operator's records passes on all but those without: these are the operator's.
                    let input = counts.input - counts.handled;
                    counts = Counts { input, handled: 0, filtered: 0, emitted: 0, ..counts };
                }
                let size = shape.changelog.map(|_| size(workers, stage, node));
                match totals.iter_mut().find(|total| total.operator == shape.operator) {
                    Some(total) => total.add(&counts, size),
                    None => totals.push(OperatorTotals {
                        pipeline: self.plan.pipeline.clone(),
                        operator: shape.operator.clone(),
                        counts,
                        size,
                    }),
                }
            }
        }
        totals
    }

    /// The stages that read a source.
    pub(super) fn entries(&self) -> impl Iterator<Item = u16> {
        let reads = |stage: &crate::pipeline::plan::Stage| {
            stage.inputs.iter().any(|input| matches!(input.kind, InputKind::Source { .. }))
        };
        self.plan.stages.iter().zip(0..).filter(move |(stage, _)| reads(stage)).map(|(_, index)| index)
    }
}

/// How much a node remembers, on all tasks of its stage.
fn size(workers: &[Status], stage: usize, node: usize) -> Size {
    let tasks = workers.iter().flat_map(|worker| &worker.sizes);
    let of = tasks.filter(|(task, _)| usize::from(task.stage) == stage);
    let mut size = Size::default();
    of.filter_map(|(_, nodes)| nodes.get(node)?.as_ref()).for_each(|of| size.add(of));
    size
}

/// Says whose metrics are too many to be exported.
fn warn_of_metrics(pipeline: &str, placed: &BTreeMap<String, Placed>) {
    for (operator, placed) in placed {
        let (declared, most) = (placed.declaration().metrics.len(), own::MOST);
        if declared > most {
            warn!(pipeline, operator, "the plugin declares {declared} metrics, of which the first {most} are exported");
        }
    }
}

/// The topics that a plan writes records to.
fn written(plan: &Plan) -> Vec<&str> {
    let own = plan.topics.iter().filter(|topic| !matches!(topic.purpose, Purpose::Tasks { .. }));
    let sinks = plan.sinks.iter().map(|sink| sink.topic.as_str());
    own.map(|topic| topic.name.as_str()).chain(sinks).chain([plan.dead_letters.as_str()]).collect()
}
