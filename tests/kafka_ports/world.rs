//! A small pipeline on the shared broker: one source topic, an output, a changelog, a repartition topic.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime};

use wasmill::kafka::admin::{self, Kind, NewTopic};
use wasmill::kafka::{Client, Event, Group, Identity, Leave, Pipeline, Worker};
use wasmill::topology::{InputTopic, Start, Topology};
use wasmill_core::batch::{Batch, Message};
use wasmill_core::commit::Guarantee;
use wasmill_core::port::{ChangelogId, Fetched, Polled, Sealed, Sink, Source, Target, Tasks};
use wasmill_core::record::{Epoch, Offset, Partition, TaskId, Timestamp};
use wasmill_core::task::row::TaskRow;

use crate::support::kafka::Broker;

pub(crate) const OUT: Target = Target(0);
pub(crate) const REPARTITION: Target = Target(1);
pub(crate) const CHANGELOG: ChangelogId = ChangelogId(0);
pub(crate) const WIDTH: u32 = 4;
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) struct World {
    pub(crate) name: String,
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) group: Arc<Group>,
    pub(crate) events: Receiver<Event>,
}

impl World {
    /// Makes topics of a new name, and joins the group.
    pub(crate) fn new(broker: &Broker) -> Self {
        Self::with_client(broker.client())
    }

    /// The same with a client of other times.
    pub(crate) fn with_client(client: Client) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("p{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let kinds = [
            ("in", Kind::Plain),
            ("out", Kind::Plain),
            ("repartition", Kind::Repartition),
            ("changelog", Kind::Changelog),
            ("tasks", Kind::Tasks),
            ("second-tasks", Kind::Tasks),
        ];
        let topics = kinds.map(|(topic, kind)| NewTopic::new(format!("{name}.{topic}"), WIDTH, kind));
        admin::create(&client, &topics).expect("topics");
        Self::open(client, name, "node-1", Guarantee::ExactlyOnce)
    }

    /// The same with so many more changelogs, of one partition each.
    pub(crate) fn with_more_changelogs(broker: &Broker, more: u16) -> Self {
        let world = Self::new(broker);
        let names = (1..=more).map(|number| world.topic(&format!("changelog-{number}")));
        let topics: Vec<_> = names.map(|name| NewTopic::new(name, 1, Kind::Changelog)).collect();
        admin::create(&broker.client(), &topics).expect("topics");
        let mut topology = topology(&world.name, Guarantee::ExactlyOnce);
        topology.changelogs.extend(topics.into_iter().map(|topic| topic.name));
        world.group.stop(Leave::Now);
        Self::of(broker.client(), world.name, "node-1", topology)
    }

    /// Another node of the same pipeline.
    pub(crate) fn other(&self, broker: &Broker, node: &str) -> Self {
        Self::open(broker.client(), self.name.clone(), node, Guarantee::ExactlyOnce)
    }

    /// The same node with another guarantee, after this one has ended.
    pub(crate) fn with_guarantee(self, broker: &Broker, guarantee: Guarantee) -> Self {
        self.group.stop(Leave::Now);
        Self::open(broker.client(), self.name, "node-1", guarantee)
    }

    fn open(client: Client, name: String, node: &str, guarantee: Guarantee) -> Self {
        let topology = topology(&name, guarantee);
        Self::of(client, name, node, topology)
    }

    fn of(client: Client, name: String, node: &str, topology: Topology) -> Self {
        let identity = Identity { cluster: "test".into(), pipeline: name.clone(), node: node.into() };
        let pipeline = Pipeline::open(client, identity, topology).expect("a pipeline");
        let (group, events) = Group::join(&pipeline).expect("a group");
        Self { name, pipeline, group, events }
    }

    /// The committed values in the output, sorted, as a reader in Java sees them.
    pub(crate) fn values(&self, broker: &Broker) -> Vec<String> {
        broker.settle(&self.topic("out"));
        let records = broker.read(&[&self.topic("out")]);
        let mut values: Vec<_> =
            records.iter().map(|record| record["value"].as_str().expect("text").to_owned()).collect();
        values.sort();
        values
    }

    pub(crate) fn topic(&self, kind: &str) -> String {
        format!("{}.{kind}", self.name)
    }

    /// Waits until the node has all tasks.
    pub(crate) fn await_tasks(&self) {
        let all: BTreeSet<_> = self.pipeline.tasks().into_iter().collect();
        await_until("all tasks are granted", || self.group.tasks() == all);
    }

    /// A worker that is ready to begin, with these tasks of stage 0.
    pub(crate) fn worker(&self, number: u32, partitions: &[u32]) -> Worker {
        self.await_tasks();
        let mut worker = self.pipeline.worker(number, &self.group).expect("a worker");
        worker.sink.reset().expect("a producer");
        for &partition in partitions {
            self.group.give(task(partition), number).expect("a lease");
        }
        worker
    }
}

fn topology(name: &str, guarantee: Guarantee) -> Topology {
    let topic = |kind: &str| format!("{name}.{kind}");
    let input = |kind, repartition| InputTopic { topic: topic(kind), start: Start::Earliest, repartition, file: None };
    Topology {
        targets: vec![topic("out"), topic("repartition")],
        changelogs: vec![topic("changelog")],
        tasks: vec![topic("tasks"), topic("second-tasks")],
        inputs: vec![vec![input("in", false)], vec![input("repartition", true)]],
        grown_from: Vec::new(),
        guarantee,
    }
}

/// Waits for the outside to get somewhere.
pub(crate) fn await_until(what: &str, mut there: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !there() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::yield_now();
    }
}

pub(crate) fn task(partition: u32) -> TaskId {
    TaskId { stage: 0, partition: Partition(partition) }
}

/// What a worker seals of a task of stage 0.
pub(crate) fn sealed(worker: &mut Worker, partition: u32, epoch: u64, next: i64) -> Sealed {
    sealed_of(worker, task(partition), epoch, next)
}

/// What a worker seals of a task.
pub(crate) fn sealed_of(worker: &mut Worker, task: TaskId, epoch: u64, next: i64) -> Sealed {
    let owner = worker.tasks.id().to_owned();
    let lease = worker.tasks.lease(task).expect("a lease");
    let row = TaskRow { epoch: Epoch(epoch), owner, next: vec![Offset(next)], ..TaskRow::default() };
    Sealed { task, lease, row }
}

/// The time of the records of this run. An old one would have the broker delete them.
pub(crate) fn now() -> Timestamp {
    static NOW: LazyLock<i64> = LazyLock::new(|| {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock");
        since.as_millis() as i64
    });
    Timestamp(*NOW)
}

pub(crate) fn batch<'a>(records: impl IntoIterator<Item = (Option<&'a str>, &'a str)>) -> Batch {
    let mut batch = Batch::default();
    for (key, value) in records {
        let (key, value) = (key.map(str::as_bytes), Some(value.as_bytes()));
        batch.push(Message { key, value, headers: None, timestamp: now() });
    }
    batch
}

/// Polls until records come.
pub(crate) fn records(source: &mut impl Source) -> Fetched {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Polled::Records(fetched) = source.poll(Duration::from_millis(200)).expect("a poll") {
            return fetched;
        }
    }
    panic!("no records came");
}

/// Polls until an end comes; what comes before it is dropped.
pub(crate) fn end(source: &mut impl Source) -> Polled {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let end @ Polled::End { .. } = source.poll(Duration::from_millis(200)).expect("a poll") {
            return end;
        }
    }
    panic!("no end came");
}
