use std::thread;

use wasmill_core::port::{Fault, Lease, Sealed, Sink as _, Tasks as _, Written};

use super::super::{LogError, Tasks};
use super::*;

#[test]
fn an_epoch_is_seen_whole_when_it_is_committed() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let mut sink = sink(&log, "w0");
    let mut tasks = Tasks::new(log.clone(), topology(), "w0");
    sink.send(OUT, Partition(3), &batch(&[(None, "a"), (Some("abc"), "b"), (None, "c")])).unwrap();
    sink.change(COUNTS, Partition(1), b"k", Some(b"1")).unwrap();
    sink.flush().unwrap();
    assert_eq!(all_values(&log, "out"), [""; 0]);
    assert_eq!(tasks.row(task(0, 1)).unwrap(), None);

    let written = sink.commit(&[sealed(task(0, 1), 1, "w0"), sealed(task(1, 1), 5, "")]).unwrap();
    assert_eq!(written, [Written { changelog: COUNTS, partition: Partition(1), next: Offset(1) }]);
    let out = log.topic("out").unwrap();
    let of_abc = crate::partitioner::partition(b"abc", 2).0;
    assert_eq!(of_abc, 1);
    assert_eq!(values(&log, &out, 0), []);
    assert_eq!(values(&log, &out, 1), [(0, "a".into()), (1, "b".into()), (2, "c".into())]);
    assert_eq!(tasks.row(task(0, 1)).unwrap(), Some(sealed(task(0, 1), 1, "w0").row));
    assert_eq!(tasks.owner(task(0, 1)).unwrap().as_deref(), Some("w0"));
    assert_eq!(tasks.owner(task(1, 1)).unwrap(), None);
    assert_eq!(tasks.row(task(0, 0)).unwrap(), None);
}

#[test]
fn an_aborted_epoch_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let mut sink = sink(&log, "w0");
    sink.send(OUT, Partition(0), &batch(&[(None, "dropped")])).unwrap();
    sink.change(COUNTS, Partition(0), b"k", Some(b"1")).unwrap();
    sink.abort().unwrap();
    sink.begin().unwrap();
    sink.send(OUT, Partition(0), &batch(&[(None, "kept")])).unwrap();
    assert_eq!(sink.commit(&[sealed(task(0, 0), 1, "w0")]).unwrap(), []);
    assert_eq!(all_values(&log, "out"), ["kept"]);
    assert_eq!(all_values(&log, "count-changelog"), [""; 0]);
}

#[test]
fn what_was_committed_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let id = log.id();
    let mut first = sink(&log, "w0");
    first.send(OUT, Partition(0), &batch(&[(None, "a")])).unwrap();
    first.commit(&[sealed(task(0, 0), 1, "w0")]).unwrap();
    let commits = log.commits();
    drop((first, log));

    let log = open(dir.path());
    assert_eq!((log.id(), log.commits(), log.synced()), (id, commits, commits));
    let mut second = sink(&log, "w0");
    second.send(OUT, Partition(0), &batch(&[(None, "b")])).unwrap();
    second.commit(&[sealed(task(0, 0), 2, "w0")]).unwrap();
    assert_eq!(all_values(&log, "out"), ["a", "b"]);
    assert_eq!(Tasks::new(log, topology(), "w0").row(task(0, 0)).unwrap().unwrap().epoch, Epoch(2));
}

#[test]
fn sinks_of_two_workers_commit_side_by_side() {
    const EPOCHS: u64 = 200;
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let workers = [0, 1].map(|worker: u32| {
        let log = log.clone();
        thread::spawn(move || {
            let id = format!("w{worker}");
            let mut sink = sink(&log, &id);
            let mut next = Offset(0);
            for epoch in 1..=EPOCHS {
                sink.begin().unwrap();
                let value = format!("{worker} {epoch}");
                sink.send(OUT, Partition(0), &batch(&[(None, &value), (None, &value)])).unwrap();
                sink.change(COUNTS, Partition(worker), b"k", Some(value.as_bytes())).unwrap();
                let written = sink.commit(&[sealed(task(0, worker), epoch, &id)]).unwrap();
                assert_eq!(written.len(), 1);
                assert!(written[0].partition == Partition(worker) && written[0].next > next);
                next = written[0].next;
            }
        })
    });
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    let values = values(&log, &log.topic("out").unwrap(), 0);
    assert_eq!(values.len(), 4 * EPOCHS as usize);
    assert!(values.chunks(2).all(|epoch| epoch[0].1 == epoch[1].1), "epochs are not mixed");
    for worker in 0..2 {
        let epochs = values.iter().step_by(2).filter_map(|(_, value)| value.strip_prefix(&format!("{worker} ")));
        assert!(epochs.map(|epoch| epoch.parse::<u64>().unwrap()).eq(1..=EPOCHS));
    }
    let mut rows = Tasks::new(log, topology(), "");
    assert!([0, 1].iter().all(|&worker| rows.row(task(0, worker)).unwrap().unwrap().epoch == Epoch(EPOCHS)));
}

