use std::time::Duration;

use wasmill::broker::Broker as _;
use wasmill::kafka::records::Records;
use wasmill_core::port::{Fault, Mark, Polled, Position, Source};
use wasmill_core::record::{Offset, Partition, TaskId};

use super::world::{PATIENCE, WIDTH, World, batch, end, records, task};
use crate::support::kafka::Broker;

/// Fills the source topic, as many records in each partition, and one commit marker behind them.
fn feed(broker: &Broker, world: &World, per_partition: u64) {
    let values: Vec<_> = (0..per_partition * u64::from(WIDTH)).map(|number| number.to_string()).collect();
    let mut log = Records::connect(broker.client()).unwrap();
    let counts = log.append(&world.topic("in"), &batch(values.iter().map(|value| (None, value.as_str())))).unwrap();
    assert_eq!(counts, vec![per_partition; WIDTH as usize]);
    broker.settle(&world.topic("in"));
}

fn at(next: i64) -> Position {
    Position { input: 0, next: Offset(next), mark: Mark::NONE }
}

#[test]
fn all_partitions_are_read_to_their_ends_behind_the_markers() {
    let broker = Broker::shared();
    let world = World::new(broker);
    feed(broker, &world, 1_000);
    let mut source = world.pipeline.worker(0, &world.group).unwrap().source;
    for partition in 0..WIDTH {
        let start = source.start(task(partition), 0).unwrap();
        assert_eq!(start, Offset(0));
        source.assign(task(partition), &[at(start.0)]).unwrap();
    }
    let mut next = vec![0; WIDTH as usize];
    let mut ended = vec![None; WIDTH as usize];
    while ended.contains(&None) {
        match source.poll(PATIENCE).unwrap() {
            Polled::Records(fetched) => {
                let (partition, count) = (fetched.task.partition.0 as usize, fetched.offsets.len() as i64);
                assert!(count <= 256);
                assert_eq!(fetched.offsets, (next[partition]..next[partition] + count).collect::<Vec<_>>());
                next[partition] += count;
                assert_eq!(fetched.next, Offset(next[partition]));
            }
            Polled::End { task, input: 0, next } => ended[task.partition.0 as usize] = Some(next.0),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(next, [1_000; 4]);
    assert_eq!(ended, [Some(1_001); 4], "the marker of the transaction is behind the last record");
    assert_eq!(source.poll(Duration::ZERO).unwrap(), Polled::Nothing);
}

#[test]
fn a_rewind_delivers_exactly_from_its_position_on() {
    let broker = Broker::shared();
    let world = World::new(broker);
    feed(broker, &world, 5_000);
    let mut source = world.pipeline.worker(0, &world.group).unwrap().source;
    let mut next = vec![0_i64; WIDTH as usize];
    for partition in 0..WIDTH {
        source.assign(task(partition), &[at(0)]).unwrap();
    }
    let mut dice = 7_u64;
    for round in 0..60 {
        for _ in 0..4 {
            let fetched = records(&mut source);
            let partition = fetched.task.partition.0 as usize;
            for &offset in &fetched.offsets {
                assert_eq!(offset, next[partition], "round {round}, partition {partition}");
                next[partition] += 1;
            }
        }
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let partition = (dice >> 33) as usize % WIDTH as usize;
        // Back, and sometimes ahead, into what has been fetched already.
        next[partition] = if round % 3 == 0 { (next[partition] + 700).min(2_000) } else { next[partition] / 2 };
        source.assign(task(partition as u32), &[at(next[partition])]).unwrap();
    }
    source.unassign(task(0)).unwrap();
    for _ in 0..20 {
        assert_ne!(records(&mut source).task, task(0), "nothing of a task that was unassigned");
        for partition in 1..WIDTH {
            source.assign(task(partition), &[at(0)]).unwrap();
        }
    }
}

#[test]
fn an_input_that_is_to_stop_ends_there() {
    let broker = Broker::shared();
    let world = World::new(broker);
    feed(broker, &world, 10);
    let mut source = world.pipeline.worker(0, &world.group).unwrap().source;
    assert_eq!(source.end(task(0), 0).unwrap(), Some(Offset(11)));
    source.stop_at(task(0), 0, Offset(4));
    source.assign(task(0), &[at(1)]).unwrap();
    assert_eq!(records(&mut source).offsets, [1, 2, 3]);
    let stopped = Polled::End { task: task(0), input: 0, next: Offset(4) };
    assert_eq!(end(&mut source), stopped);
    source.assign(task(0), &[at(4)]).unwrap();
    assert_eq!(source.poll(PATIENCE).unwrap(), stopped, "nothing is left");
    let beyond = TaskId { stage: 0, partition: Partition(WIDTH) };
    assert_eq!(source.end(beyond, 0).unwrap(), None);
    source.assign(beyond, &[at(0)]).unwrap();
    assert_eq!(source.poll(PATIENCE).unwrap(), Polled::End { task: beyond, input: 0, next: Offset(0) });
}

#[test]
fn a_position_that_is_not_in_the_topic_is_told_with_the_numbers() {
    let broker = Broker::shared();
    let world = World::new(broker);
    feed(broker, &world, 10);
    let mut source = world.pipeline.worker(0, &world.group).unwrap().source;
    source.assign(task(0), &[at(900)]).unwrap();
    let fault = std::iter::repeat_with(|| source.poll(Duration::from_secs(1))).find_map(Result::err);
    let Some(Fault::Fatal(message)) = fault else { panic!("{fault:?}") };
    assert!(message.contains("offset 900") && message.contains("0 to 11"), "{message}");
}
