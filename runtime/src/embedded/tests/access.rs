//! Commands reach the log, whoever has it.

use std::fs;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use super::super::{Server, connect};
use super::*;
use crate::broker::{Broker, BrokerError, Cursor};

const LONG: Duration = Duration::from_secs(60);

fn cursors() -> [Cursor; 2] {
    [0, 1].map(|partition| Cursor { partition: Partition(partition), next: Offset(0) })
}

/// Makes a topic, writes to it, reads it, and finds what is not there.
fn use_it(broker: &mut dyn Broker) {
    broker.ensure("letters", 2).unwrap();
    broker.ensure("letters", 5).unwrap();
    let records = batch(&[(Some("abc"), "a"), (None, "b"), (None, "c")]);
    assert_eq!(broker.append("letters", &records).unwrap(), [1, 2]);
    let topics = broker.topics().unwrap();
    let letters = topics.iter().find(|listed| listed.topic == "letters").unwrap();
    assert_eq!((letters.kind.as_str(), letters.partitions.len(), letters.partitions[1].end), ("records", 2, 2));

    let mut cursors = cursors();
    let chunks = broker.fetch("letters", &mut cursors, LONG).unwrap();
    let values: Vec<_> = chunks.iter().flat_map(|chunk| chunk.records.iter()).map(|record| record.value).collect();
    assert_eq!(values, [Some(&b"b"[..]), Some(b"a"), Some(b"c")]);
    assert_eq!(chunks[1].offsets, [0, 1]);
    assert_eq!(cursors.map(|cursor| cursor.next), [Offset(1), Offset(2)]);
    assert_eq!(broker.fetch("letters", &mut cursors, Duration::ZERO).unwrap(), []);

    assert!(matches!(broker.append("nowhere", &records), Err(BrokerError::Refused(_))));
    let error = broker.append("count-changelog", &records).unwrap_err().to_string();
    assert_eq!(error, "topic count-changelog is a changelog topic: append needs one of records");
}

#[test]
fn a_free_directory_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    use_it(&mut connect(dir.path()).unwrap());
    DataDir::open(dir.path()).unwrap();
}

#[test]
fn a_directory_in_use_is_reached_through_its_process() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let server = Server::start(log.clone()).unwrap();
    use_it(&mut connect(dir.path()).unwrap());
    assert_eq!(all_values(&log, "letters"), ["b", "a", "c"]);
    drop(server);
    assert!(!DataDir::socket(dir.path()).exists());
    drop(log);
    DataDir::open(dir.path()).unwrap();
}

#[test]
fn a_fetch_through_the_socket_waits_for_a_commit() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let _server = Server::start(log.clone()).unwrap();
    let mut connection = connect(dir.path()).unwrap();
    let topic = log.topic("in").unwrap();
    let writer = thread::spawn(move || log.append(&topic, &batch(&[(None, "late")])).unwrap());
    let chunks = connection.fetch("in", &mut cursors(), LONG).unwrap();
    assert_eq!(chunks.len(), 1);
    writer.join().unwrap();
}

#[test]
fn a_reader_that_waits_lets_a_pipeline_start_and_outlives_it() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let mut connection = connect(dir.path()).unwrap();
    let mut cursors = cursors();
    assert_eq!(connection.fetch("in", &mut cursors, Duration::from_millis(1)).unwrap(), []);

    let log = open(dir.path());
    let server = Server::start(log.clone()).unwrap();
    log.append(&log.topic("in").unwrap(), &batch(&[(None, "first")])).unwrap();
    assert_eq!(connection.fetch("in", &mut cursors, LONG).unwrap().len(), 1);
    log.append(&log.topic("in").unwrap(), &batch(&[(None, "second")])).unwrap();
    drop(server);
    drop(log);
    assert_eq!(connection.fetch("in", &mut cursors, LONG).unwrap().len(), 1);
}

#[test]
fn a_client_that_talks_nonsense_harms_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    fs::write(DataDir::socket(dir.path()), "left behind").unwrap();
    let _server = Server::start(log).unwrap();
    let mut nonsense = UnixStream::connect(DataDir::socket(dir.path())).unwrap();
    std::io::Write::write_all(&mut nonsense, &[1, 255, 255, 255, 255, 255, 255, 255, 255, 0]).unwrap();
    assert_eq!(std::io::Read::read(&mut nonsense, &mut [0; 9]).unwrap_or(0), 0);
    use_it(&mut connect(dir.path()).unwrap());
}
