//! Random pipelines, and what must become of records in them, told the plain way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use wasmill_core::batch::ABSENT;
use wasmill_core::flow::Emitted;
use wasmill_core::operator::{
    Call, CallError, Declaration, Failure, Operator, Outcome, OutputDeclaration, Role, StateDeclaration, StateKind,
};
use wasmill_core::port::{ChangelogId, Target};
use wasmill_core::record::{Partition, TaskId};
use wasmill_core::scope::{Limits, Scope};
use wasmill_core::stage::{Edge, Input, Node, OnError, Progress, Retry, Stage};
use wasmill_core::task::blame::Cause;
use wasmill_core::task::memory::Counts;

use crate::clock::outside;
use crate::log::{COUNTS, LETTERS, PARTITIONS, WORDS};
use crate::pipeline::Lines;
use crate::random::Random;

/// What an operator emits for a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Shape {
    /// One record.
    Passes,
    /// Two.
    Doubles,
    /// Two of three.
    Filters,
    /// One at the first output or one at the second.
    Routes,
    /// One at each.
    Copies,
}

#[derive(Clone, Debug)]
struct Part {
    name: String,
    shape: Shape,
    keyed: bool,
    fails: bool,
    skips: bool,
    outputs: Vec<Vec<Edge>>,
}

/// A pipeline of two stages: stateless operators behind two sources, and keyed ones behind a repartition topic.
#[derive(Clone, Debug)]
pub struct Graph {
    /// Where each source leads.
    sources: [Vec<Edge>; 2],
    stages: [Vec<Part>; 2],
}

/// What becomes of a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    Handled,
    /// It is a failure of its own.
    Rejected,
    /// The call with it fails.
    Poison,
    /// It waits for what is away at times.
    Waits,
}

fn hash(text: &str) -> u64 {
    Random(text.bytes().fold(7, |hash: u64, byte| hash.wrapping_mul(31).wrapping_add(u64::from(byte)))).next()
}

fn key(value: &str) -> String {
    format!("k{}", hash(value) % 6)
}

impl Part {
    fn fate(&self, value: &str) -> Fate {
        match hash(&format!("{value}?{}", self.name)) % 23 {
            0 | 1 if self.fails => Fate::Rejected,
            2 if self.fails => Fate::Poison,
            3 => Fate::Waits,
            _ => Fate::Handled,
        }
    }

    /// What it emits: output and value.
    fn emits(&self, value: &str) -> Vec<(u32, String)> {
        let (of, told) = (hash(value), format!("{value}{}", self.name));
        match self.shape {
            Shape::Doubles => vec![(0, format!("{told}1")), (0, format!("{told}2"))],
            Shape::Filters if of.is_multiple_of(3) => vec![],
            Shape::Passes | Shape::Filters => vec![(0, told)],
            Shape::Routes => vec![((of % 2) as u32, told)],
            Shape::Copies => vec![(0, format!("{told}l")), (1, format!("{told}r"))],
        }
    }

    fn key_of(&self, given: &str, emitted: &str) -> String {
        // A keyed operator keeps its keys.
        if self.keyed { given.to_owned() } else { key(emitted) }
    }
}

impl Graph {
    pub fn new(random: &mut Random) -> Self {
        let (first, second) = (1 + random.below(3) as usize, 1 + random.below(2) as usize);
        let stages = [stage(random, 'a', first, WORDS), stage(random, 'p', second, COUNTS)];
        let last = random.below(first as u64) as usize;
        let entry = |node| vec![Edge::Node { node, input: 0 }];
        Self { sources: [entry(0), entry(last)], stages }
    }

