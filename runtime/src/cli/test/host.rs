//! The task of one operator, driven by hand: the real plugin under the real engine, without a log.

use std::collections::VecDeque;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use wasmill_core::batch::{Batch, Headers, Message};
use wasmill_core::operator::{Declaration, Operator, Role};
use wasmill_core::port::{ChangelogId, Control, Fetched, Lease, Mark, Stores as _, Target};
use wasmill_core::record::{Now, Offset, Partition, TaskId, Timestamp};
use wasmill_core::scope::Limits;
use wasmill_core::stage::{Edge, Input, Node, OnError, Progress, Retry, Stage};
use wasmill_core::state::{self, State};
use wasmill_core::task::memory::Memory;
use wasmill_core::task::row::TaskRow;
use wasmill_core::task::{Task, Turned};

use super::case::{Expected, Step};
use crate::plugin::Placed;
use crate::store::memory::Stores;
use crate::topology::Topology;

const TASK: TaskId = TaskId { stage: 0, partition: Partition(0) };

/// Who tells the task how far event time has come: the case.
const TELLER: TaskId = TaskId { stage: 1, partition: Partition(0) };

/// An operator at its task, and what came of it that nothing was expected of yet.
pub(super) struct Host {
    task: Task,
    operators: Vec<Box<dyn Operator>>,
    declaration: Declaration,
    clock: Timestamp,
    greatest: Timestamp,
    next: Offset,
    /// Records by output; the last holds what failed.
    came: Vec<VecDeque<Batch>>,
}

impl Host {
    pub(super) fn new(placed: &Placed) -> Result<Self> {
        let declaration = placed.declaration().clone();
        let stage = Arc::new(stage(&declaration, format!("sha256:{}", placed.digest())));
        let mut memory = Memory::new(&stage, vec![Offset(0)]);
        let rows = match (stage.nodes.first().and_then(|node| node.changelog), memory.operators.first_mut()) {
            (Some(changelog), Some(remembered)) => {
                let topology = Topology { changelogs: vec!["cases".to_owned()], ..Topology::default() };
                let store = Stores::new(Arc::new(topology)).open(TASK, changelog)?;
                let kept = state::number(&declaration.states, &mut remembered.states);
                Some(Box::new(State::new(store, kept)))
            }
            _ => None,
        };
        let clock = Timestamp(0);
        let task = Task::new(TASK, Lease::default(), stage, &TaskRow::default(), memory, vec![rows], clock);
        let came = vec![VecDeque::new(); declaration.outputs.len() + 1];
        let operators: Vec<Box<dyn Operator>> = vec![Box::new(placed.instance())];
        Ok(Self { task, operators, declaration, clock, greatest: Timestamp::NONE, next: Offset(0), came })
    }

    /// Does what a step says. Answers what differs from what it expects.
    pub(super) fn step(&mut self, step: &Step) -> Result<Option<String>> {
        match step {
            Step::Send(records) => self.send(records)?,
            Step::Watermark(to) => self.accept(Batch::default(), vec![(0, *to)]),
            Step::ProcessingTime(to) => self.clock = self.clock.max(*to),
            Step::Expect(expected) => return self.expect(expected),
            Step::Failure(reason) => return Ok(self.expect_failure(reason)),
        }
        self.settle()?;
        Ok(None)
    }

    /// What came and was not expected, if anything.
    pub(super) fn unexpected(&self) -> Option<String> {
        let (output, record) = self.came.iter().enumerate().find_map(|(n, came)| Some((n, came.front()?.get(0)?)))?;
        Some(match self.declaration.outputs.get(output) {
            Some(output) => format!("{} of output {}", shown(&record), output.name),
            None => format!("{} failed: {}", shown(&record), reason(&record)),
        })
    }

    /// Gives records. As from a source, event time comes up to just before the latest of them.
    fn send(&mut self, records: &Batch) -> Result<()> {
        let mut told = Vec::new();
        for (&timestamp, behind) in records.timestamps().iter().zip(1..) {
            self.greatest = self.greatest.max(Timestamp(timestamp));
            told.push((behind, Timestamp(self.greatest.0.checked_sub(1).context("a timestamp is out of range")?)));
        }
        self.accept(records.clone(), told);
        Ok(())
    }

    fn accept(&mut self, records: Batch, told: Vec<(usize, Timestamp)>) {
        let offsets: Vec<_> = (self.next.0..).take(records.len()).collect();
        self.next = Offset(self.next.0 + offsets.len() as i64);
        let control = |(at, watermark)| (at, Control { from: TELLER, watermark, idle: false });
        let controls = told.into_iter().map(control).collect();
        let fetched = Fetched { task: TASK, input: 0, records, offsets, controls, next: self.next, mark: Mark::NONE };
        self.task.accept(fetched, self.clock);
    }

