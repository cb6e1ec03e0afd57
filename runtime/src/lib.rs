//! Wasmill, a stream processor whose operators are WebAssembly plugins.

pub mod plugin;
