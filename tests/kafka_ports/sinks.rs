use wasmill::kafka::{Client, Timing};
use wasmill_core::commit::Guarantee;
use wasmill_core::port::{
    Changelog, Control, Fault, Lease, Mark, Polled, Position, Sealed, Sink, Source, Tasks, Written,
};
use wasmill_core::record::{Epoch, Offset, Partition, TaskId, Timestamp};

use super::world::{CHANGELOG, OUT, REPARTITION, WIDTH, World, batch, end, now, records, sealed, task};
use crate::support::kafka::{Broker, reader};

#[test]
fn an_epoch_is_committed_whole_or_not_at_all() {
    let broker = Broker::shared();
    let world = World::new(broker);
    let mut workers = [world.worker(0, &[0, 1]), world.worker(1, &[2, 3])];
    for (number, worker) in (0..).zip(&mut workers) {
        let partitions = [number * 2, number * 2 + 1];
        worker.sink.begin().unwrap();
        for partition in partitions {
            let value = format!("first of {partition}");
            worker.sink.send(OUT, Partition(partition), &batch([(None, value.as_str())])).unwrap();
            worker.sink.change(CHANGELOG, Partition(partition), b"row", Some(value.as_bytes())).unwrap();
        }
        worker.sink.flush().unwrap();
        let read = broker.read(&[&world.topic("out")]);
        assert_eq!(read.len() as u32, number * 2, "nothing of an open epoch is seen: {read:?}");
        assert_eq!(worker.tasks.row(task(partitions[0])).unwrap(), None);
        let rows = partitions.map(|partition| sealed(worker, partition, 1, 5));
        let written = worker.sink.commit(&rows).unwrap();
        broker.settle(&world.topic("out"));
        let expected = partitions.map(|partition| Written {
            changelog: CHANGELOG,
            partition: Partition(partition),
            next: Offset(1),
        });
        assert_eq!(written, expected);
        for row in rows {
            assert_eq!(worker.tasks.row(row.task).unwrap(), Some(row.row));
        }
    }
    // An epoch that is aborted leaves nothing, and the producer goes on.
    let [worker, _] = &mut workers;
    worker.sink.begin().unwrap();
    worker.sink.send(OUT, Partition(0), &batch([(None, "aborted")])).unwrap();
    worker.sink.flush().unwrap();
    worker.sink.abort().unwrap();
    worker.sink.begin().unwrap();
    worker.sink.send(OUT, Partition(0), &batch([(None, "second")])).unwrap();
    worker.sink.flush().unwrap();
    let row = sealed(worker, 0, 2, 6);
    assert_eq!(worker.sink.commit(&[row]).unwrap(), [], "no changelog was written");
    assert_eq!(worker.tasks.row(task(0)).unwrap().unwrap().epoch, Epoch(2));

    let values = world.values(broker);
    assert_eq!(values, ["first of 0", "first of 1", "first of 2", "first of 3", "second"]);
}

/// 1,000 rows of two partitions, more than are handed over at once, through a queue that holds 100.
#[test]
fn rows_wait_for_room_in_the_queue_and_none_is_lost() {
    const ROWS: i64 = 500;
    let broker = Broker::shared();
    let small = [("queue.buffering.max.messages", "100")].into();
    let world = World::with_client(Client::new(&broker.address(), small));
    let mut worker = world.worker(0, &[0, 1]);
    worker.sink.begin().unwrap();
    for partition in [0, 1] {
        for row in 0..ROWS {
            let (key, value) = (format!("row-{row}"), format!("value-{row}"));
            let value = (row % 7 != 0).then_some(value.as_bytes());
            worker.sink.change(CHANGELOG, Partition(partition), key.as_bytes(), value).unwrap();
        }
    }
    worker.sink.flush().unwrap();
    let rows = [0, 1].map(|partition| sealed(&mut worker, partition, 1, 1));
    let written = worker.sink.commit(&rows).unwrap();
    assert_eq!(written.iter().map(|written| written.next).collect::<Vec<_>>(), [Offset(ROWS); 2]);
    broker.settle(&world.topic("changelog"));
    let read = broker.read(&[&world.topic("changelog")]);
    for partition in [0, 1] {
        let found = read.iter().filter(|record| record["partition"] == partition);
        let found: Vec<_> = found.map(|record| (record["key"].as_str(), record["value"].as_str())).collect();
        let expected: Vec<_> = (0..ROWS).map(|row| (format!("row-{row}"), format!("value-{row}"))).collect();
        let expected = (0..)
            .zip(&expected)
            .map(|(row, (key, value))| (Some(key.as_str()), (row % 7 != 0).then_some(value.as_str())));
        assert_eq!(found, expected.collect::<Vec<_>>());
    }
}

