//! Wasmill, a stream processor whose operators are WebAssembly plugins.

pub mod broker;
pub mod build;
pub mod builtin;
pub mod cli;
pub mod clock;
pub mod connect;
pub mod control;
pub mod data_dir;
pub mod embedded;
pub mod files;
pub mod kafka;
pub mod lines;
pub mod metrics;
pub mod node;
pub mod observe;
pub mod partitioner;
pub mod pipeline;
pub mod plugin;
pub mod step;
pub mod store;
pub mod topology;
