//! The part of Wasmill that does no IO: records in columns, rows, timers, tasks, epochs, and the worker's loop.
//!
//! What the loop needs from the world is in [`port`]; Kafka, the embedded log and a simulation implement it.

pub mod batch;
pub mod cache;
pub mod commit;
pub mod flow;
pub mod layers;
pub mod operator;
pub mod overlay;
pub mod port;
pub mod record;
pub mod recovery;
pub mod row;
pub mod scope;
pub mod slots;
pub mod stage;
pub mod state;
pub mod table;
pub mod task;
pub mod varint;
pub mod watermark;
pub mod worker;
pub mod writes;
