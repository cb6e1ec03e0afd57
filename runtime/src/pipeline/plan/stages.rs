//! Cuts a graph into stages.

use std::collections::BTreeMap;

use super::{
    Edge, Input, InputKind, Node, Plan, Purpose, Sink, Stage, Topic,
    ports::{Slot, Wiring},
};
use crate::pipeline::{
    error::{Kind, Report, Reported},
    graph::{self, Graph, Operator},
};

/// Knows where records are repartitioned and which parts of the graph that leaves connected.
pub(super) struct Planner<'p> {
    graph: &'p Graph,
    wiring: &'p Wiring<'p>,
    /// What the names of the pipeline's own topics begin with, `<cluster>.<pipeline>`.
    prefix: String,
    /// Whether the records of an operator come through its repartition topic.
    repartitions: Vec<bool>,
    /// The stage of each source that is read, and of each operator.
    stage_of_source: Vec<Option<usize>>,
    stage_of_operator: Vec<usize>,
    report: &'p Report,
}

impl<'p> Planner<'p> {
    pub(super) fn new(graph: &'p Graph, wiring: &'p Wiring<'p>, cluster: &str, report: &'p Report) -> Self {
        let repartitions = repartitions(graph, wiring);
        let (stage_of_source, stage_of_operator) = connect(graph, wiring, &repartitions);
        let prefix = format!("{cluster}.{}", graph.name());
        Self { graph, wiring, prefix, repartitions, stage_of_source, stage_of_operator, report }
    }

