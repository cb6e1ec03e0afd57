//! The process is killed in the middle of commits, again and again.

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use wasmill_core::port::{Changelog as _, Tasks as _};

use super::super::{Changelog, Tasks};
use super::*;

const DIR: &str = "WASMILL_TEST_CRASH_DIR";
const ROUNDS: u64 = 12;
const RECORDS: usize = 50;
const ROWS: usize = 20;
/// Changes that are cleaned away in these tests, at most: 2 KiB.
const MOST_DIRTY: usize = 160;

/// Commits until it is killed, when [`killed_commits_are_whole_or_not_there`] starts it as a process of its own.
#[test]
fn commits_until_it_is_killed() {
    let Some(dir) = env::var_os(DIR).map(PathBuf::from) else { return };
    let log = open(&dir);
    let mut sink = sink(&log, "w0");
    let mut tasks = Tasks::new(log, topology(), "w0");
    let last = tasks.row(task(0, 0)).unwrap().map_or(0, |row| row.epoch.0);
    for epoch in last + 1.. {
        let value = epoch.to_string();
        sink.begin().unwrap();
        for partition in 0..2 {
            sink.send(OUT, Partition(partition), &batch(&[(None, value.as_str()); RECORDS])).unwrap();
        }
        for row in 0..ROWS {
            let gone = (epoch as usize + row).is_multiple_of(5);
            let value = (!gone).then_some(value.as_bytes());
            sink.change(COUNTS, Partition(0), &row_name(row), value).unwrap();
        }
        sink.commit(&[sealed(task(0, 0), epoch, "w0")]).unwrap();
        println!("\ncommitted {epoch}");
    }
}

#[test]
fn killed_commits_are_whole_or_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut answered = 0;
    for round in 0..ROUNDS {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "embedded::tests::crash::commits_until_it_is_killed", "--nocapture"])
            .env(DIR, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut wanted = 3 + round * 7;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            if let Some(epoch) = line.unwrap().strip_prefix("committed ") {
                answered = epoch.parse::<u64>().unwrap();
                wanted -= 1;
                if wanted == 0 {
                    break;
                }
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(wanted, 0, "the child ended by itself");
        check(dir.path(), answered);
    }
}

fn row_name(row: usize) -> Vec<u8> {
    format!("row {row}").into_bytes()
}

fn check(dir: &Path, answered: u64) {
    let log = open(dir);
    let last = Tasks::new(log.clone(), topology(), "").row(task(0, 0)).unwrap().unwrap().epoch.0;
    assert!(last >= answered, "epoch {answered} was answered, {last} is there");
    let out = log.topic("out").unwrap();
    for partition in 0..2 {
        let values = values(&log, &out, partition);
        assert_eq!(values.len(), RECORDS * last as usize);
        for (index, (offset, value)) in values.iter().enumerate() {
            assert_eq!((*offset, value.parse()), (index as i64, Ok(1 + (index / RECORDS) as u64)));
        }
    }
    wait_for_cleaner(&log, Partition(0));
    let mut changelog = Changelog::new(log, topology());
    let end = changelog.end(COUNTS, Partition(0)).unwrap();
    assert_eq!(end.0, ROWS as i64 * last as i64);
    let (mut rows, mut read) = (BTreeMap::new(), 0);
    changelog
        .read(COUNTS, Partition(0), Offset(0)..end, Duration::ZERO, &mut |_, row, value| {
            read += 1;
            match value {
                Some(value) => rows.insert(row.to_vec(), value.to_vec()),
                None => rows.remove(row),
            };
            ControlFlow::Continue(())
        })
        .unwrap();
    let there = (0..ROWS).filter(|row| !(last as usize + row).is_multiple_of(5));
    assert!(
        rows.into_iter()
            .eq(there.map(|row| (row_name(row), last.to_string().into_bytes())).collect::<BTreeMap<_, _>>())
    );
    assert!(read <= ROWS + MOST_DIRTY, "{read} changes are kept: it is not cleaned");
}
