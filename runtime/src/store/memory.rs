//! Rows in memory, for tests and for small state that may be restored at each start.

mod rows;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wasmill_core::port::{self, ChangelogId, Found, StoreError};
use wasmill_core::record::TaskId;
use wasmill_core::writes::{Pair, Writes};

use self::rows::Rows;
use crate::topology::Topology;

/// Opens stores whose rows stay until the last clone of this is dropped.
#[derive(Clone, Debug, Default)]
pub struct Stores {
    topology: Arc<Topology>,
    stores: Arc<Mutex<HashMap<String, Arc<Mutex<Rows>>>>>,
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
}

#[derive(Debug)]
struct Store(Arc<Mutex<Rows>>);

impl port::Store for Store {
    fn get(&self, row: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(lock(&self.0).get(row).map(<[u8]>::to_vec))
    }

    fn get_many(&self, rows: &[&[u8]], visit: &mut Found<'_>) -> Result<(), StoreError> {
        let there = lock(&self.0);
        rows.iter().for_each(|&row| visit(row, there.get(row)));
        Ok(())
    }

    fn scan(&self, from: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StoreError> {
        lock(&self.0).scan(from, visit);
        Ok(())
    }

    fn is_in_memory(&self) -> bool {
        true
    }

    fn apply(&mut self, writes: Arc<Writes>) -> Result<(), StoreError> {
        self.apply_each(&mut writes.iter())
    }

    fn apply_each(&mut self, rows: &mut dyn Iterator<Item = Pair<'_>>) -> Result<(), StoreError> {
        let mut there = lock(&self.0);
        rows.for_each(|(row, value)| there.put(row, value));
        Ok(())
    }

    fn restore_each(&mut self, rows: &mut dyn Iterator<Item = Pair<'_>>) -> Result<(), StoreError> {
        self.apply_each(rows)
    }

    fn clear(&mut self) -> Result<(), StoreError> {
        *lock(&self.0) = Rows::default();
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
