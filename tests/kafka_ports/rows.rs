use std::sync::mpsc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};
use wasmill_core::port::{Fault, Sink, Tasks};
use wasmill_core::record::{Epoch, Offset, Timestamp};
use wasmill_core::task::care::Care;
use wasmill_core::task::row::TaskRow;

use super::world::{PATIENCE, World, sealed, task};
use crate::support::kafka::Broker;

#[test]
fn a_row_comes_back_with_its_owner_and_claims() {
    let broker = Broker::shared();
    let world = World::new(broker);
    let mut worker = world.worker(0, &[0, 1]);
    assert_eq!(worker.tasks.id(), format!("test/{}/node-1/0", world.name));
    assert_eq!((worker.tasks.row(task(0)), worker.tasks.owner(task(0))), (Ok(None), Ok(None)));
    let mut row = sealed(&mut worker, 0, 9_000_000_000_000_000, 12);
    let care = Care { claims: 3, left: 200, ..Care::default() };
    row.row = TaskRow { care, revision: 41, watermark: Timestamp(-5), memory: vec![0, 255, 7], ..row.row };
    worker.sink.begin().unwrap();
    worker.sink.commit(std::slice::from_ref(&row)).unwrap();
    assert_eq!(worker.tasks.row(task(0)).unwrap().as_ref(), Some(&row.row));
    assert_eq!(worker.tasks.owner(task(0)).unwrap().as_deref(), Some(worker.tasks.id()));
    assert_eq!(worker.tasks.row(task(1)).unwrap(), None, "a sibling's");

    // The same number again with other words: a release.
    row.row.owner.clear();
    worker.sink.begin().unwrap();
    worker.sink.commit(std::slice::from_ref(&row)).unwrap();
    assert_eq!(worker.tasks.row(task(0)).unwrap(), Some(row.row));
    assert_eq!(worker.tasks.owner(task(0)).unwrap(), None);
}

#[test]
fn a_row_that_is_too_long_is_refused_before_it_is_sent() {
    let world = World::new(Broker::shared());
    let mut worker = world.worker(0, &[0]);
    let mut row = sealed(&mut worker, 0, 1, 1);
    row.row.memory = vec![1; 3_000];
    worker.sink.begin().unwrap();
    assert!(matches!(worker.sink.commit(&[row]), Err(Fault::Fatal(_))));
}

#[test]
fn a_row_is_stable_only_when_its_transaction_is_decided() {
    let broker = Broker::shared();
    let world = World::new(broker);
    let mut worker = world.worker(0, &[0]);
    let (other, first, next) = another_owner(broker, &world, "another owner");

    let began = Instant::now();
    assert_eq!(worker.tasks.owner(task(0)).unwrap(), Some(first.owner), "told at once, of the row that is committed");
    assert!(began.elapsed() < Duration::from_secs(2));
    let (answer, answered) = mpsc::channel();
    let reading = std::thread::spawn(move || {
        answer.send(worker.tasks.row(task(0))).unwrap();
        worker
    });
    assert!(answered.recv_timeout(Duration::from_secs(3)).is_err(), "not decided yet");
    other.commit_transaction(PATIENCE).unwrap();
    assert_eq!(answered.recv_timeout(PATIENCE).unwrap().unwrap(), Some(next));
    drop(reading.join().unwrap());
}

#[test]
fn to_fence_an_owner_ends_its_transaction() {
    let broker = Broker::shared();
    let world = World::new(broker);
    let mut worker = world.worker(0, &[0]);
    let (other, first, _) = another_owner(broker, &world, "dead owner");
    let owner = worker.tasks.owner(task(0)).unwrap().unwrap();
    let began = Instant::now();
    worker.tasks.fence(&owner).unwrap();
    assert_eq!(worker.tasks.row(task(0)).unwrap(), Some(first), "the next never was");
    assert!(began.elapsed() < Duration::from_secs(15), "before the transaction ends by itself");
    assert!(other.commit_transaction(PATIENCE).is_err());
}

/// A producer that has committed a row of task 0 and has the next one in an open transaction.
fn another_owner(broker: &Broker, world: &World, id: &str) -> (BaseProducer, TaskRow, TaskRow) {
    let owner = format!("{} {id}", world.name);
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.address()).set("transactional.id", &owner);
    let producer: BaseProducer = config.create().unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    let first = TaskRow { epoch: Epoch(1), owner, next: vec![Offset(2)], ..TaskRow::default() };
    let next = TaskRow { epoch: Epoch(2), ..first.clone() };
    producer.begin_transaction().unwrap();
    send_row(broker, world, &producer, &first);
    producer.commit_transaction(PATIENCE).unwrap();
    producer.begin_transaction().unwrap();
    send_row(broker, world, &producer, &next);
    (producer, first, next)
}

/// Adds a row to a producer's transaction, as a client that is no member: brokers let those without an instance id.
fn send_row(broker: &Broker, world: &World, producer: &BaseProducer, row: &TaskRow) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.address()).set("group.id", world.pipeline.identity().group());
    let nobody: BaseConsumer = config.create().unwrap();
    let mut list = TopicPartitionList::new();
    let mut entry = list.add_partition(&world.topic("tasks"), 0);
    entry.set_offset(KafkaOffset::Offset(row.epoch.0 as i64)).unwrap();
    entry.set_metadata(STANDARD_NO_PAD.encode(row.encode()));
    let metadata = nobody.group_metadata().unwrap();
    producer.send_offsets_to_transaction(&list, &metadata, PATIENCE).unwrap();
}
