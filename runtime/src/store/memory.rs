//! Rows in memory, for tests and for small state that may be restored at each start.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use smallvec::SmallVec;
use wasmill_core::port::{self, ChangelogId, Found, StoreError};
use wasmill_core::record::TaskId;
use wasmill_core::writes::Writes;

use crate::topology::Topology;

/// Bytes of a row's name and of a value that are kept in the tree itself: a step down the tree compares several names, and
/// each that is elsewhere would have to be fetched from there.
const NAME: usize = 24;
const VALUE: usize = 16;

type Rows = Arc<Mutex<BTreeMap<SmallVec<[u8; NAME]>, SmallVec<[u8; VALUE]>>>>;

/// Opens stores whose rows stay until the last clone of this is dropped.
#[derive(Clone, Debug, Default)]
pub struct Stores {
    topology: Arc<Topology>,
    stores: Arc<Mutex<HashMap<String, Rows>>>,
}

impl Stores {
    /// No rows yet, for the operators that the plan names.
    pub fn new(topology: Arc<Topology>) -> Self {
        Self { topology, stores: Arc::default() }
    }
}

impl port::Stores for Stores {
    fn open(&mut self, task: TaskId, changelog: ChangelogId) -> Result<Box<dyn port::Store>, StoreError> {
        let name = super::name(&self.topology, task, changelog)?;
        Ok(Box::new(Store(Arc::clone(lock(&self.stores).entry(name).or_default()))))
    }

    fn are_in_memory(&self) -> bool {
        true
    }
}

#[derive(Debug)]
struct Store(Rows);

impl port::Store for Store {
    fn get(&self, row: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(lock(&self.0).get(row).map(|value| value.to_vec()))
    }

    fn get_many(&self, rows: &[&[u8]], visit: &mut Found<'_>) -> Result<(), StoreError> {
        let there = lock(&self.0);
        rows.iter().for_each(|&row| visit(row, there.get(row).map(SmallVec::as_slice)));
        Ok(())
    }

    fn scan(&self, from: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StoreError> {
        let rows = lock(&self.0);
        for (row, value) in rows.range::<[u8], _>((Bound::Included(from), Bound::Unbounded)) {
            if !visit(row, value) {
                break;
            }
        }
        Ok(())
    }

    fn apply(&mut self, writes: Arc<Writes>) -> Result<(), StoreError> {
        let mut rows = lock(&self.0);
        for (row, value) in writes.iter() {
            match value {
                Some(value) => rows.insert(row.into(), value.into()),
                None => rows.remove(row),
            };
        }
        Ok(())
    }

    fn clear(&mut self) -> Result<(), StoreError> {
        lock(&self.0).clear();
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
