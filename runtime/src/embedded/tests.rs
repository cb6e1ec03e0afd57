//! What the log promises to the worker and to commands.

mod access;
mod changelog;
mod commit;
mod crash;
mod damage;
mod source;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use wasmill_core::batch::{Batch, Message};
use wasmill_core::commit::Guarantee;
use wasmill_core::port::{ChangelogId, Sealed, Sink as _, Target};
use wasmill_core::record::{Epoch, Offset, Partition, TaskId, Timestamp};
use wasmill_core::task::row::TaskRow;

use super::tasks::LEASE;
use super::{Kind, Log, Sink, Topic};
use crate::data_dir::DataDir;
use crate::topology::{InputTopic, Start, Topology};

const OUT: Target = Target(0);
const MIDDLE: Target = Target(1);
const COUNTS: ChangelogId = ChangelogId(0);

fn open(dir: &Path) -> Log {
    let log = Log::open(DataDir::open(dir).unwrap()).unwrap();
    for (topic, kind) in
        [("in", Kind::Records), ("out", Kind::Records), ("middle", Kind::Records), ("count-changelog", Kind::Changelog)]
    {
        log.create_topic(topic, 2, kind).unwrap();
    }
    log
}

fn topology() -> Arc<Topology> {
    let input = |topic: &str, start, repartition| InputTopic { topic: topic.into(), start, repartition, file: None };
    Arc::new(Topology {
        targets: vec!["out".into(), "middle".into()],
        changelogs: vec!["count-changelog".into()],
        tasks: vec!["in-tasks".into(), "count-tasks".into()],
        inputs: vec![
            vec![input("in", Start::Earliest, false), input("in", Start::Latest, false)],
            vec![input("middle", Start::Earliest, true)],
        ],
        grown_from: Vec::new(),
        guarantee: Guarantee::ExactlyOnce,
    })
}

fn task(stage: u16, partition: u32) -> TaskId {
    TaskId { stage, partition: Partition(partition) }
}

fn batch(records: &[(Option<&str>, &str)]) -> Batch {
    let mut batch = Batch::default();
    for (key, value) in records {
        let (key, value) = (key.map(str::as_bytes), Some(value.as_bytes()));
        batch.push(Message { key, value, headers: None, timestamp: Timestamp(7) });
    }
    batch
}

fn sealed(task: TaskId, epoch: u64, owner: &str) -> Sealed {
    let row = TaskRow { epoch: Epoch(epoch), owner: owner.into(), ..TaskRow::default() };
    Sealed { task, lease: LEASE, row }
}

fn sink(log: &Log, id: &str) -> Sink {
    let mut sink = Sink::new(log.clone(), topology(), id, false);
    sink.begin().unwrap();
    sink
}

/// Offset and value of all records of a partition.
fn values(log: &Log, topic: &Topic, partition: u32) -> Vec<(i64, String)> {
    let mut values = Vec::new();
    let start = log.start(topic, Partition(partition)).unwrap();
    log.read(topic, Partition(partition), start, None, &mut |Offset(offset), message| {
        let text = message.value.map_or("-", |value| str::from_utf8(value).unwrap());
        values.push((offset, text.to_owned()));
        true
    })
    .unwrap();
    values
}

/// Waits until nothing of a changelog's partition is worth cleaning.
fn wait_for_cleaner(log: &Log, partition: Partition) {
    let place = log.topic("count-changelog").unwrap().place(partition).unwrap();
    loop {
        let seen = log.commits();
        if !log.inner.extent(place).wear.is_due() {
            return;
        }
        assert!(log.wait(seen, Duration::from_secs(30)) > seen, "the cleaner does nothing");
    }
}

fn all_values(log: &Log, topic: &str) -> Vec<String> {
    let topic = log.topic(topic).unwrap();
    topic.all().flat_map(|partition| values(log, &topic, partition.0)).map(|(_, value)| value).collect()
}