    /// Makes turns until nothing is left to do. A pause for a transient error moves the clock.
    fn settle(&mut self) -> Result<()> {
        loop {
            self.clock = self.task.paused().map_or(self.clock, |until| until.max(self.clock));
            if !self.task.has_work() && !self.task.tick(Now::both(self.clock))? {
                return Ok(());
            }
            let Turned::Done(effects) = self.task.turn(&mut self.operators, Now::both(self.clock), &mut |_| Ok(()))?
            else {
                continue;
            };
            for (Target(output), flow) in effects.outputs {
                let Some(came) = self.came.get_mut(usize::from(output)) else { continue };
                for (_, message) in flow.iter() {
                    let mut record = Batch::default();
                    record.push(message);
                    came.push_back(record);
                }
            }
        }
    }

    fn expect(&mut self, expected: &Expected) -> Result<Option<String>> {
        let outputs = &self.declaration.outputs;
        let Some(output) = outputs.iter().position(|output| output.name == expected.output) else {
            let names: Vec<_> = outputs.iter().map(|output| output.name.as_str()).collect();
            return Ok(Some(format!("there is no output {}, only {}", expected.output, names.join(", "))));
        };
        let Some(came) = self.came.get_mut(output).and_then(VecDeque::pop_front) else {
            let else_came = self.unexpected().map(|came| format!("; there is {came}")).unwrap_or_default();
            return Ok(Some(format!("nothing more came of output {}{else_came}", expected.output)));
        };
        let (Some(came), Some(wanted)) = (came.get(0), expected.record.get(0)) else { bail!("an empty batch") };
        for part in &expected.parts {
            let same = match part.as_str() {
                "key" => came.key == wanted.key,
                "value" => came.value == wanted.value,
                "timestamp" => came.timestamp == wanted.timestamp,
                "headers" => headers(&came) == headers(&wanted),
                _ => true,
            };
            if !same {
                return Ok(Some(format!("another {part}: expected {}, got {}", shown(&wanted), shown(&came))));
            }
        }
        Ok(None)
    }

    fn expect_failure(&mut self, part: &str) -> Option<String> {
        let Some(failed) = self.came.last_mut().and_then(VecDeque::pop_front) else {
            let else_came = self.unexpected().map(|came| format!("; there is {came}")).unwrap_or_default();
            return Some(format!("no record failed{else_came}"));
        };
        let reason = failed.get(0).map(|record| reason(&record)).unwrap_or_default();
        (!reason.contains(part)).then(|| format!("another reason: expected {part:?} in it, got {reason:?}"))
    }
}

/// The operator alone: each output is a target, and behind them stand the dead letters.
fn stage(declaration: &Declaration, plugin: String) -> Stage {
    let outputs: Vec<_> = (0..declaration.outputs.len()).map(|n| vec![Edge::Target(Target(n as u16))]).collect();
    let letters = Target(outputs.len() as u16);
    let node = Node {
        operator: declaration.name.clone(),
        plugin,
        changelog: (declaration.role == Role::Process).then_some(ChangelogId(0)),
        outputs,
        on_error: OnError::DeadLetter(letters),
        retry: Retry::default(),
        limits: Limits::default(),
    };
    let input = Input {
        topic: "cases".into(),
        progress: Progress::Controls(vec![TELLER]),
        edges: vec![Edge::Node { node: 0, input: 0 }],
    };
    Stage { name: "cases".to_owned(), inputs: vec![input], nodes: vec![node], repartitions: Vec::new() }
}

fn headers<'a>(message: &Message<'a>) -> Vec<(&'a str, Option<&'a [u8]>)> {
    message.headers.map(Headers::new).into_iter().flatten().collect()
}

/// Why a record failed, as its dead letter says.
fn reason(message: &Message<'_>) -> String {
    let reason = headers(message).into_iter().find(|(name, _)| *name == "wasmill-error-reason");
    String::from_utf8_lossy(reason.and_then(|(_, value)| value).unwrap_or_default()).into_owned()
}

fn shown(message: &Message<'_>) -> String {
    let text =
        |part: Option<&[u8]>| part.map_or("null".to_owned(), |part| format!("{:?}", String::from_utf8_lossy(part)));
    format!("key {}, value {}, timestamp {}", text(message.key), text(message.value), message.timestamp.0)
}
