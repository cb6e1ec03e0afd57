use std::collections::BTreeMap;
use std::ops::ControlFlow::{Break, Continue};

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use wasmill_core::port::{Changelog as _, Fault};

use super::super::Changelog;
use super::*;

fn commit(sink: &mut Sink, epoch: u64, changes: &[(&str, Option<&str>)]) -> Offset {
    sink.begin().unwrap();
    for (row, value) in changes {
        sink.change(COUNTS, Partition(0), row.as_bytes(), value.map(str::as_bytes)).unwrap();
    }
    let written = sink.commit(&[sealed(task(1, 0), epoch, "w0")]).unwrap();
    written[0].next
}

fn read(changelog: &mut Changelog, from: Offset) -> Vec<(i64, String, Option<String>)> {
    let mut rows = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let end = changelog.end(COUNTS, Partition(0)).unwrap();
    let stopped = changelog
        .read(COUNTS, Partition(0), from..end, Duration::ZERO, &mut |offset, row, value| {
            rows.push((offset.0, text(row), value.map(text)));
            Continue(())
        })
        .unwrap();
    assert_eq!(stopped, end);
    rows
}

fn row(offset: i64, row: &str, value: Option<&str>) -> (i64, String, Option<String>) {
    (offset, row.into(), value.map(str::to_owned))
}

#[test]
fn the_tail_of_a_changelog_has_all_changes_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let mut sink = sink(&log, "w0");
    let mut changelog = Changelog::new(log.clone(), topology());
    assert_eq!(read(&mut changelog, Offset(0)), []);
    assert_eq!(commit(&mut sink, 1, &[("a", Some("1")), ("b", Some("1")), ("c", Some("1"))]), Offset(3));
    assert_eq!(commit(&mut sink, 2, &[("b", Some("2")), ("a", None)]), Offset(5));
    let first = ["a", "b", "c"].into_iter().zip(0..).map(|(name, offset)| row(offset, name, Some("1")));
    let whole: Vec<_> = first.chain([row(3, "b", Some("2")), row(4, "a", None)]).collect();
    assert_eq!(read(&mut changelog, Offset(0)), whole);
    assert_eq!(read(&mut changelog, Offset(2)), whole[2..]);
    assert_eq!(read(&mut changelog, Offset(5)), []);
    assert_eq!(commit(&mut sink, 3, &[("a", Some("3")), ("d", None)]), Offset(7));
    let tail = [row(5, "a", Some("3")), row(6, "d", None)];
    assert_eq!(read(&mut changelog, Offset(5)), tail);
    drop((sink, changelog, log));

    let mut changelog = Changelog::new(open(dir.path()), topology());
    assert_eq!(read(&mut changelog, Offset(5)), tail);
    assert_eq!(read(&mut changelog, Offset(0)), [&whole[..], &tail].concat());
}

#[test]
fn rows_with_long_keys_are_kept_like_others() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let mut sink = sink(&log, "w0");
    let (key, other) = ("k".repeat(100_000), "k".repeat(99_999) + "x");
    commit(&mut sink, 1, &[(&key, Some("1")), (&other, Some("1"))]);
    commit(&mut sink, 2, &[(&key, Some("2"))]);
    let rows = until_cleaned(&log, &mut sink, 3);
    let mut changelog = Changelog::new(log, topology());
    let read = read(&mut changelog, Offset(0));
    assert_eq!(read[..2], [row(1, &other, Some("1")), row(2, &key, Some("2"))]);
    assert_eq!(read.len() as u64, 2 + rows);
}

/// Commits a row of its own an epoch until the changelog has been cleaned. Answers how many.
fn until_cleaned(log: &Log, sink: &mut Sink, first: u64) -> u64 {
    let place = log.topic("count-changelog").unwrap().place(Partition(0)).unwrap();
    let before = log.inner.extent(place).wear.cleaned;
    (first..first + 100)
        .take_while(|&epoch| {
            commit(sink, epoch, &[(&format!("row of epoch {epoch}"), Some(&"v".repeat(500)))]);
            wait_for_cleaner(log, Partition(0));
            log.inner.extent(place).wear.cleaned == before
        })
        .count() as u64
        + 1
}

