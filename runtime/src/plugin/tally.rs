//! What is counted of a plugin's instances at one place on one worker.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of what happened to instances, and what they use. The worker's thread writes, any may read.
#[derive(Debug, Default)]
pub struct Tally {
    traps: AtomicU64,
    recycles: AtomicU64,
    memory: AtomicU64,
    dropped_lines: AtomicU64,
}

impl Tally {
    /// Calls that ended otherwise than by returning.
    pub fn traps(&self) -> u64 {
        self.traps.load(Ordering::Relaxed)
    }

    /// Instances that took the place of another.
    pub fn recycles(&self) -> u64 {
        self.recycles.load(Ordering::Relaxed)
    }

    /// Bytes of memory that the instance has now.
    pub fn memory(&self) -> u64 {
        self.memory.load(Ordering::Relaxed)
    }

    /// Lines above what may be logged.
    pub fn dropped_lines(&self) -> u64 {
        self.dropped_lines.load(Ordering::Relaxed)
    }

    pub(super) fn trapped(&self) {
        self.traps.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn recycled(&self) {
        self.recycles.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn uses(&self, memory: usize) {
        self.memory.store(memory as u64, Ordering::Relaxed);
    }

    pub(super) fn dropped_line(&self) {
        self.dropped_lines.fetch_add(1, Ordering::Relaxed);
    }
}