    pub fn stages(&self) -> Vec<Arc<Stage>> {
        let records = Progress::Records { out_of_order: Duration::ZERO, idle_after: Duration::from_mins(10) };
        let upstream = (0..PARTITIONS).map(|p| TaskId { stage: 0, partition: Partition(p) }).collect();
        let input =
            |topic: &str, progress, edges: &[Edge]| Input { topic: topic.into(), progress, edges: edges.to_vec() };
        let [lines, more] = &self.sources;
        let sources = vec![input("lines", records.clone(), lines), input("more", records, more)];
        let entry = [Edge::Node { node: 0, input: 0 }];
        let words = vec![input("words", Progress::Controls(upstream), &entry)];
        let stage = |name: &str, inputs, parts: &[Part], repartitions| {
            let nodes = parts.iter().zip(0..).map(|(part, index)| part.node(index)).collect();
            Arc::new(Stage { name: name.into(), inputs, nodes, repartitions })
        };
        let [first, second] = &self.stages;
        vec![stage("lines", sources, first, vec![WORDS]), stage("words", words, second, vec![])]
    }

    pub fn operators(&self) -> Vec<Vec<Box<dyn Operator>>> {
        let operator = |part: &Part| Box::new(Acting::new(part.clone())) as Box<dyn Operator>;
        self.stages.iter().map(|parts| parts.iter().map(operator).collect()).collect()
    }

    /// The names of the operators, by stage.
    pub fn names(&self) -> [Vec<String>; 2] {
        self.stages.clone().map(|parts| parts.into_iter().map(|part| part.name).collect())
    }

    /// What must become of lines.
    pub fn expected(&self, lines: &Lines) -> Expected {
        let mut expected = Expected::default();
        for (partition, lines) in lines.iter().enumerate() {
            for (_, line) in lines {
                self.route(&mut expected, 0, &self.sources[partition / PARTITIONS as usize], "", line);
            }
        }
        expected.outputs.sort();
        expected.letters.sort();
        expected
    }

    fn route(&self, expected: &mut Expected, stage: usize, edges: &[Edge], key: &str, value: &str) {
        for edge in edges {
            match *edge {
                Edge::Node { node, .. } => self.give(expected, stage, node, key, value),
                Edge::Target(WORDS) => self.give(expected, 1, 0, key, value),
                Edge::Target(_) => expected.outputs.push((key.to_owned(), value.to_owned())),
            }
        }
    }

    fn give(&self, expected: &mut Expected, stage: usize, node: usize, key: &str, value: &str) {
        let part = &self.stages[stage][node];
        let counts = expected.counts.entry(part.name.clone()).or_default();
        counts.input += 1;
        let (cause, reason) = match part.fate(value) {
            Fate::Handled | Fate::Waits => {
                counts.handled += 1;
                let emitted = part.emits(value);
                counts.emitted += emitted.len() as u64;
                counts.filtered += u64::from(emitted.is_empty());
                if part.keyed {
                    *expected.states.entry((part.name.clone(), key.to_owned())).or_default() += 1;
                }
                for (output, told) in emitted {
                    self.route(expected, stage, &part.outputs[output as usize], &part.key_of(key, &told), &told);
                }
                return;
            }
            Fate::Rejected => (Cause::Failure, "rejected"),
            Fate::Poison => (Cause::Trap, "poisoned"),
        };
        if part.skips {
            counts.skipped += 1;
        } else {
            counts.dead_lettered.bump(cause);
            expected.letters.push((part.name.clone(), key.to_owned(), value.to_owned(), reason.to_owned()));
        }
    }
}

/// What a reader must find.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct Expected {
    /// Keys and values in any order.
    pub outputs: Vec<(String, String)>,
    /// Operator, key, value, reason, in any order.
    pub letters: Vec<(String, String, String, String)>,
    /// What became of the records of each operator that had any.
    pub counts: BTreeMap<String, Counts>,
    /// Records of each key that a keyed operator handled.
    pub states: BTreeMap<(String, String), u64>,
}

