//! From a plan to what the worker runs: stages whose topics are numbers, and their names beside them.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use thiserror::Error;
use wasmill_core::commit::Guarantee;
use wasmill_core::operator::Operator;
use wasmill_core::port::{ChangelogId, Target};
use wasmill_core::record::{Partition, TaskId, Timestamp};
use wasmill_core::scope::Limits;
use wasmill_core::stage::{Edge, Input, Node, OnError, Progress, Retry, Stage};

use super::formats::{Conversion, Convert};
use super::key_by::KeyBy;
use super::widths::Widths;
use crate::builtin::BuiltIn;
use crate::metrics::meter::{Calls, Meter};
use crate::pipeline::graph::Plugin;
use crate::pipeline::key::Key;
use crate::pipeline::plan::{self, InputKind, Plan};
use crate::pipeline::spec;
use crate::plugin::Placed;
use crate::topology::{FileInput, InputTopic, Start, Topology};

/// A pipeline, ready to be run by any number of workers.
pub struct Assembly {
    /// The stages.
    pub stages: Vec<Arc<Stage>>,
    /// What their topics are called.
    pub topology: Arc<Topology>,
    /// The tasks of all stages.
    pub tasks: Vec<TaskId>,
    pub(super) makers: Vec<Vec<Maker>>,
}

/// What makes an operator for a worker.
pub(super) enum Maker {
    Plugin(String, Placed),
    BuiltIn(BuiltIn),
    KeyBy(String, Key),
    Convert(String, Conversion, Option<usize>),
}

impl Assembly {
    /// Puts a plan together with its plugins, by the names of their operators. `limits` are what the log takes.
    pub fn new(plan: &Plan, widths: &Widths, plugins: &BTreeMap<String, Placed>, limits: Limits) -> Result<Self> {
        let mut assembler = Assembler {
            plan,
            widths,
            plugins,
            limits,
            topology: Topology {
                guarantee: guarantee(plan.guarantee),
                grown_from: widths.grown_from().to_vec(),
                ..Topology::default()
            },
        };
        let (mut stages, mut makers, mut tasks) = (Vec::new(), Vec::new(), Vec::new());
        for (index, stage) in plan.stages.iter().enumerate() {
            let (stage, made) = assembler.stage(stage)?;
            stages.push(Arc::new(stage));
            makers.push(made);
            let partitions = 0..widths.stage(index);
            tasks.extend(partitions.map(|p| TaskId { stage: index as u16, partition: Partition(p) }));
        }
        Ok(Self { stages, topology: Arc::new(assembler.topology), tasks, makers })
    }

    /// Whether a node finds the key for an operator of a stage downstream.
    pub fn is_key(&self, stage: usize, node: usize) -> bool {
        matches!(self.makers.get(stage).and_then(|makers| makers.get(node)), Some(Maker::KeyBy(..)))
    }

    /// What tells this shape of the pipeline from another: which stages there are, and what they read. Offsets are kept
    /// by the numbers of stages and inputs, so those of another shape mean something else.
    pub fn shape(&self) -> u64 {
        let mut hash = Sha256::new();
        for (tasks, inputs) in self.topology.tasks.iter().zip(&self.topology.inputs) {
            let inputs = inputs.iter().map(|input| input.topic.as_str());
            for name in inputs.chain([tasks.as_str(), ""]) {
                hash.update(name.as_bytes());
                hash.update([0]);
            }
        }
        let digest: [u8; 32] = hash.finalize().into();
        u64::from_le_bytes(*digest.first_chunk().unwrap_or(&[0; 8]))
    }

    /// What measures a worker of it.
    pub fn meter(&self) -> Meter {
        let calls = |maker: &Maker| match maker {
            Maker::Plugin(_, placed) => Calls::new(Some(&placed.declaration().metrics)),
            _ => Calls::new(None),
        };
        Meter::new(self.makers.iter().map(|makers| makers.iter().map(calls).map(Arc::new).collect()).collect())
    }

