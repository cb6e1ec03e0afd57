use std::ops::ControlFlow::{Break, Continue};
use std::ops::Range;
use std::time::{Duration, Instant};

use wasmill::kafka::Changelogs;
use wasmill_core::port::{Changelog, ChangelogId, Fault, Sink, Visit};
use wasmill_core::record::{Offset, Partition};

use super::world::{CHANGELOG, World, sealed};
use crate::support::kafka::Broker;

/// Reads on until the end is reached.
fn to_end(changelogs: &mut Changelogs, offsets: Range<Offset>, visit: &mut Visit<'_>) -> Result<Offset, Fault> {
    let (mut next, wait) = (offsets.start, Duration::from_millis(100));
    while next < offsets.end {
        next = changelogs.read(CHANGELOG, Partition(0), next..offsets.end, wait, visit)?;
    }
    Ok(next)
}

/// Changes of rows, and whether they are committed.
type Epoch = (&'static [(&'static str, Option<&'static str>)], bool);

#[test]
fn a_changelog_is_read_to_its_end_across_the_holes_of_transactions() {
    let world = World::new(Broker::shared());
    let mut worker = world.worker(0, &[0]);
    let partition = Partition(0);
    // Offsets: a=0, b=1, marker=2; aborted=3, marker=4; a=5, marker=6; deleted b=7, marker=8.
    let epochs: [Epoch; 4] = [
        (&[("a", Some("1")), ("b", Some("1"))], true),
        (&[("a", Some("aborted"))], false),
        (&[("a", Some("2"))], true),
        (&[("b", None)], true),
    ];
    let mut ends = Vec::new();
    for (epoch, (changes, commits)) in (1..).zip(epochs) {
        worker.sink.begin().unwrap();
        for (row, value) in changes {
            worker.sink.change(CHANGELOG, partition, row.as_bytes(), value.map(str::as_bytes)).unwrap();
        }
        worker.sink.flush().unwrap();
        if commits {
            let row = sealed(&mut worker, 0, epoch, 1);
            ends.extend(worker.sink.commit(&[row]).unwrap().into_iter().map(|written| written.next.0));
        } else {
            worker.sink.abort().unwrap();
        }
    }
    assert_eq!(ends, [2, 6, 8]);
    Broker::shared().settle(&world.topic("changelog"));
    let end = worker.changelogs.end(CHANGELOG, partition).unwrap();
    assert_eq!(end, Offset(9));
    let mut read_by = |slice: usize, from: i64, end: Offset| {
        let mut seen = Vec::new();
        let stopped = to_end(&mut worker.changelogs, Offset(from)..end, &mut |offset, row, value| {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            seen.push((offset.0, text(row), value.map(text)));
            if seen.len() % slice > 0 { Continue(()) } else { Break(()) }
        });
        (stopped, seen)
    };
    let record = |offset, row: &str, value: Option<&str>| (offset, row.to_owned(), value.map(str::to_owned));
    let all = [record(0, "a", Some("1")), record(1, "b", Some("1")), record(5, "a", Some("2")), record(7, "b", None)];
    for slice in [1, 2, 3] {
        assert_eq!(read_by(slice, 0, end), (Ok(Offset(9)), all.to_vec()), "in slices of {slice}");
    }
    let mut read = |from, end| read_by(usize::MAX, from, end);
    assert_eq!(read(0, end), (Ok(Offset(9)), all.to_vec()), "whole");
    assert_eq!(read(2, end), (Ok(Offset(9)), all[2..].to_vec()), "the tail");
    assert_eq!(read(8, end), (Ok(Offset(9)), Vec::new()), "nothing but a marker");
    assert_eq!(read(9, end), (Ok(Offset(9)), Vec::new()), "nothing");
    assert_eq!(read(0, Offset(1)), (Ok(Offset(1)), all[..1].to_vec()), "an end that is not the log's");
    assert!(matches!(read(50, Offset(60)).0, Err(Fault::Store(_))), "another changelog's offset");
    assert_eq!(read(0, end).1, all, "after a failure");
}

#[test]
fn the_end_counts_records_that_are_not_committed_and_the_reader_waits_for_them() {
    let world = World::new(Broker::shared());
    let mut worker = world.worker(0, &[0]);
    worker.sink.begin().unwrap();
    worker.sink.change(CHANGELOG, Partition(0), b"row", Some(b"value")).unwrap();
    worker.sink.flush().unwrap();
    let end = worker.changelogs.end(CHANGELOG, Partition(0)).unwrap();
    assert_eq!(end, Offset(1));
    let row = sealed(&mut worker, 0, 1, 1);
    let mut changelogs = worker.changelogs;
    let reading = std::thread::spawn(move || {
        let mut seen = 0;
        let stopped = to_end(&mut changelogs, Offset(0)..end, &mut |_, _, _| {
            seen += 1;
            Continue(())
        });
        (stopped, seen)
    });
    worker.sink.commit(&[row]).unwrap();
    assert_eq!(reading.join().unwrap(), (Ok(Offset(1)), 1));
}

#[test]
fn a_changelog_that_was_made_again_has_another_identity() {
    let broker = Broker::shared();
    let world = World::new(broker);
    let mut worker = world.worker(0, &[0]);
    let identity = worker.changelogs.identity(CHANGELOG).unwrap();
    assert!(identity.contains(&world.topic("changelog")), "{identity}");
    let again = world.other(broker, "node-1");
    let mut same = again.pipeline.worker(0, &again.group).unwrap();
    assert_eq!(same.changelogs.identity(CHANGELOG).unwrap(), identity);
    super::errors::make_again(broker, &world.topic("changelog"));
    let after = world.other(broker, "node-1");
    let mut other = after.pipeline.worker(0, &after.group).unwrap();
    assert_ne!(other.changelogs.identity(CHANGELOG).unwrap(), identity);
}

/// Two partitions are read in turns, a record at a time, and one of them is left: each goes on where it stopped.
#[test]
fn a_read_goes_on_where_it_stopped_though_another_came_between() {
    let world = World::new(Broker::shared());
    let mut worker = world.worker(0, &[0, 1]);
    for epoch in 1..=3_u64 {
        worker.sink.begin().unwrap();
        for partition in [0, 1] {
            let value = format!("{epoch} of {partition}");
            worker.sink.change(CHANGELOG, Partition(partition), b"row", Some(value.as_bytes())).unwrap();
        }
        worker.sink.flush().unwrap();
        let rows = [0, 1].map(|partition| sealed(&mut worker, partition, epoch, 1));
        worker.sink.commit(&rows).unwrap();
    }
    let (mut next, mut seen) = ([Offset(0); 2], [Vec::new(), Vec::new()]);
    for round in 0..100 {
        // The second begins late, and is read three times in a row then.
        let partition = usize::from(round > 2 && round % 4 > 0);
        let id = Partition(partition as u32);
        let end = worker.changelogs.end(CHANGELOG, id).unwrap();
        let slice = worker.changelogs.read(
            CHANGELOG,
            id,
            next[partition]..end,
            Duration::from_millis(500),
            &mut |_, _, value| {
                seen[partition].push(String::from_utf8(value.unwrap().to_vec()).unwrap());
                Break(())
            },
        );
        next[partition] = slice.unwrap();
        if round == 50 {
            worker.changelogs.close();
        }
    }
    let wanted = |partition| [1, 2, 3].map(|epoch| format!("{epoch} of {partition}"));
    assert_eq!(seen, [wanted(0).to_vec(), wanted(1).to_vec()]);
}

/// librdkafka, left alone, looks up a topic that a connected client has not read yet when its timer of one second comes.
#[test]
fn a_changelog_that_is_read_behind_another_is_looked_up_at_once() {
    const MORE: u16 = 8;
    let world = World::with_more_changelogs(Broker::shared(), MORE);
    let mut worker = world.worker(0, &[0]);
    let (partition, all) = (Partition(0), (0..=MORE).map(ChangelogId));
    worker.sink.begin().unwrap();
    for changelog in all.clone() {
        worker.sink.change(changelog, partition, b"row", Some(b"value")).unwrap();
    }
    worker.sink.flush().unwrap();
    let row = sealed(&mut worker, 0, 1, 1);
    worker.sink.commit(&[row]).unwrap();

    let mut read = |changelog| {
        let (mut next, end) = (Offset(0), worker.changelogs.end(changelog, partition).unwrap());
        let mut rows = 0;
        while next < end {
            let wait = Duration::from_millis(100);
            let mut visit = |_: Offset, _: &[u8], _: Option<&[u8]>| {
                rows += 1;
                Continue(())
            };
            next = worker.changelogs.read(changelog, partition, next..end, wait, &mut visit).unwrap();
        }
        assert_eq!(rows, 1, "{changelog:?}");
    };
    read(CHANGELOG);
    let begun = Instant::now();
    all.skip(1).for_each(read);
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(u64::from(MORE) / 2), "{MORE} further changelogs took {took:?}");
}
