//! Makes inputs and right answers, runs a contender and measures it from outside, and compares what it wrote.
//!
//! `gen BROKERS TASK` does one task, given as JSON, and prints what came of it as one line of JSON.

mod answer;
mod digest;
mod input;
mod kafka;
mod latency;
mod observe;
mod process;
mod stable;
mod topics;

use std::collections::BTreeMap;
use std::env;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::Workload;
use crate::input::Input;
use crate::kafka::Brokers;
use crate::latency::Latency;
use crate::observe::Observe;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Task {
    /// Makes topics with so many partitions.
    Create { topics: BTreeMap<String, i32> },
    /// Deletes the topics whose names begin so.
    Delete { prefix: String },
    /// Writes an input to a topic.
    Fill { topic: String, input: Input },
    /// Digests the right answer.
    Expect { workload: Workload, input: Input },
    /// Digests what a topic holds.
    Verify { topic: String },
    /// Runs a contender over an input that is there.
    Observe(Observe),
    /// Runs a contender while its input comes.
    Latency(Latency),
}

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [brokers, task] = arguments.as_slice() else { bail!("say gen BROKERS TASK, the task as JSON") };
    let parsed = serde_json::from_str(task).with_context(|| format!("read the task {task}"))?;
    let done = perform(&Brokers::new(brokers), parsed).with_context(|| format!("do {task}"))?;
    println!("{done}");
    Ok(())
}

fn perform(brokers: &Brokers, task: Task) -> Result<Value> {
    Ok(match task {
        Task::Create { topics } => json!(topics::create(brokers, &topics)?),
        Task::Delete { prefix } => json!(topics::delete(brokers, &prefix)?),
        Task::Fill { topic, input } => json!(topics::fill(brokers, &topic, &input)?),
        Task::Expect { workload, input } => answer::digest(workload, &input)?.summary(),
        Task::Verify { topic } => topics::digest(brokers, &topic)?.summary(),
        Task::Observe(observe) => observe.run(brokers)?,
        Task::Latency(latency) => latency.run(brokers)?,
    })
}
