use std::fs;
use std::path::PathBuf;

use super::super::LogError;
use super::*;

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() { files.extend(self::files(&entry)) } else { files.push(entry) }
    }
    files.sort();
    files
}

fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let copy = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(&file, copy).unwrap();
    }
}

/// Opens a log and reads all of it.
fn read_all(dir: &Path) -> Result<usize, LogError> {
    let log = Log::open(DataDir::open(dir)?)?;
    let mut records = 0;
    for topic in log.topics() {
        for partition in topic.all() {
            log.read(&topic, partition, log.start(&topic, partition)?, None, &mut |_, _| {
                records += 1;
                true
            })?;
        }
    }
    Ok(records)
}

#[test]
fn a_damaged_log_is_refused_with_its_name() {
    let whole = tempfile::tempdir().unwrap();
    let log = open(whole.path());
    let mut sink = sink(&log, "w0");
    for epoch in 1..=20 {
        sink.begin().unwrap();
        sink.send(OUT, Partition(0), &batch(&[(None, "a value"); 100])).unwrap();
        sink.commit(&[sealed(task(0, 0), epoch, "w0")]).unwrap();
    }
    drop((sink, log));
    assert_eq!(read_all(whole.path()).unwrap(), 2000);
    let mut refused = 0;
    for original in files(&whole.path().join("log")) {
        let bytes = fs::read(&original).unwrap();
        let used = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        if used == 0 {
            continue;
        }
        for at in [0, used / 3, used / 2, used - 1, bytes.len()] {
            let mut damaged = bytes.clone();
            match damaged.get_mut(at) {
                Some(byte) => *byte ^= 0xff,
                None => damaged.truncate(used / 2),
            }
            let dir = tempfile::tempdir().unwrap();
            copy(whole.path(), dir.path());
            fs::write(dir.path().join(original.strip_prefix(whole.path()).unwrap()), damaged).unwrap();
            match read_all(dir.path()) {
                Ok(records) => assert_eq!(records, 2000, "{} damaged at {at}", original.display()),
                Err(error @ (LogError::Damaged { .. } | LogError::Storage { .. })) => {
                    assert!(error.to_string().contains(dir.path().join("log").to_str().unwrap()), "{error}");
                    refused += 1;
                }
                Err(error) => panic!("{} damaged at {at}: {error}", original.display()),
            }
        }
    }
    assert!(refused > 0);
}

#[test]
fn a_log_that_lost_its_end_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let old = tempfile::tempdir().unwrap();
    copy(&dir.path().join("log"), old.path());
    let log = open(dir.path());
    let commits = log.commits();
    log.append(&log.topic("in").unwrap(), &batch(&[(None, "lost")])).unwrap();
    drop(log);
    fs::remove_dir_all(dir.path().join("log")).unwrap();
    copy(old.path(), &dir.path().join("log"));
    let error = Log::open(DataDir::open(dir.path()).unwrap()).unwrap_err().to_string();
    let says = format!("it ends with commit {commits}, but commit {} had been flushed to disk", commits + 1);
    assert!(error.contains(&says), "{error}");
}
