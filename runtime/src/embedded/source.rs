//! Records of tasks' inputs, from the log.

use std::sync::Arc;
use std::time::{Duration, Instant};

use std::collections::HashMap;
use wasmill_core::port::{Fault, Fetched, Polled, Position};
use wasmill_core::record::{Offset, TaskId};

use super::catalog::Topic;
use super::log::Log;
use crate::control;
use crate::topology::{Start, Topology};

const MOST_RECORDS: usize = 256;
const MOST_BYTES: usize = 256 << 10;

/// Where inputs end although more may come, for a run that stops at the end of what was there.
pub type Stops = HashMap<(TaskId, u32), Offset>;

/// Reads the inputs of one worker's tasks, each in its turn.
#[derive(Debug)]
pub struct Source {
    log: Log,
    topology: Arc<Topology>,
    stops: Stops,
    inputs: Vec<Input>,
    /// Whose turn it is.
    turn: usize,
}

#[derive(Debug)]
struct Input {
    task: TaskId,
    index: u32,
    /// `None`: the topic has fewer partitions, so this input is empty for ever.
    topic: Option<Topic>,
    repartition: bool,
    next: Offset,
    stop: Option<Offset>,
    /// Whether it was told that `next` is the end.
    told: bool,
}

impl Source {
    /// A source that reads nothing yet.
    pub fn new(log: Log, topology: Arc<Topology>, stops: Stops) -> Self {
        Self { log, topology, stops, inputs: Vec::new(), turn: 0 }
    }

    fn input(&self, task: TaskId, position: Position) -> Result<Input, Fault> {
        let Position { input, next, .. } = position;
        let (topic, _, repartition) = self.topic(task, input)?;
        let topic = (task.partition.0 < topic.partitions).then_some(topic);
        if let Some(topic) = &topic {
            self.log.read(topic, task.partition, next, Some(next), &mut |_, _| false)?;
        }
        let stop = self.stops.get(&(task, input)).copied();
        Ok(Input { task, index: input, topic, repartition, next, stop, told: false })
    }

    fn topic(&self, task: TaskId, input: u32) -> Result<(Topic, Start, bool), Fault> {
        let unknown = || Fault::Fatal(format!("read input {input} of task {task}: the plan has none"));
        let input = self.topology.input(task, input).ok_or_else(unknown)?;
        Ok((self.log.topic(&input.topic)?, input.start, input.repartition))
    }

    /// One round over the inputs, from the one whose turn it is.
    fn round(&mut self) -> Result<Polled, Fault> {
        for step in 0..self.inputs.len() {
            let index = (self.turn + step) % self.inputs.len();
            let Some(input) = self.inputs.get_mut(index) else { break };
            let polled = input.poll(&self.log)?;
            if polled != Polled::Nothing {
                self.turn = index + 1;
                return Ok(polled);
            }
        }
        Ok(Polled::Nothing)
    }
}

impl wasmill_core::port::Source for Source {
    fn assign(&mut self, task: TaskId, positions: &[Position]) -> Result<(), Fault> {
        let inputs = positions.iter().map(|&position| self.input(task, position)).collect::<Result<Vec<_>, _>>()?;
        self.unassign(task)?;
        self.inputs.extend(inputs);
        Ok(())
    }

    fn unassign(&mut self, task: TaskId) -> Result<(), Fault> {
        self.inputs.retain(|input| input.task != task);
        Ok(())
    }

    fn poll(&mut self, wait: Duration) -> Result<Polled, Fault> {
        let deadline = Instant::now() + wait;
        loop {
            let seen = self.log.commits();
            let polled = self.round()?;
            let left = deadline.saturating_duration_since(Instant::now());
            if polled != Polled::Nothing || left.is_zero() {
                return Ok(polled);
            }
            self.log.wait(seen, left);
        }
    }

    fn idle(&mut self, wait: Duration) -> Result<(), Fault> {
        std::thread::sleep(wait);
        Ok(())
    }

    fn start(&mut self, task: TaskId, input: u32) -> Result<Offset, Fault> {
        let (topic, start, _) = self.topic(task, input)?;
        if task.partition.0 >= topic.partitions {
            return Ok(Offset(0));
        }
        Ok(match start {
            Start::Earliest => self.log.start(&topic, task.partition)?,
            Start::Latest => self.log.end(&topic, task.partition)?,
            Start::Time(time) => self.log.at(&topic, task.partition, time)?,
        })
    }
}

impl Input {
    fn poll(&mut self, log: &Log) -> Result<Polled, Fault> {
        let end = match &self.topic {
            Some(topic) => log.end(topic, self.task.partition)?,
            None => self.next,
        };
        let end = self.stop.map_or(end, |stop| stop.min(end));
        match &self.topic {
            Some(topic) if self.next < end => {
                let fetched = self.fetch(log, topic, end)?;
                self.next = fetched.next;
                self.told = false;
                Ok(Polled::Records(fetched))
            }
            _ if self.told => Ok(Polled::Nothing),
            _ => {
                self.told = true;
                Ok(Polled::End { task: self.task, input: self.index, next: self.next })
            }
        }
    }

    fn fetch(&self, log: &Log, topic: &Topic, end: Offset) -> Result<Fetched, Fault> {
        let mut fetched = Fetched { task: self.task, input: self.index, ..Fetched::default() };
        let Fetched { records, offsets, controls, .. } = &mut fetched;
        let next = log.read(topic, self.task.partition, self.next, Some(end), &mut |offset, message| {
            let count = records.len() + controls.len();
            if count >= MOST_RECORDS || count > 0 && records.bytes() + message.size() > MOST_BYTES {
                return false;
            }
            if let Some(control) = self.repartition.then(|| control::decode(&message)).flatten() {
                controls.push((records.len(), control));
            } else {
                records.push(message);
                offsets.push(offset.0);
            }
            true
        })?;
        fetched.next = next;
        Ok(fetched)
    }
}
