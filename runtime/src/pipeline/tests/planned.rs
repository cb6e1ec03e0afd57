//! Plans, drawn as text: what each stage reads, where records go, and which topics are made.

use std::{
    collections::BTreeMap,
    fmt::{self, Write},
};

use wasmill_core::operator::{Declaration, OutputDeclaration, Role, StateDeclaration, StateKind};

use super::{check, read};
use crate::pipeline::{
    Plan,
    key::Key,
    plan::{Edge, InputKind, Purpose, Stage},
};

/// A plugin told by its file's name: `process`, then `-in` and `-out` with names; a `!` behind an output says that it
/// does not keep keys; `-state` that it has a state.
fn declaration(path: &str) -> Declaration {
    let mut parts = path.split('_');
    let role = if parts.next() == Some("process") { Role::Process } else { Role::Transform };
    let mut declaration = Declaration {
        name: path.to_owned(),
        version: "1.0.0".to_owned(),
        role,
        inputs: Vec::new(),
        outputs: Vec::new(),
        states: Vec::new(),
        metrics: Vec::new(),
    };
    for part in parts {
        match part.split_once('-') {
            Some(("in", name)) => declaration.inputs.push(name.to_owned()),
            Some(("out", name)) => {
                let port = name.trim_end_matches('!').to_owned();
                declaration.outputs.push(OutputDeclaration { name: port, keeps_keys: !name.ends_with('!') });
            }
            _ => {
                let kind = StateKind::Single;
                declaration.states.push(StateDeclaration {
                    name: part.to_owned(),
                    kind,
                    prefetch: true,
                    ttl: None,
                    encoding: 0,
                });
            }
        }
    }
    declaration
}

fn plan(text: &str) -> String {
    let graph = match read(text) {
        Ok(graph) => graph,
        Err(errors) => return errors.to_string(),
    };
    let plugin = |written: &crate::pipeline::graph::Plugin| match written {
        crate::pipeline::graph::Plugin::Path(path) => path.display().to_string(),
        crate::pipeline::graph::Plugin::Digest(digest) => digest.clone(),
        crate::pipeline::graph::Plugin::BuiltIn(built_in) => built_in.name().to_owned(),
    };
    let declarations: BTreeMap<String, Declaration> = graph
        .operators()
        .iter()
        .filter(|operator| plugin(&operator.plugin) != "unknown")
        .map(|operator| (operator.name.clone(), declaration(&plugin(&operator.plugin))))
        .collect();
    match Plan::new(&graph, &declarations, "c") {
        Ok(plan) => draw(&plan).unwrap().trim_end().to_owned(),
        Err(errors) => errors.to_string(),
    }
}

fn draw(plan: &Plan) -> Result<String, fmt::Error> {
    let mut out = String::new();
    for stage in &plan.stages {
        writeln!(out, "stage {}{}", stage.name, if stage.keyed { ", keyed" } else { "" })?;
        for input in &stage.inputs {
            let kind = match &input.kind {
                InputKind::Source { .. } => "source".to_owned(),
                InputKind::Repartition { writers } => format!("repartition from {}", writers.join(", ")),
            };
            let topics = input.topics.join(", ");
            writeln!(out, "  {kind}, {} ({topics}) -> {}", input.name, edges(plan, stage, &input.edges))?;
        }
        for node in &stage.nodes {
            let stateful = if node.is_stateful() { ", stateful" } else { "" };
            writeln!(out, "  {} {:?}{stateful}", node.operator, node.role)?;
            for port in &node.outputs {
                writeln!(out, "    -> {}", edges(plan, stage, port))?;
            }
        }
    }
    for topic in &plan.topics {
        let note = match &topic.purpose {
            Purpose::Repartition { partitions: Some(n), .. } => format!(", {n} partitions"),
            Purpose::Changelog { stage, .. } => format!(", stage {stage}"),
            _ => String::new(),
        };
        writeln!(out, "{}{note}", topic.name)?;
    }
    Ok(out)
}

fn edges(plan: &Plan, stage: &Stage, edges: &[Edge]) -> String {
    let names: Vec<String> = edges
        .iter()
        .map(|edge| match edge {
            Edge::Node { index, input: 0 } => stage.nodes[*index].operator.clone(),
            Edge::Node { index, input } => format!("{}#{input}", stage.nodes[*index].operator),
            Edge::Sink { index } => format!("sink {}", plan.sinks[*index].name),
            Edge::Repartition { operator, key, .. } => {
                let pointers = key.iter().flat_map(Key::pointers).map(ToString::to_string);
                format!("topic of {operator} [{}]", pointers.collect::<Vec<_>>().join(", "))
            }
        })
        .collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

#[test]
fn graphs_are_cut_into_stages() {
    check(include_str!("plans.txt"), plan);
}

#[test]
fn a_cluster_needs_a_name() {
    let graph =
        read("format-version: 1\nname: p\nsources: {s: {topic: s}}\nsinks: {k: {topic: k, from: s}}\n").unwrap();
    let errors = Plan::new(&graph, &BTreeMap::new(), "My Cluster").unwrap_err();
    assert!(errors.to_string().contains("the cluster cannot be named so: `My Cluster` is not a name"));
}