    /// An instance of each operator of each stage, for one worker.
    pub fn operators(&self, meter: &Meter) -> Result<Vec<Vec<Box<dyn Operator>>>> {
        let stages = self.makers.iter().zip(&meter.nodes);
        let make = |(maker, calls): (&Maker, &Arc<Calls>)| maker.make(calls);
        stages.map(|(makers, calls)| makers.iter().zip(calls).map(make).collect()).collect()
    }
}

impl Maker {
    pub(super) fn make(&self, calls: &Calls) -> Result<Box<dyn Operator>> {
        match self {
            Self::Plugin(operator, placed) => {
                let mut instance = placed.counted(calls.tally().cloned().unwrap_or_default());
                // One that cannot be opened is no record's fault.
                instance.open().with_context(|| format!("operator {operator}"))?;
                Ok(Box::new(instance))
            }
            Self::BuiltIn(built_in) => Ok(built_in.operator()),
            Self::KeyBy(operator, key) => Ok(Box::new(KeyBy::new(operator, key.clone()))),
            Self::Convert(name, conversion, longest) => Ok(Box::new(Convert::new(name, *conversion, *longest))),
        }
    }
}

/// Something that a pipeline file may ask for and that this version does not do.
#[derive(Debug, Error)]
#[error("source {name}: {what} is not supported yet by this version; {instead}")]
pub struct Unsupported {
    name: String,
    what: &'static str,
    instead: &'static str,
}

fn start(name: &str, kind: &InputKind) -> Result<Start, Unsupported> {
    let refuse = |what, instead| Err(Unsupported { name: name.to_owned(), what, instead });
    match kind {
        InputKind::Source { time, .. } if time.field.is_some() => {
            refuse("an event time from a field", "have the producer set the records' timestamps")
        }
        InputKind::Source { start: spec::Start::Time(_), file: Some(_), .. } => {
            refuse("a start by time in a file", "say earliest or latest")
        }
        InputKind::Source { start: spec::Start::Time(time), .. } => Ok(Start::Time(whole(*time))),
        InputKind::Source { start: spec::Start::Latest, .. } => Ok(Start::Latest),
        _ => Ok(Start::Earliest),
    }
}

/// The first millisecond that is not before a time: the log's times have no parts of one.
fn whole(time: jiff::Timestamp) -> Timestamp {
    let below = i64::from(time.subsec_nanosecond().rem_euclid(1_000_000) > 0);
    Timestamp(time.as_nanosecond().div_euclid(1_000_000) as i64 + below)
}

fn guarantee(asked: spec::Guarantee) -> Guarantee {
    match asked {
        spec::Guarantee::ExactlyOnce => Guarantee::ExactlyOnce,
        spec::Guarantee::AtLeastOnce => Guarantee::AtLeastOnce,
    }
}

/// What is done to the values of an input before anything else.
fn conversion(kind: &InputKind) -> Option<Conversion> {
    match kind {
        InputKind::Source { format: spec::Format::ConnectJson, .. } => Some(Conversion::Unwrap),
        InputKind::Source { file: Some(_), .. } => Some(Conversion::Line),
        _ => None,
    }
}

struct Assembler<'a> {
    plan: &'a Plan,
    widths: &'a Widths,
    plugins: &'a BTreeMap<String, Placed>,
    limits: Limits,
    topology: Topology,
}

/// The part of a stage that is there so far.
#[derive(Default)]
struct Draft {
    nodes: Vec<Node>,
    makers: Vec<Maker>,
    repartitions: Vec<Target>,
    keyed: BTreeMap<String, usize>,
    /// The nodes of sinks whose values are converted, by the index of the sink.
    converted: BTreeMap<usize, usize>,
    /// Where the plugins begin: behind the nodes of sources whose values are converted.
    first_plugin: usize,
    /// Where the nodes of keys and sinks begin: behind all plugins.
    first_key: usize,
}

