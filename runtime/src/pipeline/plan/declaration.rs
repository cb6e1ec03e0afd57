//! What plugins say of themselves.

use std::time::Duration;

/// What a plugin is, as it declares itself for the settings of its operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declaration {
    /// The plugin's own name.
    pub name: String,
    /// The plugin's version.
    pub version: String,
    /// What it does.
    pub role: Role,
    /// The names of its inputs; one without a name if empty.
    pub inputs: Vec<String>,
    /// Its output ports, the main one first.
    pub outputs: Vec<Port>,
    /// The states that it keeps for each key.
    pub states: Vec<State>,
    /// The metrics that it counts.
    pub metrics: Vec<Metric>,
}

/// What a plugin does with records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Makes records of records and remembers nothing.
    Transform,
    /// Sees the records of each key in order, with state and timers.
    Process,
}

impl Role {
    /// Whether the records of a key must come to one task.
    pub const fn is_keyed(self) -> bool {
        matches!(self, Self::Process)
    }
}

/// An output port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// Whether records leave with the key that they came with.
    pub keeps_keys: bool,
}

/// A state that a plugin keeps for each key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub kind: StateKind,
    /// Whether it is handed in with each call.
    pub prefetch: bool,
    /// How long a value lives that is not written again, in event time; for ever if `None`.
    pub ttl: Option<Duration>,
    /// The version of the values' encoding.
    pub encoding: u8,
}

/// The shape of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StateKind {
    /// One value.
    Single,
    /// Values by field, in the order of the fields' bytes.
    OrderedMap,
}

/// A metric that a plugin counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// How it is counted.
    pub kind: MetricKind,
    /// Its unit.
    pub unit: String,
}

/// How a metric is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// The distribution of values.
    Histogram,
}
