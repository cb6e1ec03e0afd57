//! What every store does, and what those on disk do when their files are damaged.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, thread};

use wasmill_core::port::{ChangelogId, Store, StoreError, Stores, Write};
use wasmill_core::record::{Partition, TaskId};
use wasmill_core::writes::Writes;

use super::{fjall, memory, sled};
use crate::topology::Topology;

const CACHE: usize = 8 << 20;

fn topology() -> Arc<Topology> {
    Arc::new(Topology { changelogs: vec!["count".into(), "dedupe".into()], ..Topology::default() })
}

fn task(partition: u32) -> TaskId {
    TaskId { stage: 0, partition: Partition(partition) }
}

/// The stores of two workers that share a database.
type Pair = [Box<dyn Stores + Send>; 2];

/// Opens the stores of a directory, and says why they were emptied if they were.
type Open = fn(&Path) -> Result<(Pair, Option<String>), StoreError>;

fn sled(dir: &Path) -> Result<(Pair, Option<String>), StoreError> {
    let (database, removed) = sled::Database::open(dir, CACHE)?;
    Ok(([(); 2].map(|()| Box::new(database.stores(topology())) as Box<_>), removed))
}

fn fjall(dir: &Path) -> Result<(Pair, Option<String>), StoreError> {
    let (database, removed) = fjall::Database::open(dir, CACHE)?;
    Ok(([(); 2].map(|()| Box::new(database.stores(topology())) as Box<_>), removed))
}

/// The backends on disk, by the names of their directories.
const ON_DISK: [(&str, Open); 2] = [("sled", sled), ("fjall", fjall)];

/// Runs a check on every backend.
fn on_each(check: impl Fn(&mut dyn Stores)) {
    check(&mut memory::Stores::new(topology()));
    for (_, open) in ON_DISK {
        let dir = tempfile::tempdir().unwrap();
        let ([mut stores, _], _) = open(dir.path()).unwrap();
        check(&mut *stores);
    }
}

fn put(row: &str, value: &str) -> Write {
    (row.into(), Some(value.into()))
}

fn delete(row: &str) -> Write {
    (row.into(), None)
}

fn batch(writes: &[Write]) -> Arc<Writes> {
    Arc::new(Writes::of(writes.iter().map(|(row, value)| (row.as_slice(), value.as_deref()))))
}

fn write(store: &mut dyn Store, writes: &[Write]) -> Result<(), StoreError> {
    store.apply(batch(writes))
}

fn rows(store: &dyn Store, from: &str, most: usize) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    store
        .scan(from.as_bytes(), &mut |row, value| {
            rows.push((text(row), text(value)));
            rows.len() < most
        })
        .unwrap();
    rows
}

