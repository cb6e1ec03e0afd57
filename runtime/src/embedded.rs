//! The log inside the process: topics, partitions and task rows in one fjall database, so that an epoch is one atomic
//! batch. For one process, without a broker; the same ports as Kafka's.
//!
//! # On disk
//!
//! Two keyspaces in `<data-dir>/log`, numbers big-endian:
//!
//! ```text
//! meta      "I"                          → 16 bytes that tell this log from every other
//!           "C"                          → u64 number of the last commit
//!           "T" u32 topic                → u8 kind (0 records, 1 changelog) | u32 partitions | name
//!           "E" u32 topic u32 partition  → u64 start | u64 end | how worn a changelog is: u64 cleaned | u64 forgotten
//!                                          | u64 bytes below `cleaned` | u64 bytes behind
//!           "R" tasks topic 0 u32 part.  → u64 epoch | task row
//! records   u32 topic u32 partition u64 offset → varint count | varint offsets covered | count × entry
//! entry     varint 2 × length + 1 if offsets are missing before it | varint how many, if so | record
//! record    i64 timestamp | u8 flags (1 key, 2 value, 4 headers)
//!           | varint length, key | varint length, headers | value to the end
//! ```
//!
//! Records that one commit appends to a partition are kept together, at most 256 and about 64 KiB, under the offset of
//! the last of them: a log of small records is a few long entries.
//!
//! A changelog is a topic of records `row → value`, of which the last of each row counts. Commits append to it, which
//! costs the same however many rows there are; `cleaner` removes what newer records have made superfluous, once that is
//! as large as what it would leave. Offsets stay, with gaps. The record of a deleted row, which has no value, goes with the
//! cleaning after the next; a store that lags behind further is made anew.
//!
//! Beside it, `<data-dir>/log.synced` holds as u64 the last commit that an fsync has covered: a log that ends before it
//! has been damaged, and is refused. A commit survives the death of the process at once, and a power cut within a second.

mod access;
mod block;
mod catalog;
mod changelog;
mod cleaner;
mod client;
mod commit;
mod disk;
mod error;
mod layout;
mod log;
mod sink;
mod socket;
mod source;
mod tasks;
mod wire;

#[cfg(test)]
mod tests;

pub use self::catalog::{Kind, Topic};
pub use self::changelog::Changelog;
pub use self::client::{Client, Connection, connect};
pub use self::error::LogError;
pub use self::log::{Fetched, Log};
pub use self::sink::Sink;
pub use self::socket::Server;
pub use self::source::{Source, Stops};
pub use self::tasks::Tasks;
