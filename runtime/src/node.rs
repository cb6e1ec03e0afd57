//! Pipelines on this node: plans put together with their plugins, workers, and the log that they run on.

mod alone;
pub mod assembly;
pub mod backend;
mod division;
pub mod embedded;
mod formats;
pub mod kafka;
mod key_by;
mod metered;
pub mod plugins;
mod reload;
pub mod running;
mod stepped;
pub mod widths;
pub mod worker;
