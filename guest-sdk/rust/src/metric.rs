//! Metrics of the operator's own, declared in [`Setup`](crate::Setup).
//!
//! They count in calls that take effect only. A call that is made again without its failed records counts once.

use crate::host;

/// A sum that only grows.
#[derive(Clone, Copy, Debug)]
pub struct Counter(pub(crate) u32);

impl Counter {
    /// Adds to it.
    pub fn add(&self, delta: u64) {
        host::metrics::add(self.0, delta);
    }
}

/// A number that goes up and down.
#[derive(Clone, Copy, Debug)]
pub struct Gauge(pub(crate) u32);

impl Gauge {
    /// Sets it.
    pub fn set(&self, value: f64) {
        host::metrics::set(self.0, value);
    }
}

/// A distribution of observed numbers.
#[derive(Clone, Copy, Debug)]
pub struct Histogram(pub(crate) u32);

impl Histogram {
    /// Adds an observation.
    pub fn observe(&self, value: f64) {
        host::metrics::observe(self.0, value);
    }
}
