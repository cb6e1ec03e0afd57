//! What is counted and summed.

use anyhow::{Context, Result};
use hashbrown::HashMap;

use crate::job::Workload;

pub enum State {
    Nothing,
    Counts(HashMap<Vec<u8>, i64>),
    Sums(HashMap<u64, i64>),
}

impl State {
    pub fn of(workload: Workload) -> Self {
        match workload {
            Workload::Upper => Self::Nothing,
            Workload::Words => Self::Counts(HashMap::new()),
            Workload::Sums => Self::Sums(HashMap::new()),
        }
    }

    /// Adds to the number of a key, and answers what it is then.
    pub fn add(&mut self, key: &[u8], amount: i64) -> Result<i64> {
        let number = match self {
            Self::Nothing => return Ok(0),
            Self::Counts(counts) => counts.entry_ref(key).or_insert(0),
            Self::Sums(sums) => sums.entry(u64::from_be_bytes(first(key)?)).or_insert(0),
        };
        *number += amount;
        Ok(*number)
    }

    /// Makes a number that of a key.
    pub fn set(&mut self, key: &[u8], number: i64) -> Result<()> {
        let before = self.add(key, 0)?;
        self.add(key, number - before)?;
        Ok(())
    }
}

/// The number that a key or value begins with.
pub fn first(bytes: &[u8]) -> Result<[u8; 8]> {
    bytes.first_chunk().copied().context("a key or value of at least 8 bytes")
}
