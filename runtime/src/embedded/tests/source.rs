use std::thread;
use std::time::Duration;

use wasmill_core::port::{Control, Fault, Mark, Polled, Position, Source as _};

use super::super::{Source, Stops};
use super::*;

const NOW: Duration = Duration::ZERO;
const LONG: Duration = Duration::from_mins(1);

fn source(log: &Log, stops: Stops) -> Source {
    Source::new(log.clone(), topology(), stops)
}

fn at(input: u32, next: i64) -> Position {
    Position { input, next: Offset(next), mark: Mark::NONE }
}

/// Appends so many records to one partition of `in`.
fn fill(log: &Log, partition: u32, count: usize) {
    let key = (0..99)
        .map(|n: u32| n.to_string())
        .find(|key| crate::partitioner::partition(key.as_bytes(), 2) == Partition(partition));
    let records: Vec<_> = (0..count).map(|_| (key.as_deref(), "value")).collect();
    log.append(&log.topic("in").unwrap(), &batch(&records)).unwrap();
}

/// What polls bring until there is nothing: task's partition, number of records, next offset; no number at an end.
fn polled(source: &mut Source) -> Vec<(u32, Option<usize>, i64)> {
    let mut seen = Vec::new();
    loop {
        seen.push(match source.poll(NOW).unwrap() {
            Polled::Nothing => return seen,
            Polled::Records(fetched) => {
                assert_eq!(fetched.records.len(), fetched.offsets.len());
                (fetched.task.partition.0, Some(fetched.records.len()), fetched.next.0)
            }
            Polled::End { task, next, .. } => (task.partition.0, None, next.0),
        });
    }
}

#[test]
fn inputs_are_read_in_turns_and_their_ends_are_told_once() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    fill(&log, 0, 300);
    fill(&log, 1, 3);
    let mut source = source(&log, Stops::new());
    source.assign(task(0, 0), &[at(0, 0)]).unwrap();
    source.assign(task(0, 1), &[at(0, 1)]).unwrap();
    let turns = [(0, Some(256), 256), (1, Some(2), 3), (0, Some(44), 300), (1, None, 3), (0, None, 300)];
    assert_eq!(polled(&mut source), turns);
    assert_eq!(polled(&mut source), []);
    fill(&log, 1, 1);
    assert_eq!(polled(&mut source), [(1, Some(1), 4), (1, None, 4)]);
}

#[test]
fn an_input_with_a_stop_ends_there() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    fill(&log, 0, 10);
    let mut source = source(&log, Stops::from([((task(0, 0), 0), Offset(4))]));
    source.assign(task(0, 0), &[at(0, 0)]).unwrap();
    assert_eq!(polled(&mut source), [(0, Some(4), 4), (0, None, 4)]);
    fill(&log, 0, 10);
    assert_eq!(polled(&mut source), []);
}

#[test]
fn an_input_can_be_assigned_anew_and_taken_away() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    fill(&log, 0, 5);
    let mut source = source(&log, Stops::new());
    source.assign(task(0, 0), &[at(0, 4)]).unwrap();
    source.assign(task(0, 0), &[at(0, 2)]).unwrap();
    assert_eq!(polled(&mut source), [(0, Some(3), 5), (0, None, 5)]);
    source.unassign(task(0, 0)).unwrap();
    fill(&log, 0, 5);
    assert_eq!(polled(&mut source), []);
    let error = source.assign(task(0, 0), &[at(0, 11)]).unwrap_err();
    assert_eq!(error, Fault::Fatal("read in partition 0 from offset 11: it holds offsets 0 to 10".into()));
}

#[test]
fn large_records_come_in_small_batches() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let large = "x".repeat(100 << 10);
    let topic = log.create_topic("in", 2, Kind::Records).unwrap();
    log.append(&topic, &batch(&[(Some("21"), &large), (Some("21"), &large), (Some("21"), &large.repeat(4))])).unwrap();
    let partition = crate::partitioner::partition(b"21", 2).0;
    let mut source = source(&log, Stops::new());
    source.assign(task(0, partition), &[at(0, 0)]).unwrap();
    assert_eq!(polled(&mut source), [(partition, Some(2), 2), (partition, Some(1), 3), (partition, None, 3)]);
}

#[test]
fn a_poll_waits_for_a_commit() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let mut source = source(&log, Stops::new());
    source.assign(task(0, 0), &[at(0, 0)]).unwrap();
    assert!(matches!(source.poll(LONG).unwrap(), Polled::End { .. }));
    let writer = thread::spawn(move || fill(&log, 0, 1));
    assert!(matches!(source.poll(LONG).unwrap(), Polled::Records(_)));
    writer.join().unwrap();
}

#[test]
fn inputs_begin_where_the_plan_says() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    fill(&log, 0, 5);
    log.purge(&log.topic("in").unwrap(), Partition(0), Offset(2)).unwrap();
    let mut source = source(&log, Stops::new());
    for (partition, input, start) in [(0, 0, 2), (0, 1, 5), (1, 0, 0), (7, 1, 0)] {
        assert_eq!(source.start(task(0, partition), input).unwrap(), Offset(start), "{partition} {input}");
    }
    source.assign(task(0, 7), &[at(0, 0)]).unwrap();
    assert_eq!(polled(&mut source), [(7, None, 0)]);
    assert!(source.start(task(0, 0), 2).is_err());
}

#[test]
fn control_records_stand_between_the_records_of_a_repartition_topic() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let mut sink = sink(&log, "w0");
    let control = |watermark| Control { from: task(0, 1), watermark: Timestamp(watermark), idle: false };
    sink.tell(MIDDLE, control(1)).unwrap();
    sink.send(MIDDLE, Partition(0), &batch(&[(Some("abc"), "a"), (Some("abc"), "b")])).unwrap();
    sink.tell(MIDDLE, control(2)).unwrap();
    sink.commit(&[]).unwrap();
    let mut source = source(&log, Stops::new());
    source.assign(task(1, 1), &[at(0, 0)]).unwrap();
    let Polled::Records(fetched) = source.poll(NOW).unwrap() else { panic!("no records") };
    assert_eq!(fetched.controls, [(0, control(1)), (2, control(2))]);
    assert_eq!((fetched.offsets, fetched.next), (vec![1, 2], Offset(4)));
    source.assign(task(1, 0), &[at(0, 0)]).unwrap();
    source.unassign(task(1, 1)).unwrap();
    let Polled::Records(fetched) = source.poll(NOW).unwrap() else { panic!("no records") };
    assert_eq!(fetched.controls, [(0, control(1)), (0, control(2))]);
    assert!(fetched.records.is_empty() && fetched.next == Offset(2));
}