#[test]
fn a_sink_whose_id_was_taken_over_commits_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let mut old = sink(&log, "w0");
    let mut other = sink(&log, "w1");
    old.send(OUT, Partition(0), &batch(&[(None, "stale")])).unwrap();
    Tasks::new(log.clone(), topology(), "w1").fence("w0").unwrap();
    let error = old.commit(&[sealed(task(0, 0), 1, "w0")]).unwrap_err();
    assert_eq!(error, Fault::Fatal("commit as w0: another worker has taken over this id".into()));
    other.commit(&[sealed(task(0, 0), 1, "w1")]).unwrap();
    assert_eq!(all_values(&log, "out"), [""; 0]);

    let mut new = sink(&log, "w1");
    assert!(other.commit(&[]).is_err());
    new.commit(&[sealed(task(0, 0), 2, "w1")]).unwrap();
    other.reset().unwrap();
    assert!(new.commit(&[]).is_err());
    other.commit(&[sealed(task(0, 0), 3, "w1")]).unwrap();
}

#[test]
fn a_commit_under_another_lease_or_of_an_older_epoch_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let mut sink = sink(&log, "w0");
    let mut tasks = Tasks::new(log.clone(), topology(), "w0");
    let lease = tasks.lease(task(0, 0)).unwrap();
    let other = Lease { serial: lease.serial + 1, ..lease };
    let refused = sink.commit(&[Sealed { lease: other, ..sealed(task(0, 0), 1, "w0") }]);
    assert!(matches!(refused, Err(Fault::Abort(_))), "{refused:?}");

    sink.commit(&[sealed(task(0, 0), 7, "w0")]).unwrap();
    sink.commit(&[sealed(task(0, 0), 7, "")]).unwrap();
    let refused = sink.commit(&[sealed(task(0, 0), 6, "w0")]).unwrap_err();
    assert_eq!(refused.to_string(), "commit epoch 6 of task in-tasks/0: its row is at epoch 7 already");
    assert_eq!(tasks.row(task(0, 0)).unwrap().unwrap().epoch, Epoch(7));
}

#[test]
fn records_are_appended_to_the_partitions_of_their_keys() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let topic = log.create_topic("keys", 4, Kind::Records).unwrap();
    let records = batch(&[(None, "0"), (Some("foobar"), "1"), (None, "2"), (None, "3"), (None, "4"), (None, "5")]);
    assert_eq!(log.append(&topic, &records).unwrap(), [2, 1, 2, 1]);
    let of_foobar = (-790_332_482_i32 & i32::MAX) as u32 % 4;
    assert!(values(&log, &topic, of_foobar).iter().any(|(_, value)| value == "1"));
    assert_eq!(log.append(&topic, &Batch::default()).unwrap(), [0; 4]);
}

#[test]
fn purged_records_are_gone_and_offsets_stay() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let topic = log.create_topic("one", 1, Kind::Records).unwrap();
    let many: Vec<_> = (0..25_000).map(|_| (None, "x")).collect();
    log.append(&topic, &batch(&many)).unwrap();
    log.purge(&topic, Partition(0), Offset(24_998)).unwrap();
    assert_eq!(values(&log, &topic, 0), [(24_998, "x".into()), (24_999, "x".into())]);
    let error = log.fetch(&topic, Partition(0), Offset(1), 10, 10).unwrap_err();
    assert!(matches!(error, LogError::OutOfRange { start: Offset(24_998), end: Offset(25_000), .. }), "{error}");
    log.purge(&topic, Partition(0), Offset(99_999)).unwrap();
    drop(log);
    let log = open(dir.path());
    log.append(&topic, &batch(&[(None, "next")])).unwrap();
    assert_eq!(values(&log, &topic, 0), [(25_000, "next".into())]);
    let changelog = log.topic("count-changelog").unwrap();
    assert!(log.purge(&changelog, Partition(0), Offset(1)).is_err());
}

#[test]
fn a_topic_is_made_once() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    assert_eq!(log.create_topic("in", 9, Kind::Records).unwrap().partitions, 2);
    assert!(matches!(log.create_topic("in", 2, Kind::Changelog), Err(LogError::WrongKind { .. })));
    assert!(matches!(log.create_topic("a/b", 2, Kind::Records), Err(LogError::InvalidName(_))));
    assert!(matches!(log.topic("nowhere"), Err(LogError::UnknownTopic(_))));
    let missing = log.end(&log.topic("in").unwrap(), Partition(2)).unwrap_err().to_string();
    assert_eq!(missing, "topic in has partitions 0 to 1, not 2");
}

#[test]
fn synced_follows_commits() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    log.sync().unwrap();
    assert_eq!(log.synced(), log.commits());
    let mut sink = Sink::new(log.clone(), topology(), "w0", true);
    sink.commit(&[sealed(task(0, 0), 1, "w0")]).unwrap();
    assert_eq!(log.synced(), log.commits());
}
