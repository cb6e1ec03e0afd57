//! What the tests of the whole system share.

pub(crate) mod cluster;
pub(crate) mod command;
pub(crate) mod counting;
pub(crate) mod fleet;
pub(crate) mod http;
pub(crate) mod kafka;
pub(crate) mod languages;
pub(crate) mod ledger;
pub(crate) mod lives;
pub(crate) mod openmetrics;
pub(crate) mod projects;
pub(crate) mod proxy;
pub(crate) mod words;
