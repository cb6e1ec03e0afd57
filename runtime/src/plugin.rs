//! Plugins: WebAssembly components that are checked, compiled, and run as operators in bounds.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::path::Path;
//! use wasmill::plugin::{Cache, Engine, Limits, Place, Plugin};
//!
//! let (engine, cache) = (Engine::new()?, Cache::open(Path::new("data/plugins"))?);
//! let plugin = Plugin::load(&engine, &cache, &std::fs::read("count.wasm")?, "count.wasm")?;
//! let place = Place { operator: "count".into(), settings: "{}".into(), limits: Limits::default() };
//! let placed = plugin.place(place)?;
//! let operators: Vec<_> = (0..2).map(|_worker| placed.instance()).collect();
//! # Ok(()) }
//! ```
//!
//! From the bytes of a file to an operator of the worker: [`componentize`] makes a component of them, [`Cache`] machine
//! code, [`Plugin`] checks imports and exports, [`Placed`] has it describe itself, and [`Instance`] calls it.

mod cache;
mod call;
mod checked;
mod clock;
mod component;
mod contract;
mod declaration;
mod engine;
mod exports;
mod failure;
mod guest;
mod host;
mod imports;
mod instance;
mod limits;
mod lines;
mod linker;
mod place;
mod tally;

pub use cache::{Cache, CacheError, Counts};
pub use checked::{Plugin, PluginError, Reason};
pub(crate) use clock::thread_time;
pub use component::{ComponentError, Digest, componentize};
pub use declaration::DeclarationError;
pub use engine::{Engine, EngineError, STACK, TICK};
pub use exports::ExportError;
pub use instance::Instance;
pub use limits::Limits;
pub use linker::ImportError;
pub use place::{Place, Placed};
pub use tally::Tally;
