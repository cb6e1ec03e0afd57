use crate::log::Level;
use crate::{Domain, Message, Timestamp};

/// A record that the operator could not handle, or a timer: its key, its name as value, its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The record.
    pub record: Message<'static>,
    /// Why.
    pub reason: String,
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// How much it matters.
    pub level: Level,
    /// What it says.
    pub message: String,
}

/// A timer that is set. Timers fire in this order, each domain by its own clock.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pending {
    /// The clock that it goes by.
    pub domain: Domain,
    /// When it fires.
    pub at: Timestamp,
    /// The key that it belongs to.
    pub key: Vec<u8>,
    /// Its name.
    pub name: Vec<u8>,
}
