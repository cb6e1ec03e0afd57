//! How many partitions topics have, and so how many tasks stages.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use thiserror::Error;

use super::backend::{Backend, NewTopic, TopicKind};
use crate::pipeline::count::Count;
use crate::pipeline::plan::{Edge, InputKind, Plan, Purpose, Stage};
use crate::pipeline::spec::Create;

/// Partitions of a topic that is made where nothing says how many.
pub const DEFAULT_PARTITIONS: u32 = 4;

/// The partitions of each topic of a plan, and the tasks of each of its stages.
#[derive(Clone, Debug, Default)]
pub struct Widths {
    topics: BTreeMap<String, u32>,
    stages: Vec<u32>,
    /// How many tasks stages had until now whose source has become wider.
    grown_from: Vec<Option<u32>>,
}

/// The topics of a pipeline do not go with its sources any more.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct Unfit(String);

/// What of a plan's topics is to be made, and which are to have more partitions.
#[derive(Default)]
struct Changes {
    missing: Vec<NewTopic>,
    wider: Vec<(String, u32)>,
}

/// The partitions of a user's topic; one that is missing is made where that is asked for. `None` if it is not there.
pub fn ensure(backend: &dyn Backend, topic: &str, create: Option<&Create>) -> Result<Option<u32>> {
    let mut missing = Vec::new();
    let partitions = look_up(backend, topic, create, &mut missing)?;
    backend.create(&missing)?;
    Ok(partitions)
}

/// The same, but what is to be made is only noted.
fn look_up(
    backend: &dyn Backend,
    topic: &str,
    create: Option<&Create>,
    missing: &mut Vec<NewTopic>,
) -> Result<Option<u32>> {
    let there = backend.partitions(topic)?;
    if there.is_some() || create.is_none() && !backend.makes_topics() {
        return Ok(there);
    }
    let asked = create.and_then(|create| create.partitions.map(Count::get));
    let partitions = asked.unwrap_or(DEFAULT_PARTITIONS);
    let replication = create.and_then(|create| create.replication.map(|count| count.get() as u16));
    missing.push(NewTopic { name: topic.to_owned(), kind: TopicKind::Records, partitions, replication });
    Ok(Some(partitions))
}

impl Widths {
    /// Looks the topics up, and makes all that are missing and may be made.
    pub fn settle(plan: &Plan, backend: &dyn Backend) -> Result<Self> {
        let (widths, changes) = Self::look(plan, backend)?;
        backend.create(&changes.missing)?;
        changes.wider.iter().try_for_each(|(topic, partitions)| backend.grow(topic, *partitions))?;
        Ok(widths)
    }

    /// Looks the topics up, all of which must be there.
    pub fn existing(plan: &Plan, backend: &dyn Backend) -> Result<Self> {
        let (widths, changes) = Self::look(plan, backend)?;
        match changes.missing.first() {
            None if !changes.wider.is_empty() => {
                bail!(
                    "the sources of pipeline {} have more partitions now: run it once, so that it has them",
                    plan.pipeline
                )
            }
            None => Ok(widths),
            Some(topic) => {
                bail!("pipeline {} has not run on this log: there is no topic {}", plan.pipeline, topic.name)
            }
        }
    }

    fn look(plan: &Plan, backend: &dyn Backend) -> Result<(Self, Changes)> {
        let stages = plan.stages.len();
        let mut widths = Self { topics: BTreeMap::new(), stages: vec![0; stages], grown_from: vec![None; stages] };
        let mut missing = Vec::new();
        for input in plan.stages.iter().flat_map(|stage| &stage.inputs) {
            if let InputKind::Source { create, file, .. } = &input.kind {
                if file.is_some() {
                    widths.topics.extend(input.topics.iter().map(|file| (file.clone(), 1)));
                    continue;
                }
                for topic in &input.topics {
                    widths.user(backend, topic, create.as_ref(), ("source", &input.name), &mut missing)?;
                }
            }
        }
        widths.stages(plan)?;
        let widest = widths.topics.values().copied().max().unwrap_or(1);
        for sink in plan.sinks.iter().filter(|sink| sink.file.is_none()) {
            widths.user(backend, &sink.topic, sink.create.as_ref(), ("sink", &sink.name), &mut missing)?;
        }
        if backend.partitions(&plan.dead_letters)?.is_none() {
            let name = plan.dead_letters.clone();
            missing.push(NewTopic { name, kind: TopicKind::Records, partitions: widest, replication: None });
        }
        let mut changes = Changes { missing, wider: Vec::new() };
        widths.own(plan, backend, &mut changes)?;
        Ok((widths, changes))
    }

    /// The partitions of a topic.
    pub fn topic(&self, topic: &str) -> u32 {
        self.topics.get(topic).copied().unwrap_or_default()
    }

    /// How many tasks each stage had until now whose source has become wider.
    pub fn grown_from(&self) -> &[Option<u32>] {
        &self.grown_from
    }

    /// The tasks of a stage.
    pub fn stage(&self, stage: usize) -> u32 {
        self.stages.get(stage).copied().unwrap_or_default()
    }

    fn user(
        &mut self,
        backend: &dyn Backend,
        topic: &str,
        create: Option<&Create>,
        (what, name): (&str, &str),
        missing: &mut Vec<NewTopic>,
    ) -> Result<()> {
        // One topic may be the one of two sinks.
        if self.topics.contains_key(topic) {
            return Ok(());
        }
        let Some(partitions) = look_up(backend, topic, create, missing)? else {
            bail!(
                "topic {topic} of {what} {name} does not exist: make it, or say \
                 `create: {{partitions: {DEFAULT_PARTITIONS}}}` in the {what}"
            )
        };
        self.topics.insert(topic.to_owned(), partitions);
        Ok(())
    }

