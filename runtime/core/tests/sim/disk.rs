//! The disk of a node: what its stores hold, of which the latest batches may be gone after a power cut.

use std::collections::BTreeMap;

use wasmill_core::port::Write;
use wasmill_core::record::TaskId;

pub type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Default)]
pub struct Disk {
    pub stores: BTreeMap<(TaskId, u16), Stored>,
    /// Batches that a power cut took.
    pub forgotten: usize,
}

#[derive(Default)]
pub struct Stored {
    synced: Rows,
    unsynced: Vec<Vec<Write>>,
    pub rows: Rows,
}

fn put(rows: &mut Rows, writes: &[Write]) {
    for (row, value) in writes {
        match value {
            Some(value) => rows.insert(row.clone(), value.clone()),
            None => rows.remove(row),
        };
    }
}

impl Stored {
    pub fn apply(&mut self, writes: &[Write]) {
        put(&mut self.rows, writes);
        self.unsynced.push(writes.to_vec());
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Disk {
    /// All that was written is safe.
    pub fn sync(&mut self) {
        for stored in self.stores.values_mut() {
            stored.synced.clone_from(&stored.rows);
            stored.unsynced.clear();
        }
    }

    /// The power goes: of what is not synced, each store keeps only its first batches.
    pub fn cut(&mut self, mut keep: impl FnMut(usize) -> usize) {
        for stored in self.stores.values_mut() {
            let kept = keep(stored.unsynced.len() + 1);
            self.forgotten += stored.unsynced.len() - kept;
            stored.unsynced.truncate(kept);
            let mut rows = stored.synced.clone();
            stored.unsynced.iter().for_each(|writes| put(&mut rows, writes));
            stored.rows = rows;
        }
    }
}
