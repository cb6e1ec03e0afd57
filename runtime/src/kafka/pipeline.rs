//! What all workers of a pipeline on this node share: names, topics, the group; and the ports of each.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use wasmill_core::port::{ChangelogId, Target};
use wasmill_core::record::{Partition, TaskId};

use super::admin::{self, Described};
use super::changelog::Changelogs;
use super::client::{Client, Error};
use super::group::Group;
use super::rows::Rows;
use super::sink::Sink;
use super::source::Source;
use crate::topology::{InputTopic, Topology};

/// Who runs which pipeline.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    /// The cluster's name, the prefix of everything that is made on Kafka.
    pub cluster: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// The node's id, kept in its data directory: a restart of the node has the same.
    pub node: String,
}

impl Identity {
    /// The consumer group of the pipeline.
    pub fn group(&self) -> String {
        format!("{}.{}", self.cluster, self.pipeline)
    }

    /// The transactional id of a worker.
    pub fn transactional_id(&self, worker: u32) -> String {
        format!("{}/{}/{}/{worker}", self.cluster, self.pipeline, self.node)
    }
}

/// A pipeline's place on Kafka: its names, and what its topics are like.
#[derive(Debug)]
pub struct Pipeline {
    pub(super) client: Client,
    pub(super) identity: Identity,
    pub(super) topology: Topology,
    pub(super) cluster_id: String,
    topics: HashMap<String, Described>,
    /// The partitions of those that became wider since.
    wider: RwLock<HashMap<String, u32>>,
    /// Transactional ids that this process has initialized: whatever was open under them is decided, and to fence one
    /// would only stop a worker of its own.
    initialized: Mutex<HashSet<String>>,
}

impl Pipeline {
    /// Connects, and describes the topics of a plan, all of which must exist.
    pub fn open(client: Client, identity: Identity, topology: Topology) -> Result<Arc<Self>, Error> {
        let cluster_id = client.connect()?;
        let inputs = topology.inputs.iter().flatten().filter(|input| input.file.is_none()).map(|input| &input.topic);
        let names = topology.targets.iter().chain(&topology.changelogs).chain(&topology.tasks).chain(inputs);
        let topics = admin::describe(&client, names.map(String::as_str))?;
        Ok(Arc::new(Self {
            client,
            identity,
            topology,
            cluster_id,
            topics,
            wider: RwLock::default(),
            initialized: Mutex::default(),
        }))
    }

    /// The names of the pipeline.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// How many partitions a topic of the plan has.
    pub fn partitions(&self, topic: &str) -> u32 {
        let wider = self.wider.read().unwrap_or_else(PoisonError::into_inner).get(topic).copied();
        wider.unwrap_or_else(|| self.topics.get(topic).map_or(0, |topic| topic.partitions))
    }

    /// Looks again how wide the inputs and the stages are.
    pub fn look_again(&self) -> Result<(), Error> {
        let lookup = self.client.lookup()?;
        let inputs = self.topology.inputs.iter().flatten().filter(|input| input.file.is_none());
        for topic in inputs.map(|input| &input.topic).chain(&self.topology.tasks) {
            if let Some(there) = admin::partitions(&lookup, topic)?.filter(|there| *there > self.partitions(topic)) {
                self.wider.write().unwrap_or_else(PoisonError::into_inner).insert(topic.clone(), there);
            }
        }
        Ok(())
    }

    /// Whether a task is one that was there when this was opened, or known to be there since.
    pub(super) fn knows(&self, task: TaskId) -> bool {
        self.topology.rows(task).is_some_and(|topic| task.partition.0 < self.partitions(topic))
    }

    /// Whether a task came with partitions that its source got while the pipeline was there.
    pub(super) fn came_later(&self, task: TaskId) -> bool {
        let opened = self.topology.rows(task).and_then(|topic| self.topics.get(topic));
        let grown = self.topology.grown_from.get(usize::from(task.stage)).copied().flatten();
        let known = grown.or(opened.map(|topic| topic.partitions));
        known.is_some_and(|known| task.partition.0 >= known)
    }

    /// The largest message that a target takes, in bytes.
    pub fn largest_message(&self, target: Target) -> usize {
        let topic = self.topology.target(target).and_then(|topic| self.topics.get(topic));
        topic.map_or(0, |topic| topic.largest_message)
    }

    /// All tasks of the pipeline: for each stage as many as its tasks topic has partitions.
    pub fn tasks(&self) -> Vec<TaskId> {
        let stages = self.topology.tasks.iter().zip(0..);
        let tasks = stages.flat_map(|(topic, stage)| {
            (0..self.partitions(topic)).map(move |partition| TaskId { stage, partition: Partition(partition) })
        });
        tasks.collect()
    }

    /// Makes the ports of a worker. Before it does anything else, the worker resets its sink.
    pub fn worker(self: &Arc<Self>, number: u32, group: &Arc<Group>) -> Result<Worker, Error> {
        Ok(Worker {
            source: Source::new(self)?,
            sink: Sink::new(self, group, number),
            tasks: Rows::new(self, group, number)?,
            changelogs: Changelogs::new(self),
        })
    }

    /// Ends the process when a call of one of its workers does not come back.
    pub fn watch(&self, group: &Arc<Group>) -> std::io::Result<()> {
        self.client.calls.watch(self.client.timing().stuck(), group)
    }

    /// Takes note that a transactional id was initialized by this process.
    pub(super) fn own(&self, id: &str) {
        self.initialized.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned());
    }

    /// Whether a transactional id was initialized by this process.
    pub(super) fn is_own(&self, id: &str) -> bool {
        self.initialized.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }

    pub(super) fn topic_id(&self, topic: &str) -> &str {
        self.topics.get(topic).map_or("", |topic| topic.id.as_str())
    }

    pub(super) fn largest_of(&self, topic: &str) -> usize {
        self.topics.get(topic).map_or(0, |topic| topic.largest_message)
    }

    /// How long a topic keeps deletions at least.
    pub(super) fn deletions(&self, topic: &str) -> Duration {
        self.topics.get(topic).map_or(Duration::ZERO, |topic| topic.deletions)
    }

    /// An input of a task, if it has the task's partition.
    pub(super) fn input(&self, task: TaskId, input: u32) -> Option<&InputTopic> {
        let input = self.topology.input(task, input)?;
        (task.partition.0 < self.partitions(&input.topic)).then_some(input)
    }

    pub(super) fn changelog(&self, changelog: ChangelogId) -> &str {
        self.topology.changelog(changelog).unwrap_or_default()
    }
}

/// The ports of a worker.
#[derive(Debug)]
pub struct Worker {
    /// Where its tasks' records come from.
    pub source: Source,
    /// Where its epochs go.
    pub sink: Sink,
    /// The rows of its tasks.
    pub tasks: Rows,
    /// The changelogs of its tasks.
    pub changelogs: Changelogs,
}
