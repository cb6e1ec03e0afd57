//! The log inside the process: topics, partitions and task rows in one fjall database, so that an epoch is one atomic
//! batch. For one process, without a broker; the same ports as Kafka's.
//!
//! # On disk
//!
//! Four keyspaces in `<data-dir>/log`, numbers big-endian:
//!
//! ```text
//! meta      "I"                          → 16 bytes that tell this log from every other
//!           "C"                          → u64 number of the last commit
//!           "T" u32 topic                → u8 kind (0 records, 1 changelog) | u32 partitions | name
//!           "E" u32 topic u32 partition  → u64 start | u64 end
//!           "R" tasks topic 0 u32 part.  → u64 epoch | task row
//! records   u32 topic u32 partition u64 offset → varint count | count × (varint length, record)
//! latest    u32 topic u32 partition u8 0 row   → u64 offset of the row's one record in its changelog
//!                                   u8 1 sha256 of a row longer than 32 KiB
//! record    i64 timestamp | u8 flags (1 key, 2 value, 4 headers)
//!           | varint length, key | varint length, headers | value to the end
//! ```
//!
//! Records that one commit appends to a partition are kept together, at most 256 and about 64 KiB, under the offset of
//! the last of them: a log of small records is a few long entries. In a changelog each record is on its own.
//!
//! A changelog is a topic of records `row → value` in which a row's older record is removed by the commit that writes
//! the newer one; offsets keep growing. So a tail is one scan, in order, without a lookup a row. The record of a deleted
//! row stays, without a value, so that a store that lags behind learns of the deletion.
//!
//! Beside it, `<data-dir>/log.synced` holds as u64 the last commit that an fsync has covered: a log that ends before it
//! has been damaged, and is refused. A commit survives the death of the process at once, and a power cut within a second.

mod access;
mod catalog;
mod changelog;
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
