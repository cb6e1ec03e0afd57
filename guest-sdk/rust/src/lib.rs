//! Write Wasmill operators in Rust.
//!
//! An operator is a WebAssembly component. It is given records in batches, and what it emits, stores and sets takes effect
//! with the records' offsets: all of it once, or none of it. A stateless operator implements [`Transform`]:
//!
//! ```
//! use wasmill_sdk::{Output, Record, Result, Transform};
//!
//! #[derive(Default)]
//! struct Split;
//!
//! impl Transform for Split {
//!     fn process(&mut self, record: Record<'_>, out: &mut Output) -> Result<()> {
//!         record.text()?.split_whitespace().try_for_each(|word| out.emit(record.with_key(word)))
//!     }
//! }
//!
//! wasmill_sdk::export!(transform Split);
//! # fn main() {}
//! ```
//!
//! A keyed one implements [`Process`], and declares in [`Open`] what it keeps:
//!
//! ```
//! use wasmill_sdk::{Context, Keys, Open, Process, Record, Result, Setup, Single};
//!
//! struct Count(Single<u64>);
//!
//! impl Open for Count {
//!     fn open(setup: &mut Setup) -> Result<Self> {
//!         setup.main_output(Keys::Kept);
//!         Ok(Self(setup.state("count").prefetched()))
//!     }
//! }
//!
//! impl Process for Count {
//!     fn process(&mut self, record: Record<'_>, cx: &mut Context) -> Result<()> {
//!         let count = self.0.update(cx, |count| count.unwrap_or(0) + 1)?;
//!         cx.emit(record.with_value(count.to_string()))
//!     }
//! }
//!
//! wasmill_sdk::export!(process Count);
//! # fn main() {}
//! ```
//!
//! # Building
//!
//! The crate of a plugin is a `cdylib`, and an `rlib` too so that it can be tested:
//!
//! ```toml
//! [lib]
//! crate-type = ["cdylib", "rlib"]
//! ```
//!
//! `wasmill build` builds it, and so does a pipeline whose `plugin:` is its directory. By hand:
//!
//! ```sh
//! rustup target add wasm32-unknown-unknown
//! RUSTFLAGS=-Ctarget-feature=+simd128 cargo build --release --target wasm32-unknown-unknown
//! ```
//!
//! The result is a core module that carries its WIT in custom sections; the runtime makes a component of it on load. It
//! imports interfaces of `wasmill:plugin` only, and of those only the ones that it uses.
//!
//! # Errors
//!
//! By `?` every error becomes an [`Error::Failure`]: the record at hand leaves nothing but a dead letter that says why, and
//! the others go on. [`Error::transient`] has the whole call made again after a pause. A panic is a trap; its message and
//! place reach the log first.
//!
//! # Rules
//!
//! An operator has no clock and no randomness: time comes from records and from [`Call`], so that a call made again has the
//! same effects. What it keeps in its own fields is a cache that may vanish between any two calls; what must last goes into
//! state.
//!
//! # Tests
//!
//! An operator runs natively in `testing`, a host in memory: records in, time moved by hand, and outputs, state, failures,
//! logs and metrics to look at.

mod bytes;
mod call;
mod context;
mod error;
mod export;
mod headers;
mod host;
pub mod log;
mod message;
mod metric;
mod open;
mod output;
mod process;
mod record;
mod setup;
mod state;
mod timer;
mod timestamp;
mod transform;

#[doc(hidden)]
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated")]
pub mod bindings;
#[doc(hidden)]
pub mod guest;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub use bytes::Bytes;
pub use call::Call;
pub use context::Context;
pub use error::{Error, Result};
pub use headers::Headers;
pub use message::Message;
pub use metric::{Counter, Gauge, Histogram};
pub use open::Open;
pub use output::{Output, Port};
pub use process::Process;
pub use record::Record;
pub use setup::{Input, Keys, Setup, StateSetup};
pub use state::{Fields, Json, Older, OrderedMap, Single, Value};
pub use timer::{Domain, Timer};
pub use timestamp::Timestamp;
pub use transform::Transform;
