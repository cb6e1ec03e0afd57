//! A stage at one partition.

pub mod row;
