//! x
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
pub use output::{Output, Port};
pub use process::Process;
pub use record::Record;
pub use setup::{Input, Keys, Setup, StateSetup};
pub use state::{Fields, Json, OrderedMap, Single, Value};
pub use timer::{Domain, Timer};
pub use timestamp::Timestamp;
pub use transform::Transform;
