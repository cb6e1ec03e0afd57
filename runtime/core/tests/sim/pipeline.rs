//! The pipeline that is run, and what goes through it.

use std::sync::Arc;
use std::time::Duration;

use wasmill_core::operator::{Declaration, Operator, OutputDeclaration};
use wasmill_core::port::{ChangelogId, Target};
use wasmill_core::record::{Partition, TaskId};
use wasmill_core::scope::Limits;
use wasmill_core::stage::{Edge, Input, Node, OnError, Progress, Retry, Stage};

use crate::log::{COUNTS, Entry, LETTERS, LINES, Log, MORE, PARTITIONS, Record, WORDS};
use crate::operators::OUT;
use crate::random::Random;
use crate::versions::{Versions, plugin};

/// Two sources into a splitter, a repartition topic, a counter. Records that fail go to dead letters, or are skipped.
pub fn stages(skips: bool) -> Vec<Arc<Stage>> {
    stages_of(skips, Versions::FIRST)
}

/// The same with other versions of the operators.
pub fn stages_of(skips: bool, versions: Versions) -> Vec<Arc<Stage>> {
    let running = versions.operators();
    let node = |stage: usize, operator: &str, changelog, to| Node {
        operator: operator.into(),
        plugin: plugin(versions.0[stage]),
        changelog,
        outputs: outputs(running[stage].declaration(), to),
        on_error: if skips { OnError::Skip } else { OnError::DeadLetter(LETTERS) },
        retry: Retry { attempts: 4, backoff: Duration::from_millis(100) },
        limits: Limits::default(),
    };
    let entry = vec![Edge::Node { node: 0, input: 0 }];
    let records = Progress::Records { out_of_order: Duration::ZERO, idle_after: Duration::from_mins(10) };
    let upstream = (0..PARTITIONS).map(|p| TaskId { stage: 0, partition: Partition(p) }).collect();
    let source = |topic: &str| Input { topic: topic.into(), progress: records.clone(), edges: entry.clone() };
    let lines = Stage {
        name: "lines".into(),
        inputs: vec![source("lines"), source("more")],
        nodes: vec![node(0, "split", None, WORDS)],
        repartitions: vec![WORDS],
    };
    let words = Stage {
        name: "count".into(),
        inputs: vec![Input { topic: "words".into(), progress: Progress::Controls(upstream), edges: entry }],
        nodes: vec![node(1, "count", Some(ChangelogId(0)), COUNTS)],
        repartitions: Vec::new(),
    };
    vec![Arc::new(lines), Arc::new(words)]
}

/// The same stages with another patience for what may work later.
pub fn waiting(stages: &[Arc<Stage>], retry: Retry) -> Vec<Arc<Stage>> {
    let waiting = |stage: &Arc<Stage>| {
        let mut stage = Stage::clone(stage);
        stage.nodes.iter_mut().for_each(|node| node.retry = retry);
        Arc::new(stage)
    };
    stages.iter().map(waiting).collect()
}

/// Records go out by the output of that name, and nowhere by others.
fn outputs(declaration: &Declaration, to: Target) -> Vec<Vec<Edge>> {
    let way = |output: &OutputDeclaration| if output.name == OUT { vec![Edge::Target(to)] } else { Vec::new() };
    declaration.outputs.iter().map(way).collect()
}

pub fn operators() -> Vec<Vec<Box<dyn Operator>>> {
    operators_of(Versions::FIRST)
}

pub fn operators_of(versions: Versions) -> Vec<Vec<Box<dyn Operator>>> {
    versions.operators().map(|operator| vec![operator]).into()
}

pub fn tasks() -> Vec<TaskId> {
    (0..2).flat_map(|stage| (0..PARTITIONS).map(move |p| TaskId { stage, partition: Partition(p) })).collect()
}

/// Lines with their event times, by partition: those of the first source, then those of the second.
pub type Lines = Vec<Vec<(i64, String)>>;

/// Twenty lines in which everything happens.
pub fn few() -> Lines {
    let partitions: [&[(i64, &str)]; 4] = [
        &[(0, "a b"), (3, "b c a"), (4, "no"), (12, "xé b"), (20, "a pox a"), (30, "c pox")],
        &[(1, "b"), (2, "poison"), (8, "a c"), (15, "b b ß"), (22, "x a"), (31, "d")],
        &[(2, "a"), (9, "é"), (18, "d a"), (33, "b")],
        &[(1, "c"), (7, "slow"), (19, "a"), (32, "é d")],
    ];
    partitions.map(|lines| lines.iter().map(|&(at, line)| (at, line.to_owned())).collect()).into()
}

/// Lines among which some kill the process: at once, behind the repartition, and by a timer, two of them next to each other.
pub fn deadly() -> Lines {
    let mut lines = few();
    for (partition, index, at, line) in
        [(0, 2, 3, "kill"), (0, 5, 13, "a die b"), (1, 1, 2, "bomb"), (2, 1, 3, "kill"), (2, 2, 4, "é die die")]
    {
        lines[partition].insert(index, (at, line.to_owned()));
    }
    lines
}

/// So many lines, by a seed.
pub fn many(count: usize, seed: u64) -> Lines {
    let words = ["a", "b", "c", "d", "é", "ß", "longer"];
    let bad = ["xé", "pox", "dud", "never"];
    let mut random = Random(seed);
    let mut lines: Lines = vec![Vec::new(); 4];
    for number in 0..count {
        let line = match random.below(60) {
            0 => "poison".to_owned(),
            1 => "no".to_owned(),
            3 => "later a".to_owned(),
            4..7 => "tea tip".to_owned(),
            2 => "slow".to_owned(),
            _ => {
                let mut word = || {
                    let words = if random.one_in(50) { &bad[..] } else { &words };
                    words[random.below(words.len() as u64) as usize]
                };
                (0..2).map(|_| word()).collect::<Vec<_>>().join(" ")
            }
        };
        lines[number % 4].push((number as i64 + random.below(4) as i64, line));
    }
    lines
}

/// The same, three of which kill the process, each in its way.
pub fn many_deadly(count: usize, seed: u64) -> Lines {
    let mut lines = many(count, seed);
    let mut random = Random(!seed);
    for line in ["kill", "a die", "bomb b"] {
        let lines = &mut lines[random.below(4) as usize];
        let index = random.below(lines.len() as u64) as usize;
        let at = lines[index].0;
        lines.insert(index, (at, line.to_owned()));
    }
    lines
}

/// Lines that wait for what is away, in both partitions of both sources, and one that waits for what never comes.
pub fn patient() -> Lines {
    let mut lines = few();
    for (partition, index, at, line) in [
        (0, 1, 1, "later b"),
        (1, 0, 0, "later é"),
        (2, 1, 3, "later c a"),
        (3, 1, 3, "later"),
        (0, 3, 3, "c never c"),
        (1, 3, 9, "dud a"),
    ] {
        lines[partition].insert(index, (at, line.to_owned()));
    }
    lines
}

/// Puts lines into the sources.
pub fn feed(log: &mut Log, lines: &Lines) {
    for (index, lines) in (0..).zip(lines) {
        let topic = if index < PARTITIONS { LINES } else { MORE };
        for (at, line) in lines {
            let record = Record { key: None, value: Some(line.clone().into()), headers: None, at: *at };
            log.append((topic, index % PARTITIONS), Entry::Record(record));
        }
    }
}