    pub(super) fn plan(&self) -> Result<Plan, Reported> {
        let count =
            self.stage_of_operator.iter().chain(self.stage_of_source.iter().flatten()).max().map_or(0, |n| n + 1);
        let mut stages: Vec<Stage> = (0..count).map(|stage| self.stage(stage)).collect();
        let names: Vec<String> = stages.iter().map(|stage| stage.name.clone()).collect();
        for stage in &mut stages {
            for input in &mut stage.inputs {
                if let InputKind::Repartition { writers } = &mut input.kind {
                    *writers = self.writers(&input.name, &names);
                }
            }
        }
        let topics = self.topics(&stages);
        self.check(&topics)?;
        stages.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Plan {
            pipeline: self.graph.name().to_owned(),
            group: self.prefix.clone(),
            guarantee: self.graph.guarantee(),
            commit_interval: self.graph.commit_interval(),
            stages,
            sinks: self.graph.sinks().iter().map(|sink| self.sink(sink)).collect(),
            dead_letters: self.graph.dead_letters().to_owned(),
            topics,
        })
    }

    fn stage(&self, stage: usize) -> Stage {
        let operators = self.operators().filter(|(index, ..)| self.stage_of_operator.get(*index) == Some(&stage));
        let mut inputs: Vec<Input> = self.sources(stage).collect();
        for (index, operator, through_topic) in operators.clone() {
            if through_topic {
                inputs.push(Input {
                    name: operator.name.clone(),
                    topics: vec![self.repartition_topic(operator)],
                    kind: InputKind::Repartition { writers: Vec::new() },
                    edges: vec![Edge::Node { index: self.index_in_stage(index), input: 0 }],
                });
            }
        }
        inputs.sort_by(|a, b| a.name.cmp(&b.name));
        let name = inputs.first().map(|input| input.name.clone()).unwrap_or_default();
        let keyed = operators.clone().any(|(index, operator, _)| {
            operator.key.is_some() || self.wiring.operators[index].declaration.role.is_keyed()
        });
        Stage {
            tasks_topic: format!("{}.{name}-tasks", self.prefix),
            name,
            keyed,
            inputs,
            nodes: operators.map(|(index, operator, _)| self.node(index, operator)).collect(),
        }
    }

    fn sources(&self, stage: usize) -> impl Iterator<Item = Input> {
        let of_stage = move |(index, _): &(usize, _)| self.stage_of_source.get(*index) == Some(&Some(stage));
        self.graph.sources().iter().enumerate().filter(of_stage).map(|(index, source)| Input {
            name: source.name.clone(),
            topics: source.topics.clone(),
            kind: InputKind::Source {
                file: source.file.clone(),
                format: source.format,
                start: source.start,
                time: source.time.clone(),
                create: source.create,
            },
            edges: self.edges(Slot::Source(index)),
        })
    }

    fn node(&self, index: usize, operator: &Operator) -> Node {
        let declaration = self.wiring.operators[index].declaration;
        let stateful = !declaration.states.is_empty() || declaration.role.is_keyed();
        let ports = 0..declaration.outputs.len();
        Node {
            operator: operator.name.clone(),
            role: declaration.role,
            plugin: operator.plugin.clone(),
            settings: operator.settings.clone(),
            on_error: operator.on_error,
            retry: operator.retry,
            limits: operator.limits,
            changelog: stateful.then(|| format!("{}.{}-changelog", self.prefix, operator.name)),
            outputs: ports.map(|port| self.edges(Slot::Port { operator: index, port })).collect(),
        }
    }

    /// Where the records go that come out of `slot`.
    fn edges(&self, slot: Slot) -> Vec<Edge> {
        let mut edges = Vec::new();
        for (index, operator, through_topic) in self.operators() {
            for read in self.wiring.operators[index].reads.iter().filter(|read| read.slot == slot) {
                edges.push(if through_topic {
                    Edge::Repartition {
                        operator: operator.name.clone(),
                        topic: self.repartition_topic(operator),
                        key: operator.key.clone(),
                        on_error: operator.on_error,
                    }
                } else {
                    Edge::Node { index: self.index_in_stage(index), input: read.input }
                });
            }
        }
        let sinks = self.wiring.sinks.iter().enumerate();
        edges.extend(sinks.filter(|(_, reads)| reads.contains(&slot)).map(|(index, _)| Edge::Sink { index }));
        edges
    }

    /// The stages that write the repartition topic of the operator `name`.
    fn writers(&self, name: &str, names: &[String]) -> Vec<String> {
        let reads = self.operators().filter(|(_, operator, _)| operator.name == name);
        let reads = reads.flat_map(|(index, ..)| &self.wiring.operators[index].reads);
        let stages = reads.filter_map(|read| match read.slot {
            Slot::Source(source) => self.stage_of_source.get(source).copied().flatten(),
            Slot::Port { operator, .. } => self.stage_of_operator.get(operator).copied(),
        });
        let mut writers: Vec<String> = stages.filter_map(|stage| names.get(stage).cloned()).collect();
        writers.sort();
        writers.dedup();
        writers
    }

    fn topics(&self, stages: &[Stage]) -> Vec<Topic> {
        let mut topics = Vec::new();
        for (index, operator, through_topic) in self.operators() {
            let stage = &stages[self.stage_of_operator[index]];
            if through_topic {
                let purpose = Purpose::Repartition {
                    operator: operator.name.clone(),
                    partitions: operator.repartition.map(|partitions| partitions.value),
                };
                topics.push(Topic { name: self.repartition_topic(operator), purpose });
            }
            let node = stage.nodes.get(self.index_in_stage(index));
            if let Some(changelog) = node.and_then(|node| node.changelog.clone()) {
                let purpose = Purpose::Changelog { operator: operator.name.clone(), stage: stage.name.clone() };
                topics.push(Topic { name: changelog, purpose });
            }
        }
        for sink in self.graph.sinks().iter().filter(|sink| sink.file.is_some()) {
            topics.push(Topic { name: self.topic_of(sink), purpose: Purpose::File { sink: sink.name.clone() } });
        }
        for stage in stages {
            let purpose = Purpose::Tasks { stage: stage.name.clone() };
            topics.push(Topic { name: stage.tasks_topic.clone(), purpose });
        }
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        topics
    }

    fn check(&self, topics: &[Topic]) -> Result<(), Reported> {
        for (index, operator, through_topic) in self.operators() {
            if through_topic && self.wiring.operators[index].declaration.inputs.len() > 1 {
                let message = format!(
                    "`{}` has several inputs, and repartitioning them is not supported yet by this version; read what \
                     keeps its keys",
                    operator.name
                );
                self.report.at(Kind::Unsupported, operator.place, message);
            }
        }
        for sink in self.graph.sinks() {
            if topics.iter().any(|topic| topic.name == sink.topic) {
                let message = format!("the topic `{}` is the pipeline's own; write to another one", sink.topic);
                self.report.at(Kind::Reference, sink.place, message);
            }
        }
        if self.report.count() > 0 { Err(Reported) } else { Ok(()) }
    }

    fn sink(&self, sink: &graph::Sink) -> Sink {
        Sink {
            name: sink.name.clone(),
            topic: self.topic_of(sink),
            file: sink.file.clone(),
            format: sink.format,
            create: sink.create,
        }
    }

    /// The topic that a sink's records go to.
    fn topic_of(&self, sink: &graph::Sink) -> String {
        match sink.file {
            Some(_) => format!("{}.{}-file", self.prefix, sink.name),
            None => sink.topic.clone(),
        }
    }

    fn repartition_topic(&self, operator: &Operator) -> String {
        format!("{}.{}-repartition", self.prefix, operator.name)
    }

    /// The operators with their indexes, and whether their records come through a repartition topic.
    fn operators(&self) -> impl Iterator<Item = (usize, &'p Operator, bool)> + Clone {
        let operators = self.graph.operators().iter().enumerate();
        operators.zip(&self.repartitions).map(|((index, operator), through_topic)| (index, operator, *through_topic))
    }

    /// The index of an operator among those of its stage.
    fn index_in_stage(&self, operator: usize) -> usize {
        let stage = self.stage_of_operator[operator];
        self.stage_of_operator[..operator].iter().filter(|other| **other == stage).count()
    }
}