#[test]
fn at_least_once_there_is_no_transaction_but_rows_follow_their_records() {
    let broker = Broker::shared();
    let world = World::new(broker);
    // A transaction that was left open when the guarantee was changed ends first.
    let mut before = world.worker(0, &[0]);
    before.sink.begin().unwrap();
    let row = sealed(&mut before, 0, 1, 1);
    before.sink.commit(&[row]).unwrap();
    before.sink.begin().unwrap();
    before.sink.send(OUT, Partition(0), &batch([(None, "open")])).unwrap();
    before.sink.flush().unwrap();
    let world = world.with_guarantee(broker, Guarantee::AtLeastOnce);
    let mut worker = world.worker(0, &[0]);
    let owner = worker.tasks.owner(task(0)).unwrap().unwrap();
    worker.tasks.fence(&owner).unwrap();
    assert_eq!(worker.tasks.row(task(0)).unwrap().unwrap().epoch, Epoch(1));

    worker.sink.begin().unwrap();
    worker.sink.send(OUT, Partition(0), &batch([(None, "at once")])).unwrap();
    worker.sink.change(CHANGELOG, Partition(0), b"row", Some(b"value")).unwrap();
    worker.sink.flush().unwrap();
    assert_eq!(world.values(broker), ["at once"], "nobody waits for a commit");
    worker.sink.abort().unwrap();
    worker.sink.begin().unwrap();
    worker.sink.send(OUT, Partition(0), &batch([(None, "at once")])).unwrap();
    worker.sink.change(CHANGELOG, Partition(0), b"row", Some(b"value")).unwrap();
    worker.sink.flush().unwrap();
    let row = sealed(&mut worker, 0, 2, 6);
    assert_eq!(row.row.owner, "", "nobody has anything open");
    let written = worker.sink.commit(std::slice::from_ref(&row)).unwrap();
    assert_eq!(written, [Written { changelog: CHANGELOG, partition: Partition(0), next: Offset(2) }]);
    assert_eq!(worker.tasks.row(task(0)).unwrap(), Some(row.row));
    assert_eq!(world.values(broker), ["at once", "at once"], "what was aborted stays");

    world.group.give(task(0), 0).unwrap();
    worker.sink.begin().unwrap();
    let stale = Sealed { lease: row.lease, ..sealed(&mut worker, 0, 3, 7) };
    assert!(matches!(worker.sink.commit(&[stale]), Err(Fault::Abort(_))), "a lease that is gone");
}

#[test]
fn a_second_sink_of_the_same_id_locks_out_the_first() {
    let broker = Broker::shared();
    let world = World::new(broker);
    let mut first = world.worker(0, &[0]);
    first.sink.begin().unwrap();
    first.sink.send(OUT, Partition(0), &batch([(None, "zombie")])).unwrap();
    first.sink.flush().unwrap();
    let mut second = world.worker(0, &[0]);
    first.sink.send(OUT, Partition(0), &batch([(None, "zombie")])).unwrap();
    assert!(matches!(first.sink.flush(), Err(Fault::Abort(_))), "its records are refused");

    second.sink.begin().unwrap();
    second.sink.send(OUT, Partition(0), &batch([(None, "heir")])).unwrap();
    let row = sealed(&mut second, 0, 1, 1);
    second.sink.commit(&[row]).unwrap();
    // The first takes its id back.
    first.sink.abort().unwrap();
    first.sink.begin().unwrap();
    first.sink.send(OUT, Partition(0), &batch([(None, "again")])).unwrap();
    let row = sealed(&mut first, 0, 2, 1);
    first.sink.commit(&[row]).unwrap();
    let values = world.values(broker);
    assert_eq!(values, ["again", "heir"]);
}

#[test]
fn an_epoch_whose_lease_is_gone_is_refused_and_the_next_goes_on() {
    let broker = Broker::shared();
    let world = World::new(broker);
    let mut worker = world.worker(0, &[0]);
    worker.sink.begin().unwrap();
    let stale = sealed(&mut worker, 0, 1, 1);
    world.group.give(task(0), 0).unwrap();
    assert!(matches!(worker.sink.commit(std::slice::from_ref(&stale)), Err(Fault::Abort(_))));
    worker.sink.abort().unwrap();
    worker.sink.begin().unwrap();
    let made_up = Sealed { lease: Lease { generation: 7, serial: 7 }, ..stale };
    assert!(matches!(worker.sink.commit(&[made_up]), Err(Fault::Abort(_))));
    worker.sink.abort().unwrap();
    assert_eq!(worker.tasks.row(task(0)).unwrap(), None);
    worker.sink.begin().unwrap();
    let row = sealed(&mut worker, 0, 1, 1);
    worker.sink.commit(&[row]).unwrap();
    assert_eq!(worker.tasks.row(task(0)).unwrap().unwrap().epoch, Epoch(1));
}