/// Slices of five records of one partition, with three cleanings in between: rows that are gone since are handed over as
/// they were.
#[test]
fn a_read_that_is_continued_knows_of_no_cleaning() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let mut sink = sink(&log, "w0");
    let mut changelog = Changelog::new(log.clone(), topology());
    for epoch in 1..=50 {
        commit(&mut sink, epoch, &[("kept", Some(&epoch.to_string())), (&format!("row {epoch}"), Some("1"))]);
    }
    commit(&mut sink, 51, &[("row 50", None)]);
    let (wanted, end) = (read(&mut changelog, Offset(0)), changelog.end(COUNTS, Partition(0)).unwrap());
    let (mut rows, mut next, mut epoch) = (Vec::new(), Offset(0), 52);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    while next < end {
        let most = rows.len() + 5;
        let slice = changelog.read(COUNTS, Partition(0), next..end, Duration::ZERO, &mut |offset, row, value| {
            rows.push((offset.0, text(row), value.map(text)));
            if rows.len() < most { Continue(()) } else { Break(()) }
        });
        next = slice.unwrap();
        if rows.len() < 20 {
            epoch += until_cleaned(&log, &mut sink, epoch);
        }
    }
    assert_eq!(rows, wanted);
    assert!(changelog.tail_from(COUNTS, Partition(0)).unwrap() > Offset(0), "a deletion is forgotten by now");
}

#[test]
fn superfluous_records_are_removed_and_deletions_with_the_cleaning_after() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let mut sink = sink(&log, "w0");
    let mut changelog = Changelog::new(log.clone(), topology());
    commit(&mut sink, 1, &[("gone", Some("1")), ("kept", Some("1"))]);
    let deleted = commit(&mut sink, 2, &[("gone", None), ("kept", Some("2"))]);
    let rows = until_cleaned(&log, &mut sink, 3);
    let first = read(&mut changelog, Offset(0));
    assert_eq!(first[..2], [row(2, "gone", None), row(3, "kept", Some("2"))]);
    assert_eq!(first.len() as u64, 2 + rows, "each row is there once, under the offset that it had");
    assert_eq!(changelog.tail_from(COUNTS, Partition(0)).unwrap(), Offset(0));

    until_cleaned(&log, &mut sink, 3 + rows);
    let second = read(&mut changelog, Offset(0));
    assert_eq!(second[..2], [row(3, "kept", Some("2")), first[2].clone()]);
    assert!(changelog.tail_from(COUNTS, Partition(0)).unwrap() >= deleted);
    // Whoever had asked before, and reads now, is told to ask again.
    let end = changelog.end(COUNTS, Partition(0)).unwrap();
    let late = changelog.read(COUNTS, Partition(0), Offset(2)..end, Duration::ZERO, &mut |_, _, _| Continue(()));
    assert!(matches!(late, Err(Fault::Abort(_))), "{late:?}");
    drop((sink, changelog, log));

    let mut changelog = Changelog::new(open(dir.path()), topology());
    assert!(changelog.tail_from(COUNTS, Partition(0)).unwrap() >= deleted);
    assert_eq!(read(&mut changelog, Offset(0)), second);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Who follows and who comes late know the same rows, whatever is cleaned meanwhile.
    #[test]
    fn rows_are_those_of_a_plain_map(epochs in vec(vec((0_u16..400, of(0_usize..60)), 1..40), 1..150)) {
        let dir = tempfile::tempdir().unwrap();
        let log = open(dir.path());
        let mut sink = sink(&log, "w0");
        let mut changelog = Changelog::new(log, topology());
        let (mut written, mut wanted) = (Vec::new(), BTreeMap::new());
        let (mut followed, mut next) = (BTreeMap::new(), Offset(0));
        for (changes, epoch) in epochs.iter().zip(1..) {
            let changes: Vec<_> = changes
                .iter()
                .map(|(row, length)| (row.to_string(), length.map(|length| format!("{epoch} {}", "v".repeat(length)))))
                .collect();
            let borrowed: Vec<_> = changes.iter().map(|(row, value)| (row.as_str(), value.as_deref())).collect();
            let end = commit(&mut sink, epoch, &borrowed);
            written.extend(changes.iter().cloned());
            apply(&mut wanted, changes);
            if epoch % 3 == 0 {
                if changelog.tail_from(COUNTS, Partition(0)).unwrap() > next {
                    followed.clear();
                    next = Offset(0);
                }
                apply(&mut followed, read(&mut changelog, next).into_iter().map(|(_, row, value)| (row, value)));
                next = end;
                prop_assert_eq!(&followed, &wanted);
            }
        }
        let mut late = BTreeMap::new();
        for (offset, row, value) in read(&mut changelog, Offset(0)) {
            prop_assert_eq!(&(row.clone(), value.clone()), &written[offset as usize]);
            apply(&mut late, [(row, value)]);
        }
        prop_assert_eq!(late, wanted);
    }
}

fn apply(rows: &mut BTreeMap<String, String>, changes: impl IntoIterator<Item = (String, Option<String>)>) {
    for (row, value) in changes {
        match value {
            Some(value) => rows.insert(row, value),
            None => rows.remove(&row),
        };
    }
}

#[test]
fn a_changelog_is_told_from_another_one() {
    let [first, second] = [(), ()].map(|()| {
        let dir = tempfile::tempdir().unwrap();
        Changelog::new(open(dir.path()), topology()).identity(COUNTS).unwrap()
    });
    assert_ne!(first, second);
}
