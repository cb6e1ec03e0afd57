//! The loop of a thread.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::input::{Input, Record};
use crate::job::{Job, Workload};
use crate::output::{BY_KEY, Output, Topic};
use crate::restore::restore;
use crate::state::{State, first};

/// How long records are waited for at once, outside of a transaction and within one.
const IDLE: Duration = Duration::from_millis(100);
const BUSY: Duration = Duration::from_millis(10);

pub struct Worker<'a> {
    job: &'a Job,
    input: Input,
    output: Output,
    computation: Computation,
}

/// What is made of a record.
struct Computation {
    workload: Workload,
    state: State,
    output: Topic,
    changelog: Option<Topic>,
    repartition: Option<Topic>,
    value: Vec<u8>,
}

impl<'a> Worker<'a> {
    pub fn start(job: &'a Job, number: i32) -> Result<Self> {
        let partitions = job.partitions(number);
        let output = Output::open(&job.producer(number))?;
        let mut state = State::of(job.workload);
        if let Some(changelog) = &job.changelog {
            restore(job, changelog, &partitions, &mut state).context("restore")?;
        }
        let computation = Computation {
            workload: job.workload,
            state,
            output: output.topic(&job.output)?,
            changelog: job.changelog.as_ref().map(|name| output.topic(name)).transpose()?,
            repartition: job.repartition.as_ref().map(|name| output.topic(name)).transpose()?,
            value: Vec::new(),
        };
        let input = Input::open(&job.consumer(), &job.inputs(), &partitions)?;
        Ok(Self { job, input, output, computation })
    }

    pub fn run(mut self) -> Result<()> {
        let mut due = Instant::now();
        loop {
            let left = due.saturating_duration_since(Instant::now());
            let wait = if self.output.is_open() { left.min(BUSY) } else { IDLE };
            let (output, computation) = (&mut self.output, &mut self.computation);
            self.input.take(wait, |record| {
                output.begin()?;
                computation.process(record, output)
            })?;
            if self.output.is_open() && Instant::now() >= due {
                self.output.commit(&self.input.offsets()?, self.input.consumer())?;
                due = Instant::now() + self.job.commit;
            }
        }
    }
}

impl Computation {
    fn process(&mut self, record: &Record<'_>, output: &Output) -> Result<()> {
        match (self.workload, self.repartition) {
            (Workload::Upper, _) => self.upper(record, output),
            (Workload::Sums, _) => {
                let amount = i64::from_be_bytes(first(record.value)?);
                self.add(record, record.partition, record.key, amount, output)
            }
            (Workload::Words, None) => words(record).try_for_each(|word| self.add(record, BY_KEY, word, 1, output)),
            (Workload::Words, Some(topic)) if record.topic == 0 => {
                words(record).try_for_each(|word| output.send(topic, BY_KEY, record.timestamp, word, b""))
            }
            (Workload::Words, Some(_)) => self.add(record, record.partition, record.key, 1, output),
        }
    }

    fn upper(&mut self, record: &Record<'_>, output: &Output) -> Result<()> {
        self.value.clear();
        self.value.extend_from_slice(record.value);
        self.value.get_mut(8..).context("a value with an amount")?.make_ascii_uppercase();
        output.send(self.output, record.partition, record.timestamp, record.key, &self.value)
    }

    /// Adds to the number of a key, and sends it.
    fn add(&mut self, record: &Record<'_>, partition: i32, key: &[u8], amount: i64, output: &Output) -> Result<()> {
        let number = self.state.add(key, amount)?.to_be_bytes();
        if let Some(changelog) = self.changelog {
            output.send(changelog, partition, record.timestamp, key, &number)?;
        }
        output.send(self.output, partition, record.timestamp, key, &number)
    }
}

fn words<'a>(record: &Record<'a>) -> impl Iterator<Item = &'a [u8]> {
    record.value.split(|&byte| byte == b' ')
}