#[test]
fn a_record_that_is_too_large_costs_its_epoch_only() {
    let broker = Broker::shared();
    let world = World::new(broker);
    let mut worker = world.worker(0, &[0]);
    worker.sink.begin().unwrap();
    let giant = "x".repeat(world.pipeline.largest_message(OUT) + 1);
    let refused = worker.sink.send(OUT, Partition(0), &batch([(None, giant.as_str())]));
    assert!(matches!(refused, Err(Fault::Abort(_))), "{refused:?}");
    worker.sink.abort().unwrap();
    worker.sink.begin().unwrap();
    worker.sink.send(OUT, Partition(0), &batch([(None, "small")])).unwrap();
    let row = sealed(&mut worker, 0, 1, 1);
    worker.sink.commit(&[row]).unwrap();
    assert_eq!(world.values(broker), ["small"]);
}

#[test]
fn keyed_records_go_where_java_would_send_them() {
    let broker = Broker::shared();
    let world = World::new(broker);
    let mut worker = world.worker(0, &[0]);
    let keys: Vec<_> = (0..50).map(|number| format!("key-{number}-{}", "ü".repeat(number % 5))).collect();
    worker.sink.begin().unwrap();
    worker.sink.send(OUT, Partition(3), &batch(keys.iter().map(|key| (Some(key.as_str()), "v")))).unwrap();
    worker.sink.send(OUT, Partition(WIDTH + 2), &batch([(None, "keyless")])).unwrap();
    let row = sealed(&mut worker, 0, 1, 1);
    worker.sink.commit(&[row]).unwrap();

    let arguments: Vec<_> = ["partition", "4"].into_iter().chain(keys.iter().map(String::as_str)).collect();
    let java = reader(&arguments);
    broker.settle(&world.topic("out"));
    let read = broker.read(&[&world.topic("out")]);
    for (key, partition) in keys.iter().zip(java) {
        let record = read.iter().find(|record| record["key"] == key.as_str()).unwrap();
        assert_eq!(record["partition"].to_string(), partition, "{key}");
        assert_eq!(record["timestamp"], now().0);
    }
    let keyless = read.iter().find(|record| record["value"] == "keyless").unwrap();
    assert_eq!((&keyless["partition"], &keyless["key"]), (&2.into(), &serde_json::Value::Null));
}

#[test]
fn what_a_task_tells_comes_between_the_records_it_sends() {
    let broker = Broker::shared();
    let world = World::new(broker);
    let mut worker = world.worker(0, &[0]);
    let told = Control { from: task(0), watermark: Timestamp(77), idle: false };
    worker.sink.begin().unwrap();
    worker.sink.send(REPARTITION, Partition(0), &batch([(Some("k"), "before")])).unwrap();
    worker.sink.tell(REPARTITION, told).unwrap();
    worker.sink.send(REPARTITION, Partition(0), &batch([(Some("k"), "behind")])).unwrap();
    let row = sealed(&mut worker, 0, 1, 1);
    worker.sink.commit(&[row]).unwrap();

    let partition = wasmill::partitioner::partition(b"k", WIDTH);
    for other in (0..WIDTH).map(Partition) {
        let downstream = TaskId { stage: 1, partition: other };
        worker.source.assign(downstream, &[Position { input: 0, next: Offset(0), mark: Mark::NONE }]).unwrap();
        let fetched = records(&mut worker.source);
        let values: Vec<_> = fetched.records.iter().filter_map(|message| message.value).collect();
        if other == partition {
            assert_eq!(values, [b"before", b"behind"]);
            assert_eq!((fetched.offsets, fetched.controls), (vec![0, 2], vec![(1, told)]));
        } else {
            assert_eq!((values.len(), fetched.controls), (0, vec![(0, told)]));
        }
        assert!(matches!(end(&mut worker.source), Polled::End { task, .. } if task == downstream));
        worker.source.unassign(downstream).unwrap();
    }
}

#[test]
fn an_epoch_outlives_its_broker() {
    let mut broker = Broker::start(&[]);
    // The broker may be away for longer than the sessions of other tests last.
    let world = World::with_client(broker.client().with_timing(Timing::default()));
    let mut worker = world.worker(0, &[0]);
    worker.sink.begin().unwrap();
    worker.sink.send(OUT, Partition(0), &batch([(None, "before")])).unwrap();
    worker.sink.flush().unwrap();
    broker.kill();
    worker.sink.send(OUT, Partition(0), &batch([(None, "down")])).unwrap();
    broker.restart();
    let row = sealed(&mut worker, 0, 1, 1);
    worker.sink.commit(&[row]).unwrap();
    assert_eq!(worker.tasks.row(task(0)).unwrap().unwrap().epoch, Epoch(1));
    assert_eq!(worker.changelogs.end(CHANGELOG, Partition(0)).unwrap(), Offset(0));
    let values = world.values(&broker);
    assert_eq!(values, ["before", "down"]);
}
