//! The host in memory, to test an operator natively: time is moved by hand.
//!
//! The operator runs on the same columns as in a component. State, timers and failed calls behave as in the runtime: a
//! call takes effect as a whole or not at all, and a keyed call with failures is made again without the records that
//! failed.
//!
//! ```
//! use wasmill_sdk::{Message, Output, Record, Result, Timestamp, Transform, testing};
//!
//! #[derive(Default)]
//! struct Shout;
//!
//! impl Transform for Shout {
//!     fn process(&mut self, record: Record<'_>, out: &mut Output) -> Result<()> {
//!         out.emit(record.with_value(record.text()?.to_uppercase()))
//!     }
//! }
//!
//! let mut shout = testing::transform::<Shout>("{}")?;
//! shout.send([Message::new("hello", Timestamp::from_millis(0)), Message::new(b"\xff", Timestamp::from_millis(1))])?;
//! assert_eq!(shout.take("main"), [Message::new("HELLO", Timestamp::from_millis(0))]);
//! assert_eq!(shout.failures()[0].record.value(), Some(&b"\xff"[..]));
//! # Ok::<(), wasmill_sdk::Error>(())
//! ```

mod columns;
mod harness;
pub(crate) mod imports;
mod observed;
mod store;
mod timers;

pub use harness::{Harness, Operator, process, transform};
pub use observed::{Failed, Line, Pending};
