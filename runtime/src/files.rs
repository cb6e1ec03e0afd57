//! Files as sources and sinks.
//!
//! # Sources
//!
//! A file is an input with one partition. The offset of a line is the place of its first byte, counted from the first
//! byte that was ever read of the source: a file that takes the place of another, or that was cut off and begins anew,
//! begins at the offset where reading stood. So offsets never go back, and where there never was another file they are
//! places in the file. What is committed in the task's row is the offset of the next line and beside it a
//! [`Mark`](wasmill_core::port::Mark) that says which file it counts in:
//!
//! ```text
//! device | inode | offset of the file's first byte | n, at most 1024 | 64 bits of the SHA-256 of its first n bytes
//! ```
//!
//! The number of an inode is given to a new file when the old one is gone; the first bytes tell the two apart. A change
//! of files is an epoch's effect like a record: until it is committed, a restart finds the old file and sees it again.
//!
//! # Sinks
//!
//! An epoch sends the records of a file sink to a topic of the pipeline's own, `<cluster>.<pipeline>.<sink>-file`, with one
//! partition: in the transaction, so once. A thread of its own, the [`Writer`], copies what is committed there to the
//! file. The other way, committing the file's length in the task's row and appending after the commit, would need the
//! records after a crash between the two, and they are only in the log; it would also let several tasks write one file,
//! each with a length of its own.
//!
//! The writer appends, waits until the disk has it, and then records in the data directory up to which record of the topic
//! the file holds what, and how long it is with that, by renaming a new record of it (`files/progress.rs`) over the old one.
//! Killed before that, the next one cuts the file to the length that is recorded and appends the same bytes again: the
//! topic has one order. What is recorded is deleted from the topic from time to time, never more.

pub mod check;
mod mark;
mod progress;
mod reader;
mod source;
mod writer;

pub use self::progress::withdraw;
pub use self::source::{Source, size};
pub use self::writer::{Job, Writer};

/// The header of a record that is the beginning of a line too long to be one: its length in bytes, in decimal.
pub const LINE_BYTES: &str = "wasmill-line-bytes";