fn stage(random: &mut Random, first: char, count: usize, target: Target) -> Vec<Part> {
    let shapes = [Shape::Passes, Shape::Doubles, Shape::Filters, Shape::Routes, Shape::Copies];
    let keyed = target == COUNTS;
    let mut parts = Vec::new();
    for (index, letter) in (0..count).zip(first..) {
        let shape = shapes[random.below(5) as usize];
        let mut edges = || {
            let mut edges = Vec::new();
            // One output in five leads nowhere, some to several places: an operator that comes later, or out.
            for node in index + 1..count {
                if random.one_in(2) {
                    edges.push(Edge::Node { node, input: 0 });
                }
            }
            if !random.one_in(5) || (index == 0 && count == 1) {
                edges.push(Edge::Target(target));
            }
            edges
        };
        let outputs = vec![edges(), edges()];
        let keyed = keyed && (index == 0 || random.one_in(2));
        let (fails, skips) = (random.one_in(2), random.one_in(3));
        parts.push(Part { name: letter.to_string(), shape, keyed, fails, skips, outputs });
    }
    parts
}

impl Part {
    fn node(&self, index: u16) -> Node {
        Node {
            operator: self.name.clone(),
            plugin: "sha256:0".into(),
            changelog: self.keyed.then_some(ChangelogId(index)),
            outputs: self.outputs.clone(),
            on_error: if self.skips { OnError::Skip } else { OnError::DeadLetter(LETTERS) },
            retry: Retry { attempts: 20, backoff: Duration::from_millis(100) },
            limits: Limits::default(),
        }
    }
}

/// A part at work.
struct Acting {
    part: Part,
    declaration: Declaration,
}

impl Acting {
    fn new(part: Part) -> Self {
        let role = if part.keyed { Role::Process } else { Role::Transform };
        let output = |name: &str| OutputDeclaration { name: name.into(), keeps_keys: part.keyed };
        let count =
            StateDeclaration { name: "count".into(), kind: StateKind::Single, prefetch: false, ttl: None, encoding: 1 };
        let declaration = Declaration {
            name: part.name.clone(),
            version: "1".into(),
            role,
            inputs: vec!["in".into()],
            outputs: vec![output("one"), output("other")],
            states: if part.keyed { vec![count] } else { Vec::new() },
            metrics: Vec::new(),
        };
        Self { part, declaration }
    }

    fn act(&self, call: &Call, scope: &mut Scope) -> Result<Outcome, CallError> {
        let mut outcome = Outcome::default();
        for (message, index) in call.records.iter().zip(0..) {
            let text = |part: Option<&[u8]>| String::from_utf8(part.unwrap_or_default().to_vec()).unwrap();
            let (key, value) = (text(message.key), text(message.value));
            if self.part.keyed {
                // Before it may fail: what a failed record wrote must not stay.
                let count = scope.get(0, key.as_bytes(), b"")?.map_or(0, |stored| stored[1]);
                scope.put(0, key.as_bytes(), b"", &[1, count.wrapping_add(1)])?;
            }
            match self.part.fate(&value) {
                Fate::Poison => return Err(CallError::Trap("poisoned".into())),
                Fate::Waits if (outside() / 150) % 4 == 0 => return Err(CallError::Transient("away".into())),
                Fate::Rejected => outcome.failures.push(Failure { index, reason: "rejected".into() }),
                Fate::Handled | Fate::Waits => {
                    for (output, told) in self.part.emits(&value) {
                        let key = self.part.key_of(&key, &told);
                        let data = [key.as_bytes(), told.as_bytes()].concat();
                        let spans = [0, key.len() as i32, key.len() as i32, told.len() as i32, 0, ABSENT];
                        let emitted = Emitted { timestamps: &[message.timestamp.0], spans: &spans, data: &data };
                        scope.emit(output, emitted, &[index])?;
                    }
                }
            }
        }
        Ok(outcome)
    }
}

impl Operator for Acting {
    fn declaration(&self) -> &Declaration {
        &self.declaration
    }

    fn call(&mut self, mut scope: Box<Scope>) -> (Box<Scope>, Result<Outcome, CallError>) {
        let call = scope.call().clone();
        let result = self.act(&call, &mut scope);
        (scope, result)
    }

    fn renew(&mut self) {}
}
