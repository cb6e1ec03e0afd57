//! What the last node of a ledger has on its disk, beside what kafka-clients reads of the changelogs.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use wasmill::store::{fjall, sled};
use wasmill::topology::Topology;
use wasmill_core::port::{ChangelogId, Stores};
use wasmill_core::record::{Partition, TaskId};
use wasmill_core::row::{self, Kind};

use super::{Records, bytes};
use crate::support::ledger::{CHANGELOGS, Ledger, PARTITIONS};

const CACHE: usize = 32 << 20;

/// Rows and their values.
type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// C9: the rows that were left on a disk are those of the changelogs. Answers how many they are.
#[track_caller]
pub(super) fn check(ledger: &Ledger, data: &str, records: &Records) -> usize {
    let topology = Topology { changelogs: CHANGELOGS.map(|name| ledger.own(name)).into(), ..Topology::default() };
    let mut stores = open(ledger.store, &ledger.place.path(data).join("store"), &Arc::new(topology.clone()));
    let mut count = 0;
    for (index, changelog) in (0..).zip(&topology.changelogs) {
        for partition in 0..PARTITIONS {
            let there = on_disk(stores.as_mut(), ChangelogId(index), partition);
            assert_eq!(there, in_changelog(records, changelog, partition), "C9: {changelog}/{partition}");
            count += there.len();
        }
    }
    count
}

fn open(store: &str, directory: &Path, topology: &Arc<Topology>) -> Box<dyn Stores> {
    let topology = Arc::clone(topology);
    if store == "fjall" {
        let (database, damage) = fjall::Database::open(directory, CACHE).expect("a database");
        assert_eq!(damage, None);
        return Box::new(database.stores(topology));
    }
    let (database, damage) = sled::Database::open(directory, CACHE).expect("a database");
    assert_eq!(damage, None);
    Box::new(database.stores(topology))
}

fn on_disk(stores: &mut dyn Stores, changelog: ChangelogId, partition: u32) -> Rows {
    let task = TaskId { stage: 0, partition: Partition(partition) };
    let store = stores.open(task, changelog).expect("a store");
    let mut rows = Rows::new();
    let scanned = store.scan(&[Kind::Value as u8], &mut |row, value| {
        // What is due when is derived from the others.
        if row::kind(row) != Some(Kind::Index) {
            rows.insert(row.to_vec(), value.to_vec());
        }
        true
    });
    scanned.expect("its rows");
    rows
}

fn in_changelog(records: &Records, changelog: &str, partition: u32) -> Rows {
    let mut rows = Rows::new();
    for change in records.get(&(changelog.to_owned(), u64::from(partition))).into_iter().flatten() {
        let row = bytes(&change["key"]);
        if row::kind(&row) == Some(Kind::Meta) {
            continue;
        }
        match &change["value"] {
            serde_json::Value::Null => _ = rows.remove(&row),
            value => _ = rows.insert(row, bytes(value)),
        }
    }
    rows
}