fn names(store: &dyn Store, from: &str, most: usize) -> String {
    rows(store, from, most).into_iter().map(|(row, _)| row).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_row_is_read_as_it_was_written() {
    on_each(|stores| {
        let mut store = stores.open(task(0), ChangelogId(0)).unwrap();
        assert_eq!(store.get(b"a").unwrap(), None);
        write(&mut *store, &[put("a", "1"), put("b", ""), delete("never there")]).unwrap();
        assert_eq!(store.get(b"a").unwrap(), Some(b"1".to_vec()));
        assert_eq!(store.get(b"b").unwrap(), Some(Vec::new()));
        write(&mut *store, &[put("a", "2"), delete("b")]).unwrap();
        assert_eq!(store.get(b"a").unwrap(), Some(b"2".to_vec()));
        assert_eq!(store.get(b"b").unwrap(), None);
    });
}

#[test]
fn the_last_write_of_a_row_in_a_batch_counts() {
    on_each(|stores| {
        let mut store = stores.open(task(0), ChangelogId(0)).unwrap();
        write(&mut *store, &[put("a", "1"), delete("a"), put("b", "1"), put("b", "2"), delete("b"), put("b", "3")])
            .unwrap();
        assert_eq!(rows(&*store, "", 9), [("b".into(), "3".into())]);
    });
}

#[test]
fn rows_are_scanned_in_the_order_of_their_bytes() {
    on_each(|stores| {
        let mut store = stores.open(task(0), ChangelogId(0)).unwrap();
        write(&mut *store, &[put("b", ""), put("aa", ""), put("a", ""), put("c", "")]).unwrap();
        #[rustfmt::skip]
        let table = [
            ("",  9, "a aa b c"),
            ("a", 9, "a aa b c"),
            ("ab", 9, "b c"),
            ("a", 2, "a aa"),
            ("d", 9, ""),
        ];
        for (from, most, seen) in table {
            assert_eq!(names(&*store, from, most), seen, "{from:?} {most}");
        }
    });
}

/// Reads rows together, and says in what order they came and with what.
fn read_many(store: &dyn Store, rows: &[&str]) -> String {
    let rows: Vec<_> = rows.iter().map(|row| row.as_bytes()).collect();
    let mut read = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    store
        .get_many(&rows, &mut |row, value| {
            read.push(format!("{}={}", text(row), value.map_or_else(|| "-".into(), text)));
        })
        .unwrap();
    read.join(" ")
}

#[test]
fn rows_are_read_together_in_the_order_in_which_they_are_given() {
    on_each(|stores| {
        let mut store = stores.open(task(0), ChangelogId(0)).unwrap();
        assert_eq!(read_many(&*store, &["a", "b"]), "a=- b=-");
        write(&mut *store, &[put("b", "1"), put("d", ""), put("f", "2"), put("h", "3")]).unwrap();
        store.sync().unwrap();
        write(&mut *store, &[put("c", "4"), delete("f"), put("h", "5")]).unwrap();
        #[rustfmt::skip]
        let table: [(&[&str], &str); 5] = [
            (&[], ""),
            (&["b"], "b=1"),
            (&["a", "b", "bb", "c", "d", "e"], "a=- b=1 bb=- c=4 d= e=-"),
            (&["f", "h", "i"], "f=- h=5 i=-"),
            (&["c", "c", "d", "d"], "c=4 c=4 d= d="),
        ];
        for (rows, read) in table {
            assert_eq!(read_many(&*store, rows), read);
        }
        store.sync().unwrap();
        for (rows, read) in table {
            assert_eq!(read_many(&*store, rows), read, "written");
        }
        store.clear().unwrap();
        assert_eq!(read_many(&*store, &["b", "c"]), "b=- c=-");
    });
}

#[test]
fn stores_are_apart_and_open_again_with_their_rows() {
    on_each(|stores| {
        for (partition, changelog) in [(0, 0), (1, 0), (0, 1)] {
            let mut store = stores.open(task(partition), ChangelogId(changelog)).unwrap();
            write(&mut *store, &[put("at", &format!("{partition} {changelog}"))]).unwrap();
        }
        for (partition, changelog) in [(0, 0), (1, 0), (0, 1)] {
            let store = stores.open(task(partition), ChangelogId(changelog)).unwrap();
            assert_eq!(rows(&*store, "", 9), [("at".into(), format!("{partition} {changelog}"))]);
        }
        assert!(stores.open(task(0), ChangelogId(2)).is_err());
    });
}

#[test]
fn a_cleared_store_is_empty_and_can_be_filled_again() {
    on_each(|stores| {
        let mut other = stores.open(task(1), ChangelogId(0)).unwrap();
        write(&mut *other, &[put("kept", "")]).unwrap();
        for round in 0..4 {
            let mut store = stores.open(task(0), ChangelogId(0)).unwrap();
            write(&mut *store, &(0..3000).map(|row| put(&format!("{round} {row:04}"), "x")).collect::<Vec<_>>())
                .unwrap();
            assert_eq!(rows(&*store, "", 9999).len(), 3000);
            store.clear().unwrap();
            assert_eq!(names(&*store, "", 9), "");
            assert_eq!(store.get(b"0 0000").unwrap(), None);
            write(&mut *store, &[put("new", "")]).unwrap();
            drop(store);
            let mut again = stores.open(task(0), ChangelogId(0)).unwrap();
            assert_eq!(names(&*again, "", 9), "new");
            write(&mut *again, &[delete("new")]).unwrap();
        }
        assert_eq!(names(&*other, "", 9), "kept");
    });
}

#[test]
fn workers_share_a_database() {
    for (_, open) in ON_DISK {
        let dir = tempfile::tempdir().unwrap();
        let (pair, _) = open(dir.path()).unwrap();
        let mut number = 0..;
        let workers = pair.map(|mut stores| {
            let task = task(number.next().unwrap());
            thread::spawn(move || {
                let mut store = stores.open(task, ChangelogId(0)).unwrap();
                for batch in 0..50 {
                    let writes: Vec<_> = (0..100).map(|row| put(&format!("{batch:02} {row:02}"), "x")).collect();
                    write(&mut *store, &writes).unwrap();
                }
                rows(&*store, "", 9999).len()
            })
        });
        assert_eq!(workers.map(|worker| worker.join().unwrap()), [5000, 5000]);
    }
}

#[test]
fn what_is_on_its_way_is_read_like_what_is_there() {
    on_each(|stores| {
        let mut store = stores.open(task(0), ChangelogId(0)).unwrap();
        for round in 0_i32..200 {
            let new = format!("{round:03}");
            write(&mut *store, &[put(&new, "new"), put("same", &new), delete(&format!("{:03}", round - 2))]).unwrap();
            assert_eq!(store.get(new.as_bytes()).unwrap(), Some(b"new".to_vec()));
            assert_eq!(store.get(b"same").unwrap(), Some(new.clone().into_bytes()));
            let two_before = format!("{:03}", round - 2);
            let many: &[&str] = if round > 1 { &[&two_before, &new, "same"] } else { &[&new, "same"] };
            let gone = if round > 1 { format!("{two_before}=- ") } else { String::new() };
            assert_eq!(read_many(&*store, many), format!("{gone}{new}=new same={new}"));
            let there: Vec<_> = (0.max(round - 1)..=round).map(|row| format!("{row:03}")).collect();
            assert_eq!(names(&*store, "", 9), format!("{} same", there.join(" ")));
            assert_eq!(names(&*store, "", 1), there[0]);
        }
    });
}

#[test]
fn a_store_on_disk_has_its_rows_after_a_restart() {
    for (_, open) in ON_DISK {
        let dir = tempfile::tempdir().unwrap();
        let ([mut stores, second], removed) = open(dir.path()).unwrap();
        assert_eq!(removed, None);
        let mut store = stores.open(task(0), ChangelogId(0)).unwrap();
        write(&mut *store, &[put("dropped", "")]).unwrap();
        store.clear().unwrap();
        write(&mut *store, &[put("a", "1"), put("b", "2")]).unwrap();
        drop((stores, second, store));
        let ([mut stores, _], removed) = open(dir.path()).unwrap();
        assert_eq!(removed, None);
        let store = stores.open(task(0), ChangelogId(0)).unwrap();
        assert_eq!(rows(&*store, "", 9), [("a".into(), "1".into()), ("b".into(), "2".into())]);
    }
}

/// Empties a store and fills it again, in two batches of which the second changes the first, and changes that.
fn restore(store: &mut dyn Store) {
    write(store, &[put("old", ""), put("row 00001", "old")]).unwrap();
    store.clear().unwrap();
    let many =
        |rows: std::ops::Range<u32>, value| rows.map(|row| put(&format!("row {row:05}"), value)).collect::<Vec<_>>();
    store.restore(batch(&many(0..30_000, "first"))).unwrap();
    let mut second = many(20_000..40_000, "second");
    second.push(delete("row 00002"));
    store.restore(batch(&second)).unwrap();
    write(store, &[put("row 00003", "changed"), delete("row 00004")]).unwrap();
}

fn check_restored(store: &dyn Store) {
    assert_eq!(rows(store, "", 99_999).len(), 39_998);
    assert_eq!(
        read_many(store, &["old", "row 00001", "row 00002", "row 00003"]),
        "old=- row 00001=first row 00002=- row 00003=changed"
    );
    assert_eq!(
        read_many(store, &["row 00004", "row 19999", "row 20000", "row 39999"]),
        "row 00004=- row 19999=first row 20000=second row 39999=second"
    );
}

#[test]
fn a_restored_store_has_its_rows_and_no_other() {
    on_each(|stores| {
        let mut store = stores.open(task(0), ChangelogId(0)).unwrap();
        restore(&mut *store);
        check_restored(&*store);
        store.sync().unwrap();
        check_restored(&*store);
    });
}

#[test]
fn a_restored_store_on_disk_has_its_rows_after_a_restart() {
    for (_, open) in ON_DISK {
        let dir = tempfile::tempdir().unwrap();
        let ([mut stores, second], _) = open(dir.path()).unwrap();
        let mut store = stores.open(task(0), ChangelogId(0)).unwrap();
        restore(&mut *store);
        drop((stores, second, store));
        let ([mut stores, _], removed) = open(dir.path()).unwrap();
        assert_eq!(removed, None);
        check_restored(&*stores.open(task(0), ChangelogId(0)).unwrap());
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() { files.extend(self::files(&entry)) } else { files.push(entry) }
    }
    files.sort();
    files
}

/// Ways to damage a file of some length.
fn damages(bytes: &[u8]) -> Vec<Vec<u8>> {
    let flipped = |at: usize| {
        let mut bytes = bytes.to_vec();
        bytes[at] ^= 0xff;
        bytes
    };
    let middle = bytes.len() / 2;
    vec![flipped(0), flipped(middle), flipped(bytes.len() - 1), bytes[..middle].to_vec(), Vec::new(), vec![0xa5; 4096]]
}

/// Opens a store whose files are damaged, and uses it as a worker does: what fails is cleared, or opened anew.
fn use_damaged(dir: &Path, open: Open) {
    for _ in 0..3 {
        let Ok(([mut stores, _], _)) = open(dir) else { panic!("a damaged store was not removed") };
        let Ok(mut store) = stores.open(task(0), ChangelogId(0)) else { continue };
        let mut count = 0;
        let read = store.scan(b"", &mut |_, _| {
            count += 1;
            true
        });
        if read.is_err() && store.clear().is_err() {
            continue;
        }
        assert!(count == 0 || read.is_err() || count == 5000, "{count} of 5000 rows and no error");
        let written = write(&mut *store, &[put("new", "1")]).and_then(|()| store.sync());
        if written.is_ok() && store.get(b"new") == Ok(Some(b"1".to_vec())) {
            return;
        }
    }
    panic!("no usable store at the third attempt");
}

#[test]
fn a_damaged_store_becomes_an_empty_one() {
    for (_, open) in ON_DISK {
        let whole = tempfile::tempdir().unwrap();
        let ([mut stores, second], _) = open(whole.path()).unwrap();
        let mut store = stores.open(task(0), ChangelogId(0)).unwrap();
        let value = "value ".repeat(20);
        write(&mut *store, &(0..5000).map(|row| put(&format!("row {row:05}"), &value)).collect::<Vec<_>>()).unwrap();
        store.sync().unwrap();
        drop((stores, second, store));
        let originals: Vec<_> =
            files(whole.path()).into_iter().filter(|file| fs::metadata(file).unwrap().len() > 0).collect();
        assert!(!originals.is_empty());
        for original in &originals {
            for damaged in damages(&fs::read(original).unwrap()) {
                let dir = tempfile::tempdir().unwrap();
                for file in files(whole.path()) {
                    let copy = dir.path().join(file.strip_prefix(whole.path()).unwrap());
                    fs::create_dir_all(copy.parent().unwrap()).unwrap();
                    fs::copy(&file, copy).unwrap();
                }
                fs::write(dir.path().join(original.strip_prefix(whole.path()).unwrap()), damaged).unwrap();
                use_damaged(dir.path(), open);
            }
        }
    }
}

#[test]
fn what_was_there_is_told_when_it_is_removed() {
    for (name, open) in ON_DISK {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join(name)).unwrap();
        fs::write(dir.path().join(format!("{name}.damaged")), "read a row: bad checksum").unwrap();
        assert_eq!(open(dir.path()).unwrap().1, Some("read a row: bad checksum".into()));
        assert_eq!(open(dir.path()).unwrap().1, None);
    }
}