impl Assembler<'_> {
    fn stage(&mut self, stage: &plan::Stage) -> Result<(Stage, Vec<Maker>)> {
        let first_plugin = stage.inputs.iter().filter(|input| conversion(&input.kind).is_some()).count();
        let first_key = first_plugin + stage.nodes.len();
        let mut draft = Draft { first_plugin, first_key, ..Draft::default() };
        let mut keys = Vec::new();
        let mut sources = Vec::new();
        for node in &stage.nodes {
            let (plugin, maker) = self.code(node)?;
            let outputs = node.outputs.iter().map(|edges| self.edges(edges, &mut draft, &mut keys)).collect();
            let changelog = node.changelog.as_ref().map(|topic| {
                self.topology.changelogs.push(topic.clone());
                ChangelogId((self.topology.changelogs.len() - 1) as u16)
            });
            let retry = Retry { attempts: node.retry.attempts.saturating_sub(1), backoff: node.retry.backoff };
            let output = usize::try_from(node.limits.output).unwrap_or(usize::MAX);
            draft.nodes.push(Node {
                operator: node.operator.clone(),
                plugin,
                changelog,
                outputs,
                on_error: self.on_error(node.on_error),
                retry,
                limits: Limits { output, ..self.limits },
            });
            draft.makers.push(maker);
        }
        let (mut inputs, mut topics) = (Vec::new(), Vec::new());
        for input in &stage.inputs {
            let mut edges = self.edges(&input.edges, &mut draft, &mut keys);
            let file = self.file(input);
            if let Some(conversion) = conversion(&input.kind) {
                let longest = file.as_ref().map(|file| file.longest);
                let node = self.convert(&input.name, edges);
                edges = vec![Edge::Node { node: sources.len(), input: 0 }];
                sources.push((node, Maker::Convert(input.name.clone(), conversion, longest)));
            } else {
                edges = self.watched(&input.name, edges, &draft, &mut keys);
            }
            for topic in &input.topics {
                inputs.push(Input {
                    topic: topic.as_str().into(),
                    progress: self.progress(&input.kind),
                    edges: edges.clone(),
                });
                let start = start(&input.name, &input.kind)?;
                let repartition = matches!(input.kind, InputKind::Repartition { .. });
                topics.push(InputTopic { topic: topic.clone(), start, repartition, file: file.clone() });
            }
        }
        for (node, maker) in keys {
            draft.nodes.push(node);
            draft.makers.push(maker);
        }
        self.topology.inputs.push(topics);
        self.topology.tasks.push(stage.tasks_topic.clone());
        let Draft { nodes, makers, repartitions, .. } = draft;
        let (mut all, mut made): (Vec<_>, Vec<_>) = sources.into_iter().unzip();
        all.extend(nodes);
        made.extend(makers);
        Ok((Stage { name: stage.name.clone(), inputs, nodes: all, repartitions }, made))
    }

    fn file(&self, input: &plan::Input) -> Option<FileInput> {
        let InputKind::Source { file: Some(file), .. } = &input.kind else { return None };
        let (source, path, follow) = (input.name.clone(), file.path.clone(), file.follow);
        Some(FileInput { source, path, follow, longest: self.limits.record })
    }

    /// The node that converts the values of a source or a sink.
    fn convert(&mut self, name: &str, edges: Vec<Edge>) -> Node {
        Node {
            operator: name.to_owned(),
            plugin: "built-in".into(),
            changelog: None,
            outputs: vec![edges],
            on_error: self.on_error(spec::OnError::DeadLetter),
            retry: Retry::default(),
            limits: self.limits,
        }
    }

    /// The ways of an input's records, those that lead straight out of the stage through a node: a record that the log
    /// would refuse is a failure there.
    fn watched(&mut self, name: &str, edges: Vec<Edge>, draft: &Draft, keys: &mut Vec<(Node, Maker)>) -> Vec<Edge> {
        let is_straight = |edge: &Edge| matches!(edge, Edge::Target(_));
        let (straight, mut edges): (Vec<_>, Vec<_>) = edges.into_iter().partition(is_straight);
        if !straight.is_empty() {
            let node = self.convert(name, straight);
            keys.push((node, Maker::Convert(name.to_owned(), Conversion::Line, None)));
            edges.push(Edge::Node { node: draft.first_key + keys.len() - 1, input: 0 });
        }
        edges
    }

    /// The way of a record to a sink, through what converts its value.
    fn sink(&mut self, index: usize, draft: &mut Draft, keys: &mut Vec<(Node, Maker)>) -> Edge {
        let Some(sink) = self.plan.sinks.get(index) else { return Edge::Target(self.target("")) };
        let (name, target) = (sink.name.clone(), self.target(&sink.topic));
        if sink.format == spec::Format::Bytes {
            return Edge::Target(target);
        }
        let node = *draft.converted.entry(index).or_insert_with(|| {
            let node = self.convert(&name, vec![Edge::Target(target)]);
            keys.push((node, Maker::Convert(name, Conversion::Wrap, None)));
            draft.first_key + keys.len() - 1
        });
        Edge::Node { node, input: 0 }
    }

    /// What tells an operator's code apart, and what makes the operator.
    fn code(&self, node: &plan::Node) -> Result<(String, Maker)> {
        if let Plugin::BuiltIn(built_in) = &node.plugin {
            return Ok((format!("built-in:{}", built_in.name()), Maker::BuiltIn(built_in.clone())));
        }
        let placed = self.plugins.get(&node.operator);
        let placed = placed.with_context(|| format!("operator {} has no plugin", node.operator))?;
        Ok((format!("sha256:{}", placed.digest()), Maker::Plugin(node.operator.clone(), placed.clone())))
    }

    fn progress(&self, kind: &InputKind) -> Progress {
        match kind {
            InputKind::Source { time, .. } => {
                Progress::Records { out_of_order: time.out_of_order, idle_after: time.idle_after }
            }
            InputKind::Repartition { writers } => {
                let stages = self.plan.stages.iter().enumerate().filter(|(_, stage)| writers.contains(&stage.name));
                let tasks = stages.flat_map(|(index, _)| {
                    let partitions = 0..self.widths.stage(index);
                    partitions.map(move |p| TaskId { stage: index as u16, partition: Partition(p) })
                });
                Progress::Controls(tasks.collect())
            }
        }
    }

    fn edges(&mut self, edges: &[plan::Edge], draft: &mut Draft, keys: &mut Vec<(Node, Maker)>) -> Vec<Edge> {
        edges.iter().map(|edge| self.edge(edge, draft, keys)).collect()
    }

    fn edge(&mut self, edge: &plan::Edge, draft: &mut Draft, keys: &mut Vec<(Node, Maker)>) -> Edge {
        match edge {
            plan::Edge::Node { index, input } => Edge::Node { node: draft.first_plugin + *index, input: *input },
            plan::Edge::Sink { index } => self.sink(*index, draft, keys),
            plan::Edge::Repartition { operator, topic, key, on_error } => {
                let target = self.target(topic);
                if !draft.repartitions.contains(&target) {
                    draft.repartitions.push(target);
                }
                let Some(key) = key else { return Edge::Target(target) };
                let (on_error, limits) = (self.on_error(*on_error), self.limits);
                let node = *draft.keyed.entry(operator.clone()).or_insert_with(|| {
                    let node = Node {
                        operator: operator.clone(),
                        plugin: "built-in".into(),
                        changelog: None,
                        outputs: vec![vec![Edge::Target(target)]],
                        on_error,
                        retry: Retry::default(),
                        limits,
                    };
                    keys.push((node, Maker::KeyBy(operator.clone(), key.clone())));
                    draft.first_key + keys.len() - 1
                });
                Edge::Node { node, input: 0 }
            }
        }
    }

    fn on_error(&mut self, on_error: spec::OnError) -> OnError {
        match on_error {
            spec::OnError::DeadLetter => OnError::DeadLetter(self.target(&self.plan.dead_letters.clone())),
            spec::OnError::Skip => OnError::Skip,
            spec::OnError::Stop => OnError::Stop,
        }
    }

    fn target(&mut self, topic: &str) -> Target {
        let targets = &mut self.topology.targets;
        let index = targets.iter().position(|target| target == topic).unwrap_or_else(|| {
            targets.push(topic.to_owned());
            targets.len() - 1
        });
        Target(index as u16)
    }
}
