use wasmill_core::port::Changelog as _;

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
        .read(COUNTS, Partition(0), from, end, &mut |offset, row, value| {
            rows.push((offset.0, text(row), value.map(text)));
        })
        .unwrap();
    assert_eq!(stopped, end);
    rows
}

fn row(offset: i64, row: &str, value: Option<&str>) -> (i64, String, Option<String>) {
    (offset, row.into(), value.map(str::to_owned))
}

#[test]
fn the_tail_of_a_changelog_has_the_last_change_of_each_row_and_deletions() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let mut sink = sink(&log, "w0");
    let mut changelog = Changelog::new(log.clone(), topology());
    assert_eq!(read(&mut changelog, Offset(0)), []);
    assert_eq!(commit(&mut sink, 1, &[("a", Some("1")), ("b", Some("1")), ("c", Some("1"))]), Offset(3));
    assert_eq!(commit(&mut sink, 2, &[("b", Some("2")), ("a", None)]), Offset(5));
    let whole = [row(2, "c", Some("1")), row(3, "b", Some("2")), row(4, "a", None)];
    assert_eq!(read(&mut changelog, Offset(0)), whole);
    assert_eq!(read(&mut changelog, Offset(3)), whole[1..]);
    assert_eq!(read(&mut changelog, Offset(5)), []);
    assert_eq!(commit(&mut sink, 3, &[("a", Some("3")), ("d", None)]), Offset(7));
    let tail = [row(5, "a", Some("3")), row(6, "d", None)];
    assert_eq!(read(&mut changelog, Offset(5)), tail);
    drop((sink, changelog, log));

    let mut changelog = Changelog::new(open(dir.path()), topology());
    assert_eq!(read(&mut changelog, Offset(5)), tail);
    assert_eq!(read(&mut changelog, Offset(0)), [&whole[..2], &tail].concat());
}

#[test]
fn the_last_change_of_a_row_in_an_epoch_counts() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let mut sink = sink(&log, "w0");
    assert_eq!(commit(&mut sink, 1, &[("a", Some("1")), ("b", Some("1")), ("a", None), ("a", Some("2"))]), Offset(2));
    let mut changelog = Changelog::new(log, topology());
    assert_eq!(read(&mut changelog, Offset(0)), [row(0, "b", Some("1")), row(1, "a", Some("2"))]);
}

#[test]
fn rows_with_long_keys_are_kept_like_others() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let mut sink = sink(&log, "w0");
    let (long, other) = ("k".repeat(100_000), "k".repeat(99_999) + "x");
    commit(&mut sink, 1, &[(&long, Some("1")), (&other, Some("1"))]);
    commit(&mut sink, 2, &[(&long, Some("2"))]);
    let mut changelog = Changelog::new(log, topology());
    assert_eq!(read(&mut changelog, Offset(0)), [row(1, &other, Some("1")), row(2, &long, Some("2"))]);
}

#[test]
fn a_changelog_is_told_from_another_one() {
    let [first, second] = [(), ()].map(|()| {
        let dir = tempfile::tempdir().unwrap();
        Changelog::new(open(dir.path()), topology()).identity(COUNTS).unwrap()
    });
    assert_ne!(first, second);
}
