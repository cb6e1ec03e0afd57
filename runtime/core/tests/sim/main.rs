//! Runs the real loop in a world where every call of a port fails in turn, or by chance while nodes come and go, and
//! compares with a model.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

mod alone;
mod at_least_once;
mod bounds;
mod check;
mod clock;
mod cluster;
mod disk;
mod graph;
mod graphs;
mod log;
mod mended;
mod model;
mod operators;
mod pipeline;
mod ports;
mod random;
mod reload;
mod reset;
mod restore;
mod versions;
mod world;
