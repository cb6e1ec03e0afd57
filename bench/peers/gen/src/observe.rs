//! A contender over an input that is there, measured by how far its output is committed.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::kafka::Brokers;
use crate::process::{Contender, cpu, machine_cpu, peak_memory};
use crate::stable::Stable;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observe {
    /// The topic that the contender writes to.
    output: String,
    /// Records of the input.
    inputs: u64,
    /// Records that come of it.
    outputs: u64,
    /// The broker's process.
    broker: u32,
    /// For how many seconds nothing comes once all is there.
    idle: f64,
    /// Seconds after which it is given up.
    patience: f64,
    /// Whether and when to kill the contender on its way.
    kill: Option<Kill>,
    /// Whether to tell when the first record is received. Offsets also move when a transaction that a killed process left
    /// is aborted.
    receive: bool,
    command: Vec<String>,
}

/// Kills within an open transaction: so long after the commit with which so many outputs are there.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kill {
    outputs: u64,
    after_ms: u64,
}

/// What was used when output became visible.
#[derive(Clone, Copy)]
struct Moved {
    /// Seconds since the start of the process.
    at: f64,
    /// Offsets, which markers of transactions take up as well.
    offset: i64,
    contender: f64,
    broker: f64,
    machine: f64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    Done,
    Killed,
    GaveUp,
    Died,
}

impl Observe {
    pub fn run(&self, brokers: &Brokers) -> Result<Value> {
        let stable = Stable::of(brokers, &self.output)?;
        let begin = stable.sum()?;
        let received = self.receive.then(|| first_received(brokers.consumer()?, &stable.offsets()?)).transpose()?;
        let started = Instant::now();
        let mut contender = Contender::start(&self.command)?;
        let mut seen = Seen { begin, ..Seen::default() };
        let end = self.watch(&stable, &mut contender, started, &mut seen)?;
        contender.kill().context("end the contender")?;
        let received = received.and_then(|received| received.try_recv().ok());
        let received = received.map(|at| at.duration_since(started).as_secs_f64());
        let mut result = seen.result(self.inputs);
        result["status"] = json!(end.name());
        result["received_s"] = json!(received);
        Ok(result)
    }

    fn watch(&self, stable: &Stable, contender: &mut Contender, started: Instant, seen: &mut Seen) -> Result<End> {
        loop {
            let offset = stable.sum()?;
            let now = started.elapsed().as_secs_f64();
            if offset > seen.offset() {
                seen.moves.push(self.moved(offset, now, contender.id()));
            }
            seen.memory = seen.memory.max(peak_memory(contender.id()));
            let there = seen.outputs();
            if let Some(kill) = self.kill.filter(|kill| there >= kill.outputs) {
                thread::sleep(Duration::from_millis(kill.after_ms));
                return Ok(End::Killed);
            }
            if there >= self.outputs && seen.moves.last().is_none_or(|last| now - last.at > self.idle) {
                return Ok(End::Done);
            }
            if let Some(status) = contender.ended()? {
                eprintln!("the contender ended: {status}");
                return Ok(End::Died);
            }
            if now > self.patience {
                return Ok(End::GaveUp);
            }
            thread::sleep(LOOK);
        }
    }

    fn moved(&self, offset: i64, at: f64, contender: u32) -> Moved {
        Moved { at, offset, contender: cpu(contender), broker: cpu(self.broker), machine: machine_cpu() }
    }
}

impl End {
    fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Killed => "killed",
            Self::GaveUp => "gave up",
            Self::Died => "died",
        }
    }
}

/// What was seen of a run.
#[derive(Default)]
struct Seen {
    /// Where the output ended before.
    begin: i64,
    moves: Vec<Moved>,
    memory: f64,
}

impl Seen {
    fn offset(&self) -> i64 {
        self.moves.last().map_or(self.begin, |last| last.offset)
    }

    fn outputs(&self) -> u64 {
        (self.offset() - self.begin) as u64
    }

    /// Rates and costs from the first move to the last: what is visible with the first is not counted.
    fn result(&self, inputs: u64) -> Value {
        let base = json!({"memory_mib": self.memory, "commits_seen": self.moves.len()});
        let (Some(first), Some(last)) = (self.moves.first(), self.moves.last()) else { return base };
        let mut result = base;
        result["first_s"] = json!(first.at);
        result["last_s"] = json!(last.at);
        result["cpu_whole_s"] = json!(last.contender);
        if last.at <= first.at {
            return result;
        }
        let an_offset = inputs as f64 / (last.offset - self.begin) as f64;
        let done = |since: &Moved| (last.offset - since.offset) as f64 * an_offset;
        let (millions, seconds) = (done(first) / 1e6, last.at - first.at);
        let (contender, broker) = (last.contender - first.contender, last.broker - first.broker);
        result["rate"] = json!(done(first) / seconds);
        result["cpu"] = json!(contender / millions);
        result["broker_cpu"] = json!(broker / millions);
        result["other_cpu"] = json!((last.machine - first.machine - contender - broker) / seconds);
        let half = self.begin + (last.offset - self.begin) / 2;
        let halfway = self.moves.iter().find(|moved| moved.offset >= half && moved.at < last.at);
        result["rate_second_half"] = json!(halfway.map(|moved| done(moved) / (last.at - moved.at)));
        result
    }
}

/// Reads on from these offsets, and tells when the first record comes.
fn first_received(consumer: BaseConsumer, from: &TopicPartitionList) -> Result<mpsc::Receiver<Instant>> {
    consumer.assign(from)?;
    let (tell, told) = mpsc::channel();
    // Ends with the process: until then the record may come.
    thread::spawn(move || {
        loop {
            if let Some(Ok(_)) = consumer.poll(Duration::from_secs(1)) {
                let _ = tell.send(Instant::now());
                return;
            }
        }
    });
    Ok(told)
}