    /// A stage is as wide as its widest input, a repartition topic as the widest stage that writes it.
    fn stages(&mut self, plan: &Plan) -> Result<()> {
        let mut left: Vec<usize> = (0..plan.stages.len()).collect();
        while !left.is_empty() {
            // Stages may feed each other: then the width comes from those inputs that are known.
            let known = |index: &usize| self.is_known(plan, &plan.stages[*index]);
            let begun = |index: &usize| self.is_begun(&plan.stages[*index]);
            let ready = left.iter().position(known).or_else(|| left.iter().position(begun));
            let index = left.remove(ready.unwrap_or_default());
            let stage = &plan.stages[index];
            self.stages[index] = self.width(stage)?;
            for topic in &plan.topics {
                let Purpose::Repartition { partitions, .. } = &topic.purpose else { continue };
                let writes = |input: &crate::pipeline::plan::Input| match &input.kind {
                    InputKind::Repartition { writers } => {
                        input.topics.contains(&topic.name) && writers.contains(&stage.name)
                    }
                    InputKind::Source { .. } => false,
                };
                if plan.stages.iter().flat_map(|stage| &stage.inputs).any(writes) {
                    let width = partitions.unwrap_or(self.stages[index]);
                    let known = self.topics.entry(topic.name.clone()).or_default();
                    *known = width.max(*known);
                }
            }
        }
        Ok(())
    }

    fn is_known(&self, plan: &Plan, stage: &Stage) -> bool {
        let done = |writer: &String| {
            plan.stages.iter().position(|stage| stage.name == *writer).is_some_and(|index| self.stages[index] > 0)
        };
        stage.inputs.iter().all(|input| match &input.kind {
            InputKind::Source { .. } => true,
            InputKind::Repartition { writers } => writers.iter().all(done),
        })
    }

    fn is_begun(&self, stage: &Stage) -> bool {
        stage.inputs.iter().flat_map(|input| &input.topics).any(|topic| self.topic(topic) > 0)
    }

    fn width(&self, stage: &Stage) -> Result<u32> {
        let topics = || stage.inputs.iter().flat_map(|input| &input.topics);
        let widest = topics().map(|topic| self.topic(topic)).max().unwrap_or(1).max(1);
        if stage.keyed && topics().any(|topic| ![0, widest].contains(&self.topic(topic))) {
            let each: Vec<_> = topics().map(|topic| format!("{topic} has {}", self.topic(topic))).collect();
            bail!(
                "the inputs of stage {} must have the same number of partitions, because it is keyed: {}; \
                 give the operator a `key`, or make the topics equally wide",
                stage.name,
                each.join(", ")
            );
        }
        Ok(widest)
    }

    /// The topics that belong to the pipeline. One that is there must be as wide as it is now; but more tasks of a stage that
    /// knows nothing of keys are taken up.
    fn own(&mut self, plan: &Plan, backend: &dyn Backend, changes: &mut Changes) -> Result<()> {
        let stage = |name: &str| plan.stages.iter().position(|stage| stage.name == name);
        for topic in &plan.topics {
            let (kind, partitions) = match &topic.purpose {
                Purpose::Repartition { .. } => (TopicKind::Repartition, self.topic(&topic.name)),
                Purpose::Changelog { stage: name, .. } => {
                    (TopicKind::Changelog, stage(name).map_or(1, |index| self.stage(index)))
                }
                Purpose::File { .. } => (TopicKind::Repartition, 1),
                Purpose::Tasks { stage: name } => (TopicKind::Tasks, stage(name).map_or(1, |index| self.stage(index))),
            };
            let partitions = partitions.max(1);
            match backend.partitions(&topic.name)? {
                None => {
                    changes.missing.push(NewTopic { name: topic.name.clone(), kind, partitions, replication: None });
                }
                Some(there) if there < partitions && is_free(plan, &topic.purpose) => {
                    if let Some(stage) = plan.stages.iter().position(|stage| stage.tasks_topic == topic.name) {
                        self.grown_from[stage] = Some(there);
                    }
                    changes.wider.push((topic.name.clone(), partitions));
                }
                Some(there) if there != partitions => bail!(Unfit(format!(
                    "topic {} has {there} partitions, but pipeline {} needs {partitions} now: its sources were made \
                     wider or narrower since it first ran; start over with --fresh, or under another name",
                    topic.name, plan.pipeline
                ))),
                Some(_) => {}
            }
            self.topics.insert(topic.name.clone(), partitions);
        }
        Ok(())
    }
}

/// Whether a topic divides the tasks of a stage that does not care which of them has a key: none of its operators has rows,
/// its inputs are sources, and no other stage waits for what its tasks tell.
fn is_free(plan: &Plan, purpose: &Purpose) -> bool {
    let Purpose::Tasks { stage: name } = purpose else { return false };
    let has_rows = |topic: &crate::pipeline::plan::Topic| matches!(&topic.purpose, Purpose::Changelog { stage, .. } if stage == name);
    let is_source = |input: &crate::pipeline::plan::Input| matches!(input.kind, InputKind::Source { .. });
    let stage = plan.stages.iter().find(|stage| stage.name == *name);
    let is_apart = |stage: &Stage| !stage.keyed && stage.inputs.iter().all(is_source) && !feeds_others(stage);
    stage.is_some_and(is_apart) && !plan.topics.iter().any(has_rows)
}

/// Whether a stage writes to repartition topics.
fn feeds_others(stage: &Stage) -> bool {
    let of_inputs = stage.inputs.iter().flat_map(|input| &input.edges);
    let of_nodes = stage.nodes.iter().flat_map(|node| node.outputs.iter().flatten());
    of_inputs.chain(of_nodes).any(|edge| matches!(edge, Edge::Repartition { .. }))
}
