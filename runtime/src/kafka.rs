//! The worker's ports on Apache Kafka.
//!
//! A worker's transaction carries the outputs, the changelog records and the rows of its tasks. A task's row is the
//! committed offset of its partition of a tasks topic: the offset is the task's epoch, its metadata the rest of the
//! row. [`Group`] is the one member of the pipeline's group on this node; it says which tasks the node has, and
//! [`Group::give`] which worker may commit them. [`Pipeline::worker`] makes the ports of a worker.

pub mod admin;
mod changelog;
mod client;
mod ends;
mod fault;
mod group;
mod lookup;
mod native;
mod pipeline;
mod properties;
pub mod records;
pub mod rows;
mod sink;
mod source;
mod watchdog;

pub use changelog::Changelogs;
pub use client::{Client, Error, Timing};
pub use group::{Event, Group, Leave, Released};
pub use lookup::Lookup;
pub use pipeline::{Identity, Pipeline, Worker};
pub use properties::{Properties, PropertyError};
pub use rows::Rows;
pub use sink::Sink;
pub use source::Source;
