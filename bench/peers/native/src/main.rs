//! The contender without a framework: a loop that consumes, computes, and produces in transactions, on librdkafka.
//!
//! `native JOB` runs until it is killed. Each thread has a consumer of its own, of partitions that are assigned by hand,
//! and a producer. What it counts and sums is in a hash map. It is lost in a crash, unless the job has `state=changelog`:
//! then each change is also written to a topic, in the transaction of its output, and read from there at the start.

mod input;
mod job;
mod output;
mod restore;
mod state;
mod worker;

use std::env;
use std::path::Path;
use std::thread;

use anyhow::{Result, anyhow, bail};

use crate::job::Job;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [path] = arguments.as_slice() else { bail!("say native JOB, a file of properties") };
    let job = Job::read(Path::new(path))?;
    // Whichever ends first has failed.
    thread::scope(|scope| {
        let job = &job;
        let workers: Vec<_> = (0..job.threads).map(|number| scope.spawn(move || run(job, number))).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| anyhow!("a worker panicked"))?)
    })
}

fn run(job: &Job, number: i32) -> Result<()> {
    let result = worker::Worker::start(job, number).and_then(worker::Worker::run);
    if let Err(error) = &result {
        eprintln!("worker {number}: {error:#}");
        std::process::exit(1);
    }
    result
}
