//! What a guest may use.

use std::time::Duration;

use thiserror::Error;
use wasmtime::ResourceLimiter;

/// What one instance of a plugin may use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Bytes of its memories.
    pub memory: usize,
    /// Bytes that its memories may grow after `open` before it is replaced by a new one.
    pub growth: usize,
    /// Elements of its tables.
    pub table: usize,
    /// Processor time of one call.
    pub deadline: Duration,
    /// Processor time of `open`, with all that comes before it.
    pub open: Duration,
    /// Bytes that one call may write to state and timers, and that one answer from state may have.
    pub written: usize,
    /// Values of metrics that one call may leave.
    pub measurements: usize,
    /// Lines that it may log in a second.
    pub lines: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 64 << 20,
            growth: 32 << 20,
            table: 10_000,
            deadline: Duration::from_secs(1),
            open: Duration::from_secs(30),
            written: 64 << 20,
            measurements: 1 << 16,
            lines: 100,
        }
    }
}

/// A limit that a guest ran into.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub(super) enum Broken {
    #[error("memory limit of {} reached", size(*.0))]
    Memory(usize),
    #[error("table limit of {0} elements reached")]
    Table(usize),
}

fn size(bytes: usize) -> String {
    if bytes.is_multiple_of(1 << 20) { format!("{} MiB", bytes >> 20) } else { format!("{bytes} bytes") }
}

/// What an instance has of the memory that it may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    memory: usize,
    table: usize,
    limits: Limits,
}

impl Usage {
    pub(super) fn new(limits: Limits) -> Self {
        Self { memory: 0, table: 0, limits }
    }

    /// Bytes of all memories.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }
}

/// Refusing ends the call: told "no", an allocator would abort without a word.
impl ResourceLimiter for Usage {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let memory = self.memory.saturating_add(desired.saturating_sub(current));
        if memory > self.limits.memory {
            return Err(Broken::Memory(self.limits.memory).into());
        }
        self.memory = memory;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let table = self.table.saturating_add(desired.saturating_sub(current));
        if table > self.limits.table {
            return Err(Broken::Table(self.limits.table).into());
        }
        self.table = table;
        Ok(true)
    }
}
