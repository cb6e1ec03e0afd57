//! The rows of stateful operators on this node: a cache of their changelogs, which can be dropped at any time.

mod behind;
mod directory;
pub mod fjall;
pub mod memory;
pub mod sled;

#[cfg(test)]
mod conformance;

use std::any::Any;

use wasmill_core::port::ChangelogId;
use wasmill_core::port::StoreError;
use wasmill_core::record::TaskId;

use crate::topology::Topology;

/// Bytes of cache that a database on disk gets.
pub const CACHE: usize = 32 << 20;

/// What a panic said.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panic: {}", text.unwrap_or("without a message"))
}

/// The name of an operator's rows at a task. Operators keep it when the plan around them changes.
fn name(topology: &Topology, task: TaskId, changelog: ChangelogId) -> Result<String, StoreError> {
    let unknown = || StoreError::Broken(format!("open the store of changelog {}: the plan has none", changelog.0));
    Ok(format!("{}/{}", topology.changelog(changelog).ok_or_else(unknown)?, task.partition))
}
