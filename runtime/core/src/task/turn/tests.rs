//! What a turn holds in memory is bounded, however much its operators emit.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::batch::ABSENT;
use crate::flow::Emitted;
use crate::layers::tests::Map;
use crate::operator::{Call, CallError, Declaration, Entry, Native, Outcome, OutputDeclaration, Role};
use crate::port::{ChangelogId, Fetched, Lease};
use crate::record::{Now, Offset};
use crate::scope::{Limits, Scope};
use crate::stage::{Input, Node, OnError, Progress, Retry};
use crate::task::row::TaskRow;
use crate::task::{Task, Turned};

/// Bytes of a record.
const SIZE: usize = 150_000;

/// When timers are due.
const LATER: Timestamp = Timestamp(1_000);

/// Emits copies of what it is given; one with state when the timer fires that it sets for each record.
struct Copies {
    declaration: Declaration,
    copies: usize,
}

impl Copies {
    fn new(role: Role, copies: usize) -> Self {
        let declaration = Declaration {
            name: "copies".into(),
            version: "1".into(),
            role,
            inputs: vec!["in".into()],
            outputs: vec![OutputDeclaration { name: "out".into(), keeps_keys: true }],
            states: Vec::new(),
            metrics: Vec::new(),
        };
        Self { declaration, copies }
    }
}

impl Native for Copies {
    fn declaration(&self) -> &Declaration {
        &self.declaration
    }

    fn run(&mut self, call: &Call, scope: &mut Scope) -> Result<Outcome, CallError> {
        for (message, index) in call.records.iter().zip(0..) {
            let key = message.key.unwrap_or_default();
            if self.declaration.role == Role::Process && call.entry == Entry::Process {
                scope.set_timer(Domain::EventTime, key, b"", LATER)?;
                continue;
            }
            let data = [key, &vec![b'x'; SIZE]].concat();
            let (key, all) = (key.len() as i32, data.len() as i32);
            let spans = [0, key, 0, all, 0, ABSENT].repeat(self.copies);
            let timestamps = vec![message.timestamp.0; self.copies];
            let emitted = Emitted { timestamps: &timestamps, spans: &spans, data: &data };
            scope.emit(0, emitted, &vec![index; self.copies])?;
        }
        Ok(Outcome::default())
    }
}

/// Operators one behind the other, and a task of their stage.
fn chain(operators: &[(Role, usize)]) -> (Task, Vec<Box<dyn Operator>>) {
    let last = operators.len() - 1;
    let nodes = operators.iter().zip(0..).map(|(&(role, _), node)| Node {
        operator: format!("o{node}"),
        plugin: "copies".into(),
        changelog: role.is_keyed().then_some(ChangelogId(0)),
        outputs: vec![vec![if node == last {
            Edge::Target(Target(0))
        } else {
            Edge::Node { node: node + 1, input: 0 }
        }]],
        on_error: OnError::Stop,
        retry: Retry::default(),
        limits: Limits::default(),
    });
    let progress = Progress::Records { out_of_order: Duration::ZERO, idle_after: Duration::ZERO };
    let inputs = vec![Input { topic: "in".into(), progress, edges: vec![Edge::Node { node: 0, input: 0 }] }];
    let stage = Arc::new(Stage { name: "s".into(), inputs, nodes: nodes.collect(), repartitions: Vec::new() });
    let memory = Memory::new(&stage, vec![Offset(0)]);
    let rows = |&(role, _): &(Role, usize)| {
        role.is_keyed().then(|| Box::new(State::new(Box::new(Map::default()), Arc::new([]))))
    };
    let states = operators.iter().map(rows).collect();
    let task = Task::new(TaskId::default(), Lease::default(), stage, &TaskRow::default(), memory, states, Timestamp(0));
    let made = operators.iter().map(|&(role, copies)| Box::new(Copies::new(role, copies)) as Box<dyn Operator>);
    (task, made.collect())
}

/// Has so many records processed, of which the last makes timers due. Answers how many copies of each came out in each
/// turn that emitted some.
fn process(operators: &[(Role, usize)], count: i64) -> Vec<BTreeMap<String, usize>> {
    let (mut task, mut operators) = chain(operators);
    let mut records = Batch::default();
    for number in 0..count {
        let (key, timestamp) = (format!("{number:04}"), if number == count - 1 { LATER.plus(1) } else { Timestamp(0) });
        records.push(Message { key: Some(key.as_bytes()), value: None, headers: None, timestamp });
    }
    let (offsets, next) = ((0..count).collect(), Offset(count));
    task.accept(Fetched { records, offsets, next, ..Fetched::default() }, Timestamp(0));
    let now = Now { time: Timestamp(0), steady: Timestamp(0) };
    let mut turns = Vec::new();
    while task.has_work() {
        let Turned::Done(effects) = task.turn(&mut operators, now, &mut |_| Ok(())).unwrap() else {
            panic!("a turn was dropped")
        };
        let flows = effects.outputs.iter().map(|(_, flow)| flow);
        let bytes: usize = flows.clone().flat_map(|flow| flow.chunks()).map(Chunk::bytes).sum();
        let most = MAX_HELD + Limits::default().output;
        assert!(bytes <= most, "a turn emits {bytes} bytes, the limit is {most}");
        let mut emitted = BTreeMap::new();
        for (_, message) in flows.flat_map(|flow| flow.iter()) {
            let key = String::from_utf8(message.key.unwrap().to_vec()).unwrap();
            *emitted.entry(key).or_default() += 1;
        }
        turns.extend((!emitted.is_empty()).then_some(emitted));
    }
    turns
}

/// Each record came out in one turn, with all its copies, and behind those before it.
fn check(turns: &[BTreeMap<String, usize>], count: usize, copies: usize) {
    let all: Vec<_> = turns.iter().flatten().collect();
    let expected: Vec<_> = (0..count).map(|number| (format!("{number:04}"), copies)).collect();
    assert_eq!(all, expected.iter().map(|(key, copies)| (key, copies)).collect::<Vec<_>>());
}

/// 400 records of which 60 MB come at the second operator, and 240 MB go out.
#[test]
fn records_that_become_too_much_are_done_in_several_turns() {
    let turns = process(&[(Role::Transform, 1), (Role::Transform, 4)], 400);
    check(&turns, 400, 4);
    assert!((4..=8).contains(&turns.len()), "{} turns", turns.len());
}

/// The same of 400 timers that are due at once.
#[test]
fn timers_that_become_too_much_are_fired_in_several_turns() {
    let turns = process(&[(Role::Process, 1), (Role::Transform, 4)], 400);
    check(&turns, 400, 4);
    assert!((4..=10).contains(&turns.len()), "{} turns", turns.len());
}

/// 1,200 timers, whose 180 MB are sent as they are.
#[test]
fn what_timers_emit_is_sent_before_the_next_ones_fire() {
    let turns = process(&[(Role::Process, 1)], 1_200);
    check(&turns, 1_200, 1);
    assert!(turns.len() > 1);
}

/// A single record whose 120 MB no smaller turn could make less of.
#[test]
fn one_record_that_becomes_too_much_goes_through() {
    let turns = process(&[(Role::Transform, 100), (Role::Transform, 8)], 1);
    check(&turns, 1, 800);
}
