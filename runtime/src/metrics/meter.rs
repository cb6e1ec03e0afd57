//! What is measured of a worker while it runs: written by its thread alone, read by any, without a lock on the way of a
//! record.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use wasmill_core::operator::MetricDeclaration;

use super::distribution::{Buckets, CALL, COMMIT, Distribution, bump};
use super::own::{self, Own};
use crate::plugin::Tally;

/// What is measured of a worker.
#[derive(Debug)]
pub struct Meter {
    /// Of each node of each stage.
    pub nodes: Vec<Vec<Arc<Calls>>>,
    /// How long commits took.
    pub commits: Distribution,
    /// The bits of the share of time in which it did not wait.
    busy: AtomicU64,
}

impl Meter {
    /// A meter for the nodes of stages.
    pub fn new(nodes: Vec<Vec<Arc<Calls>>>) -> Self {
        Self { nodes, commits: Distribution::new(COMMIT), busy: AtomicU64::new(0) }
    }

    /// Share of the last while in which the worker did not wait for records.
    pub fn busy(&self) -> f64 {
        f64::from_bits(self.busy.load(Ordering::Relaxed))
    }

    /// Takes note of a while: what of it the worker did not wait, and the processor time that its thread had in it. What
    /// calls took is processor time in the same proportion.
    pub(crate) fn pass(&self, while_: Duration, busy: Duration, waited_for_log: Duration, ran: Duration) {
        let share = |part: Duration, of: Duration| {
            if of.is_zero() { 0.0 } else { (part.as_secs_f64() / of.as_secs_f64()).min(1.0) }
        };
        self.busy.store(share(busy, while_).to_bits(), Ordering::Relaxed);
        let share = share(ran, busy.saturating_sub(waited_for_log));
        self.calls().for_each(|calls| calls.account(share));
    }

    /// The calls of all nodes.
    pub(crate) fn calls(&self) -> impl Iterator<Item = &Calls> {
        self.nodes.iter().flatten().map(Arc::as_ref)
    }
}

/// What is measured of the calls of an operator on a worker.
#[derive(Debug)]
pub struct Calls {
    durations: Distribution,
    /// Nanoseconds in calls that are not yet accounted for.
    pending: AtomicU64,
    /// Nanoseconds of processor time.
    cpu: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    /// Where the operator is a plugin.
    plugin: Option<(Arc<Tally>, Own)>,
}

impl Calls {
    /// Nothing yet; `declared` has the metrics of a plugin's own.
    pub fn new(declared: Option<&[MetricDeclaration]>) -> Self {
        Self {
            durations: Distribution::new(CALL),
            pending: AtomicU64::new(0),
            cpu: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            plugin: declared.map(|declared| (Arc::default(), Own::new(declared))),
        }
    }

    /// What is counted of the plugin.
    pub fn tally(&self) -> Option<&Arc<Tally>> {
        self.plugin.as_ref().map(|(tally, _)| tally)
    }

    /// The metrics of the plugin's own.
    pub fn own(&self) -> Option<&Own> {
        self.plugin.as_ref().map(|(_, own)| own)
    }

    /// Takes note of a call.
    pub(crate) fn took(&self, duration: Duration) {
        self.durations.observe(duration);
        bump(&self.pending, u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Takes note of what a call that went well was given and emitted.
    pub(crate) fn moved(&self, bytes_in: usize, bytes_out: usize) {
        bump(&self.bytes_in, bytes_in as u64);
        bump(&self.bytes_out, bytes_out as u64);
    }

    fn account(&self, share: f64) {
        let pending = self.pending.load(Ordering::Relaxed);
        bump(&self.cpu, (pending as f64 * share) as u64);
        self.pending.store(0, Ordering::Relaxed);
    }

    /// What was measured, on a worker.
    pub fn read(&self, worker: usize) -> Seen {
        let plugin = self.plugin.as_ref().map(|(tally, own)| SeenPlugin {
            cpu: Duration::from_nanos(self.cpu.load(Ordering::Relaxed)),
            traps: tally.traps(),
            recycles: tally.recycles(),
            memory: tally.memory(),
            dropped_lines: tally.dropped_lines(),
            dropped_metrics: own.dropped() as u64,
            own: own.read(worker),
        });
        Seen {
            calls: self.durations.read(),
            bytes_in: self.bytes_in.load(Ordering::Relaxed),
            bytes_out: self.bytes_out.load(Ordering::Relaxed),
            plugin,
        }
    }
}

/// What is seen of an operator's calls.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// Their durations in seconds.
    pub calls: Buckets,
    /// Bytes in.
    pub bytes_in: u64,
    /// Bytes out.
    pub bytes_out: u64,
    /// Where the operator is a plugin.
    pub plugin: Option<SeenPlugin>,
}

/// What is seen of a plugin.
#[derive(Clone, Debug, PartialEq)]
pub struct SeenPlugin {
    /// Processor time of its calls.
    pub cpu: Duration,
    /// Calls that ended otherwise than by returning.
    pub traps: u64,
    /// Instances that took the place of another.
    pub recycles: u64,
    /// Bytes of its instances.
    pub memory: u64,
    /// Lines above what it may log.
    pub dropped_lines: u64,
    /// Metrics that it declares and that are not exported.
    pub dropped_metrics: u64,
    /// Metrics of its own.
    pub own: Vec<own::Seen>,
}

impl Seen {
    /// Adds what is seen of the same operator on another worker, or at another place.
    pub fn add(&mut self, other: &Self) {
        self.calls.add(&other.calls);
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        match (&mut self.plugin, &other.plugin) {
            (Some(plugin), Some(other)) => plugin.add(other),
            (None, Some(other)) => self.plugin = Some(other.clone()),
            (_, None) => {}
        }
    }
}

impl SeenPlugin {
    fn add(&mut self, other: &Self) {
        self.cpu += other.cpu;
        self.traps += other.traps;
        self.recycles += other.recycles;
        self.memory += other.memory;
        self.dropped_lines += other.dropped_lines;
        self.own.iter_mut().zip(&other.own).for_each(|(own, other)| own.add(other));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn calls_had_the_processor_in_proportion_to_their_worker() {
        let calls = Arc::new(Calls::new(Some(&[])));
        let meter = Meter::new(vec![vec![calls.clone()]]);
        calls.took(ms(300));
        // Of a second 600 ms were busy, 100 of those with waiting for the log, and the thread ran 250 ms.
        meter.pass(ms(1000), ms(600), ms(100), ms(250));
        meter.pass(ms(1000), ms(600), ms(100), ms(250));
        assert!((meter.busy() - 0.6).abs() < 1e-9);
        assert_eq!(calls.read(0).plugin.map(|plugin| plugin.cpu), Some(ms(150)));
        calls.took(ms(10));
        meter.pass(ms(10), ms(0), ms(0), ms(5));
        assert_eq!(calls.read(0).plugin.map(|plugin| plugin.cpu), Some(ms(150)));
    }
}
