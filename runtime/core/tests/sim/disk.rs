//! The disk of a node: what its stores hold, of which the latest batches may be gone after a power cut.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use wasmill_core::port::StoreError;
use wasmill_core::record::TaskId;
use wasmill_core::writes::Writes;

pub type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// Says of a row whether it cannot be read, until its store is emptied.
pub type Damage = fn(&[u8]) -> bool;

#[derive(Default)]
pub struct Disk {
    pub stores: BTreeMap<(TaskId, u16), Stored>,
    /// Batches that a power cut took.
    pub forgotten: usize,
    /// Damaged stores that were emptied.
    pub repaired: usize,
}

#[derive(Clone, Default)]
pub struct Stored {
    synced: Rows,
    unsynced: Vec<Arc<Writes>>,
    pub rows: Rows,
    damage: Option<Damage>,
}

fn put(rows: &mut Rows, writes: &Writes) {
    for (row, value) in writes.iter() {
        match value {
            Some(value) => rows.insert(row.to_vec(), value.to_vec()),
            None => rows.remove(row),
        };
    }
}

impl Stored {
    pub fn get(&self, row: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.check(row)?;
        Ok(self.rows.get(row).cloned())
    }

    /// Hands over rows until `visit` says `false` or one cannot be read.
    pub fn scan(&self, from: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StoreError> {
        for (row, value) in self.rows.range::<[u8], _>((Bound::Included(from), Bound::Unbounded)) {
            self.check(row)?;
            if !visit(row, value) {
                break;
            }
        }
        Ok(())
    }

    fn check(&self, row: &[u8]) -> Result<(), StoreError> {
        match self.damage {
            Some(damage) if damage(row) => Err(StoreError::Broken("damaged".into())),
            _ => Ok(()),
        }
    }

    pub fn apply(&mut self, writes: Arc<Writes>) {
        put(&mut self.rows, &writes);
        self.unsynced.push(writes);
    }
}

impl Disk {
    /// Rows can no longer be read, in all stores.
    pub fn damage(&mut self, damage: Damage) {
        self.stores.values_mut().for_each(|stored| stored.damage = Some(damage));
    }

    pub fn clear(&mut self, at: (TaskId, u16)) {
        let cleared = self.stores.insert(at, Stored::default());
        self.repaired += usize::from(cleared.is_some_and(|stored| stored.damage.is_some()));
    }

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
