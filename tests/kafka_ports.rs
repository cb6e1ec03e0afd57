//! The ports of a worker on a real Kafka.

mod changelogs;
mod errors;
mod groups;
mod records;
mod rows;
mod sinks;
mod sources;
mod world;
