//! Rows on a node's disk that are gone, broken or old: it reads from the changelogs what it lacks, and goes on.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::support::fleet::{Acquired, Said};
use crate::support::kafka::Broker;
use crate::support::ledger::{Ledger, TASKS};

/// Lets a node work for a while. Answers how it acquired its tasks, and what it said.
#[track_caller]
fn work(ledger: &Ledger) -> Said {
    let node = ledger.node("node");
    let flow = ledger.flow();
    node.until("work", |said| said.tasks.len() == TASKS && said.went_on(&Said::default(), 15));
    flow.end();
    node.stop()
}

/// Rows restored of each task, and all of them.
fn restored(acquired: &BTreeMap<String, Acquired>) -> (BTreeMap<&str, u64>, u64) {
    let rows: BTreeMap<_, _> = acquired.iter().map(|(task, acquired)| (task.as_str(), acquired.restored)).collect();
    let all = rows.values().sum();
    (rows, all)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (entry, to) = entry.map(|entry| (entry.path(), to.join(entry.file_name()))).unwrap();
        if entry.is_dir() {
            copy(&entry, &to);
        } else {
            fs::copy(entry, to).unwrap();
        }
    }
}

/// Flips bits of each file, from its first byte to its last. Answers how many files there were.
fn corrupt(directory: &Path) -> usize {
    let mut files = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files += corrupt(&path);
            continue;
        }
        let mut bytes = fs::read(&path).unwrap();
        bytes.iter_mut().step_by(61).for_each(|byte| *byte ^= 0x5a);
        fs::write(path, bytes).unwrap();
        files += 1;
    }
    files
}

/// A node of 2 workers, 8 partitions: its store is replaced by a copy some epochs old, deleted, and corrupted.
fn mend(store: &'static str) {
    let ledger = Ledger::new(&format!("mended-{store}"), &Broker::shared().address()).with_store(store);
    ledger.feed(500);
    work(&ledger);
    let (there, old) = (ledger.place.path("node/store"), ledger.place.path("old"));
    copy(&there, &old);
    let before = ledger.changes_by_task();
    let (_, read) = restored(&work(&ledger).acquired);
    assert_eq!(read, 0, "a store that was current was restored");

    fs::remove_dir_all(&there).unwrap();
    copy(&old, &there);
    let after = ledger.changes_by_task();
    let said = work(&ledger);
    let (tasks, tail) = restored(&said.acquired);
    for (task, read) in tasks {
        let missed = after[task] - before[task];
        assert!(read <= missed, "old copy: task {task} read {read} rows of {missed} that it missed");
    }
    assert!(tail > 0, "an old copy was taken for current");

    fs::remove_dir_all(&there).unwrap();
    let all = ledger.rows_by_task();
    let said = work(&ledger);
    let (tasks, whole) = restored(&said.acquired);
    for (task, read) in tasks {
        assert_eq!(read, all[task], "deleted: task {task} did not read all rows");
    }

    let files = corrupt(&there);
    let all = ledger.rows_by_task();
    let said = work(&ledger);
    let (tasks, again) = restored(&said.acquired);
    for (task, read) in tasks {
        assert!(read <= all[task], "corrupted: task {task} read {read} of {} rows", all[task]);
    }
    assert!(files > 0 && again > 0, "{files} corrupted files were taken for current");
    println!("{store}: {tail} rows of an old copy, {whole} of none, {again} of a corrupted one: {}", ledger.check());
}

/// A node of 2 workers, 8 partitions, sled.
#[test]
fn a_sled_store_that_is_old_gone_or_broken_is_read_from_the_changelogs() {
    mend("sled");
}

/// A node of 2 workers, 8 partitions, fjall.
#[test]
fn a_fjall_store_that_is_old_gone_or_broken_is_read_from_the_changelogs() {
    mend("fjall");
}

/// A node of 2 workers, 8 partitions, sled: deletions that its store has not heard of may be gone from the changelogs.
#[test]
fn a_store_that_is_older_than_deletions_are_kept_is_read_anew() {
    let ledger = Ledger::new("outlived", &Broker::shared().address());
    ledger.feed(500);
    work(&ledger);
    let (there, old) = (ledger.place.path("node/store"), ledger.place.path("old"));
    copy(&there, &old);
    let before = ledger.ends();
    work(&ledger);

    ledger.keep_deletions(0);
    fs::remove_dir_all(&there).unwrap();
    copy(&old, &there);
    // A changelog that got nothing more has no deletions that the store has not heard of.
    let (outlived, all) = (ledger.rows_by_task_since(&before), ledger.rows_by_task());
    let (tasks, whole) = (work(&ledger).acquired, outlived.values().sum::<u64>());
    for (task, read) in restored(&tasks).0 {
        let (least, most) = (outlived.get(task).copied().unwrap_or_default(), all[task]);
        assert!((least..=most).contains(&read), "task {task} read {read} of {least} to {most} rows");
    }
    assert!(whole > 0, "no changelog got anything more");
    ledger.check();
}