/// Which operators need their records repartitioned.
///
/// The records of a topic are taken to be partitioned by their keys, and stay so along outputs that keep keys. An
/// operator that needs it for one of the things it reads gets all of them through its topic: what another producer's
/// partitioner did with the same key is not known.
fn repartitions(graph: &Graph, wiring: &Wiring<'_>) -> Vec<bool> {
    let mut repartitions = Vec::with_capacity(wiring.operators.len());
    let mut sorted_by_key = Vec::with_capacity(wiring.operators.len());
    for (operator, wired) in graph.operators().iter().zip(&wiring.operators) {
        let keeps = wired.reads.iter().all(|read| match read.slot {
            Slot::Source(_) => true,
            Slot::Port { operator, port } => {
                sorted_by_key[operator] && wiring.operators[operator].declaration.outputs[port].keeps_keys
            }
        });
        let asked_for = operator.key.is_some() || operator.repartition.is_some();
        let through_topic = asked_for || (wired.declaration.role.is_keyed() && !keeps);
        repartitions.push(through_topic);
        sorted_by_key.push(through_topic || keeps);
    }
    repartitions
}

/// Numbers the parts of the graph that are connected without repartition topics. Sources that nobody reads have none.
fn connect(graph: &Graph, wiring: &Wiring<'_>, repartitions: &[bool]) -> (Vec<Option<usize>>, Vec<usize>) {
    let sources = graph.sources().len();
    let mut parents: Vec<usize> = (0..sources + graph.operators().len()).collect();
    let mut is_read = vec![false; sources];
    let vertex = |slot: Slot| match slot {
        Slot::Source(source) => source,
        Slot::Port { operator, .. } => sources + operator,
    };
    for (index, (wired, through_topic)) in wiring.operators.iter().zip(repartitions).enumerate() {
        for read in &wired.reads {
            if let Slot::Source(source) = read.slot {
                is_read[source] = true;
            }
            if !through_topic {
                let (a, b) = (root(&parents, vertex(read.slot)), root(&parents, sources + index));
                parents[a.max(b)] = a.min(b);
            }
        }
    }
    for slot in wiring.sinks.iter().flatten() {
        if let Slot::Source(source) = slot {
            is_read[*source] = true;
        }
    }
    let mut numbers = BTreeMap::new();
    let mut number = |vertex: usize| {
        let next = numbers.len();
        *numbers.entry(root(&parents, vertex)).or_insert(next)
    };
    let of_sources = is_read.iter().enumerate().map(|(source, is_read)| is_read.then(|| number(source))).collect();
    let of_operators = (0..graph.operators().len()).map(|operator| number(sources + operator)).collect();
    (of_sources, of_operators)
}

fn root(parents: &[usize], mut vertex: usize) -> usize {
    while parents[vertex] != vertex {
        vertex = parents[vertex];
    }
    vertex
}
