use std::time::Duration;

use wasmill::broker::{Broker as _, BrokerError, Cursor, Extent, find};
use wasmill::kafka::records::Records;
use wasmill_core::batch::{Batch, Message, encode_headers};
use wasmill_core::record::{Offset, Partition};

use super::world::{batch, now};
use crate::support::kafka::Broker;

#[test]
fn records_of_the_command_line_come_back_as_they_were() {
    let mut log = Records::connect(Broker::shared().client()).unwrap();
    let topic = format!("command-line-{}", std::process::id());
    assert!(matches!(log.append(&topic, &Batch::default()), Err(BrokerError::Refused(_))), "no such topic");
    log.ensure(&topic, 2).unwrap();
    log.ensure(&topic, 5).unwrap();
    let headers = encode_headers([("trace", Some(&b"1"[..])), ("empty", None), ("trace", Some(&b""[..]))]);
    let mut batch = Batch::default();
    for (key, value, headers, later) in [
        (Some(&b"abc"[..]), Some(&b"one"[..]), Some(headers.as_slice()), 0),
        (Some(b"abc"), None, None, 1),
        (Some(b"abc"), Some(b""), None, 2),
    ] {
        batch.push(Message { key, value, headers, timestamp: now().plus(later) });
    }
    let partition = wasmill::partitioner::partition(b"abc", 2);
    let mut counts = vec![0, 0];
    counts[partition.0 as usize] = 3;
    assert_eq!(log.append(&topic, &batch).unwrap(), counts);

    let topics = log.topics().unwrap();
    let listed = find(&topics, &topic).unwrap();
    assert_eq!(listed.kind, "records");
    assert_eq!(listed.partitions[partition.0 as usize], Extent { start: 0, end: 4 });
    let mut cursors = [0, 1].map(|partition| Cursor { partition: Partition(partition), next: Offset(0) });
    let mut read = Batch::default();
    while cursors[partition.0 as usize].next < Offset(4) {
        for chunk in log.fetch(&topic, &mut cursors, Duration::from_secs(1)).unwrap() {
            assert_eq!(chunk.partition, partition);
            chunk.records.iter().for_each(|message| read.push(message));
        }
    }
    assert_eq!(read, batch);
    let mut cursors = [Cursor { partition, next: Offset(2) }];
    let chunks = log.fetch(&topic, &mut cursors, Duration::from_mins(1)).unwrap();
    assert_eq!(chunks[0].offsets, [2], "from another place");
}

#[test]
fn a_record_that_kafka_refuses_keeps_all_of_them_out() {
    let broker = Broker::shared();
    let mut log = Records::connect(broker.client()).unwrap();
    let topic = format!("refused-{}", std::process::id());
    log.ensure(&topic, 1).unwrap();
    let giant = "x".repeat(2_000_000);
    let refused = log.append(&topic, &batch([(None, "small"), (None, giant.as_str())]));
    assert!(matches!(&refused, Err(BrokerError::Refused(message)) if message.contains("nothing was written")));
    broker.settle(&topic);
    assert_eq!(broker.read(&[&topic]), Vec::<serde_json::Value>::new());
}
