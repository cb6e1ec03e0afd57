//! The records of a worker's tasks.

mod lane;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;
use wasmill_core::port::{self, Fault, Polled, Position};
use wasmill_core::record::{Offset, TaskId};

use self::lane::{Feed, Lane};
use super::client::{ASK, Error};
use super::ends::Ends;
use super::fault::asked;
use super::pipeline::Pipeline;
use crate::topology::Start;

/// Records of a partition that are fetched ahead where a stage reads what another one sends to it: a consumer hands out
/// records in the order in which they came, so that those of the second stage wait behind all that was fetched of the first
/// one's source.
const AHEAD_OF_REPARTITION: u32 = 10_000;

/// How long one consumer is waited for before the next has its turn, where a worker needs several.
const TURN: Duration = Duration::from_millis(2);

/// Reads the partitions of a worker's tasks, as a rule with one consumer. A consumer cannot read a partition twice, so
/// an input whose topic another input of the plan reads too has a consumer of its own.
pub struct Source {
    pipeline: Arc<Pipeline>,
    lanes: Vec<Lane>,
    lane_of: HashMap<(u16, u32), usize>,
    turn: usize,
    ready: VecDeque<Polled>,
    ends: Ends,
    stops: HashMap<(TaskId, u32), Offset>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("lanes", &self.lanes.len()).finish_non_exhaustive()
    }
}

impl Source {
    pub(super) fn new(pipeline: &Arc<Pipeline>) -> Result<Self, Error> {
        let mut readers: Vec<Vec<&str>> = Vec::new();
        let mut lane_of = HashMap::new();
        for (stage, inputs) in (0..).zip(&pipeline.topology.inputs) {
            for (index, input) in (0..).zip(inputs).filter(|(_, input)| input.file.is_none()) {
                let free = readers.iter().position(|topics| !topics.contains(&input.topic.as_str()));
                let lane = free.unwrap_or_else(|| {
                    readers.push(Vec::new());
                    readers.len() - 1
                });
                readers[lane].push(&input.topic);
                lane_of.insert((stage, index), lane);
            }
        }
        let repartitions = pipeline.topology.inputs.iter().flatten().any(|input| input.repartition);
        let (client, group) = (&pipeline.client, pipeline.identity.group());
        let config = if repartitions { client.data_ahead(&group, AHEAD_OF_REPARTITION) } else { client.data(&group) };
        let lanes = readers.iter().map(|_| Lane::new(&config)).collect::<Result<_, _>>()?;
        let pipeline = Arc::clone(pipeline);
        Ok(Self {
            pipeline,
            lanes,
            lane_of,
            turn: 0,
            ready: VecDeque::new(),
            ends: Ends::default(),
            stops: HashMap::new(),
        })
    }

    /// Stops an input at an offset: nothing from there on is handed out, and it ends there. Holds for the assignments
    /// that follow.
    pub fn stop_at(&mut self, task: TaskId, input: u32, offset: Offset) {
        self.stops.insert((task, input), offset);
    }

    /// Where an input ends now, open transactions included; nothing if it does not have the task's partition.
    pub fn end(&mut self, task: TaskId, input: u32) -> Result<Option<Offset>, Fault> {
        let Some(topic) = self.pipeline.input(task, input) else { return Ok(None) };
        self.ends.end(&self.pipeline.client, &topic.topic, task.partition).map(Some)
    }

    fn lane(&mut self, task: TaskId, input: u32) -> Option<&mut Lane> {
        self.lanes.get_mut(*self.lane_of.get(&(task.stage, input))?)
    }

    /// Has the client of an input learn of a partition that was added after it last asked.
    fn learn(&mut self, task: TaskId, input: u32, topic: &str) -> Result<(), Fault> {
        let later = self.pipeline.came_later(task);
        let Some(lane) = self.lane(task, input).filter(|_| later) else { return Ok(()) };
        let asked_for = lane.client().fetch_metadata(Some(topic), ASK);
        asked_for.map(drop).map_err(|error| asked(&format!("ask for the partitions of {topic}"), &error))
    }

    fn begin(&mut self, task: TaskId, position: Position) -> Result<(), Fault> {
        let Position { input, next, .. } = position;
        let stop = self.stops.get(&(task, input)).copied();
        let topic = self.pipeline.input(task, input).map(|input| (input.topic.clone(), input.repartition));
        let over = stop.is_some_and(|stop| next >= stop);
        let (Some((topic, repartition)), false) = (topic, over) else {
            self.ready.push_back(Polled::End { task, input, next });
            return Ok(());
        };
        self.learn(task, input, &topic)?;
        let feed = Feed { task, input, next, stop, repartition };
        let partition = task.partition;
        let Some(lane) = self.lane(task, input) else { return Ok(()) };
        lane.read(&topic, partition, feed).map_err(|error| failed("assign", &topic, &error))
    }
}

fn failed(what: &str, topic: &str, error: &KafkaError) -> Fault {
    Fault::Fatal(format!("{what} partitions of {topic}: {error}"))
}

impl port::Source for Source {
    fn assign(&mut self, task: TaskId, positions: &[Position]) -> Result<(), Fault> {
        self.unassign(task)?;
        positions.iter().try_for_each(|&position| self.begin(task, position))
    }

    fn unassign(&mut self, task: TaskId) -> Result<(), Fault> {
        self.ready.retain(|end| !matches!(end, Polled::End { task: whose, .. } if *whose == task));
        for lane in &mut self.lanes {
            lane.leave(task).map_err(|error| Fault::Fatal(format!("unassign task {task}: {error}")))?;
        }
        Ok(())
    }

    fn poll(&mut self, wait: Duration) -> Result<Polled, Fault> {
        if let Some(end) = self.ready.pop_front() {
            return Ok(end);
        }
        let deadline = Instant::now() + wait;
        let lanes = self.lanes.len();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            for _ in 0..lanes {
                self.turn = (self.turn + 1) % lanes;
                let patience = if lanes == 1 { left } else { left.min(TURN) };
                match self.lanes[self.turn].poll(patience)? {
                    Polled::Nothing => {}
                    polled => return Ok(polled),
                }
            }
            if left.is_zero() {
                return Ok(Polled::Nothing);
            }
            if lanes == 0 {
                std::thread::sleep(left);
            }
        }
    }

    fn idle(&mut self, wait: Duration) -> Result<(), Fault> {
        std::thread::sleep(wait);
        Ok(())
    }

    fn start(&mut self, task: TaskId, input: u32) -> Result<Offset, Fault> {
        let Some(topic) = self.pipeline.input(task, input).cloned() else { return Ok(Offset(0)) };
        self.learn(task, input, &topic.topic)?;
        let Some(lane) = self.lane(task, input) else { return Ok(Offset(0)) };
        let partition = task.partition.0 as i32;
        let (first, end) = lane
            .client()
            .fetch_watermarks(&topic.topic, partition, ASK)
            .map_err(|error| asked(&format!("ask where {}/{partition} starts", topic.topic), &error))?;
        let client = &self.pipeline.client;
        Ok(match topic.start {
            Start::Earliest => Offset(first),
            // Nobody could know of a partition that was added: what is in it was not there before.
            Start::Latest if self.pipeline.came_later(task) => Offset(first),
            Start::Latest => Offset(end),
            Start::Time(time) => self.ends.first_at(client, &topic.topic, task.partition, time)?.unwrap_or(Offset(end)),
        })
    }
}
