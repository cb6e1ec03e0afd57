//! What a contender is told: a file of `name=value` lines.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use hashbrown::HashMap;
use rdkafka::config::ClientConfig;

/// Partitions of every topic.
const PARTITIONS: i32 = 4;

pub struct Job {
    pub brokers: String,
    /// The consumer group, and the first part of the names of all that belongs to the job.
    pub group: String,
    pub workload: Workload,
    pub input: String,
    pub output: String,
    pub threads: i32,
    pub commit: Duration,
    pub linger_ms: String,
    /// Changes are written to this topic as well.
    pub changelog: Option<String>,
    /// Words go through this topic.
    pub repartition: Option<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Workload {
    Upper,
    Words,
    Sums,
}

impl Job {
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("read the job {}", path.display()))?;
        let lines = text.lines().filter_map(|line| line.split_once('='));
        let properties: HashMap<&str, &str> = lines.collect();
        let property = |name: &str| {
            let value = properties.get(name).map(|&value| value.to_owned());
            value.with_context(|| format!("{} lacks {name}", path.display()))
        };
        let group = property("group")?;
        let repartition = property("repartition")? == "true";
        let changelog = property("state")? == "changelog";
        Ok(Self {
            brokers: property("brokers")?,
            workload: Workload::of(&property("workload")?)?,
            input: property("input")?,
            output: property("output")?,
            threads: property("threads")?.parse().context("threads")?,
            commit: Duration::from_millis(property("commit-ms")?.parse().context("commit-ms")?),
            linger_ms: property("linger-ms")?,
            changelog: changelog.then(|| format!("{group}-changelog")),
            repartition: repartition.then(|| format!("{group}-repartition")),
            group,
        })
    }

    /// The partitions of each topic that are a worker's.
    pub fn partitions(&self, worker: i32) -> Vec<i32> {
        (0..PARTITIONS).filter(|partition| partition % self.threads == worker).collect()
    }

    /// The topics that are read.
    pub fn inputs(&self) -> Vec<&str> {
        [Some(&self.input), self.repartition.as_ref()].into_iter().flatten().map(String::as_str).collect()
    }

    pub fn consumer(&self) -> ClientConfig {
        self.client(&[
            ("group.id", self.group.as_str()),
            ("isolation.level", "read_committed"),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "earliest"),
            ("fetch.queue.backoff.ms", "10"),
            ("fetch.message.max.bytes", "4194304"),
            ("queued.max.messages.kbytes", "65536"),
            ("check.crcs", "false"),
        ])
    }

    pub fn producer(&self, worker: i32) -> ClientConfig {
        self.client(&[
            ("transactional.id", format!("{}-{worker}", self.group).as_str()),
            ("linger.ms", &self.linger_ms),
            ("batch.num.messages", "10000"),
            ("batch.size", "1000000"),
            ("queue.buffering.max.messages", "1000000"),
            ("queue.buffering.max.kbytes", "262144"),
            ("partitioner", "murmur2"),
            // A commit waits until all reports are taken, and nobody takes them.
            ("delivery.report.only.error", "true"),
        ])
    }

    fn client(&self, settings: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        for (name, value) in settings {
            config.set(*name, *value);
        }
        config
    }
}

impl Workload {
    fn of(name: &str) -> Result<Self> {
        Ok(match name {
            "upper" => Self::Upper,
            "words" => Self::Words,
            "sums" => Self::Sums,
            _ => bail!("there is no workload {name}"),
        })
    }
}
