//! Operators and ports of a worker with a meter around them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmill_core::batch::Batch;
use wasmill_core::operator::{self, CallError, Declaration, Outcome};
use wasmill_core::port::{self, ChangelogId, Control, Fault, Polled, Position, Sealed, Target, Written};
use wasmill_core::record::{Offset, Partition, TaskId};
use wasmill_core::scope::Scope;
use wasmill_core::worker::Ports;

use crate::metrics::meter::{Calls, Meter};
use crate::plugin::thread_time;

/// How long a while is, at least, of which the worker's share of time is told.
const WHILE: Duration = Duration::from_secs(1);

/// Puts a meter around the operators of a worker.
pub(super) fn operators(
    operators: Vec<Vec<Box<dyn operator::Operator>>>,
    meter: &Meter,
) -> Vec<Vec<Box<dyn operator::Operator>>> {
    let stage = |(operators, nodes): (Vec<_>, &Vec<Arc<Calls>>)| {
        operators.into_iter().zip(nodes).map(|(made, calls)| operator(made, calls)).collect()
    };
    operators.into_iter().zip(&meter.nodes).map(stage).collect()
}

/// Puts a meter around an operator.
pub(super) fn operator(operator: Box<dyn operator::Operator>, calls: &Arc<Calls>) -> Box<dyn operator::Operator> {
    Box::new(Operator { operator, calls: Arc::clone(calls) })
}

/// Puts a meter around the ports of a worker.
pub(super) fn ports(ports: Ports, meter: &Arc<Meter>) -> Ports {
    let Ports { source, sink, tasks, changelog, stores } = ports;
    Ports {
        source: Box::new(Source { source, pace: Pace::new(Arc::clone(meter)) }),
        sink: Box::new(Sink { log: sink, meter: Arc::clone(meter), flushing: None }),
        tasks,
        changelog,
        stores,
    }
}

struct Operator {
    operator: Box<dyn operator::Operator>,
    calls: Arc<Calls>,
}

impl operator::Operator for Operator {
    fn declaration(&self) -> &Declaration {
        self.operator.declaration()
    }

    fn call(&mut self, scope: Box<Scope>) -> (Box<Scope>, Result<Outcome, CallError>) {
        let given = scope.call().records.bytes();
        let begun = Instant::now();
        let (scope, outcome) = self.operator.call(scope);
        self.calls.took(begun.elapsed());
        if outcome.is_ok() {
            self.calls.moved(given, scope.emitted());
        }
        (scope, outcome)
    }

    fn renew(&mut self) {
        self.operator.renew();
    }
}

/// What a worker does with its time. It polls after each turn, so that is where a while is looked at.
struct Pace {
    meter: Arc<Meter>,
    since: Instant,
    ran: Duration,
    waited: Duration,
    committing: f64,
}

impl Pace {
    fn new(meter: Arc<Meter>) -> Self {
        let (since, ran) = (Instant::now(), thread_time());
        Self { meter, since, ran, waited: Duration::ZERO, committing: 0.0 }
    }

    /// Takes note of a wait that has begun then.
    fn waited(&mut self, begun: Instant) {
        self.waited += begun.elapsed();
    }

    fn look(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.since);
        if passed < WHILE {
            return;
        }
        let (ran, committing) = (thread_time(), self.meter.commits.read().sum());
        let committed = Duration::from_secs_f64((committing - self.committing).max(0.0));
        let busy = passed.saturating_sub(self.waited);
        self.meter.pass(passed, busy, committed, ran.saturating_sub(self.ran));
        (self.since, self.ran, self.waited, self.committing) = (now, ran, Duration::ZERO, committing);
    }
}

struct Source {
    source: Box<dyn port::Source>,
    pace: Pace,
}

impl port::Source for Source {
    fn assign(&mut self, task: TaskId, positions: &[Position]) -> Result<(), Fault> {
        self.source.assign(task, positions)
    }

    fn unassign(&mut self, task: TaskId) -> Result<(), Fault> {
        self.source.unassign(task)
    }

    /// What is there at once is work; only what comes later was waited for.
    fn poll(&mut self, wait: Duration) -> Result<Polled, Fault> {
        let begun = Instant::now();
        self.pace.look(begun);
        let polled = self.source.poll(Duration::ZERO)?;
        if polled != Polled::Nothing || wait.is_zero() {
            return Ok(polled);
        }
        let polled = self.source.poll(wait);
        self.pace.waited(begun);
        polled
    }

    fn idle(&mut self, wait: Duration) -> Result<(), Fault> {
        let begun = Instant::now();
        self.pace.look(begun);
        let idle = self.source.idle(wait);
        self.pace.waited(begun);
        idle
    }

    fn start(&mut self, task: TaskId, input: u32) -> Result<Offset, Fault> {
        self.source.start(task, input)
    }
}

struct Sink {
    log: Box<dyn port::Sink>,
    meter: Arc<Meter>,
    /// How long the open epoch was flushed, if it was.
    flushing: Option<Duration>,
}

impl port::Sink for Sink {
    fn begin(&mut self) -> Result<(), Fault> {
        self.flushing = None;
        self.log.begin()
    }

    fn send(&mut self, target: Target, from: Partition, records: &Batch) -> Result<(), Fault> {
        self.log.send(target, from, records)
    }

    fn tell(&mut self, target: Target, control: Control) -> Result<(), Fault> {
        self.log.tell(target, control)
    }

    fn change(
        &mut self,
        changelog: ChangelogId,
        partition: Partition,
        row: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), Fault> {
        self.log.change(changelog, partition, row, value)
    }

    fn flush(&mut self) -> Result<(), Fault> {
        let begun = Instant::now();
        let flushed = self.log.flush();
        self.flushing = Some(self.flushing.unwrap_or_default() + begun.elapsed());
        flushed
    }

    fn commit(&mut self, sealed: &[Sealed]) -> Result<Vec<Written>, Fault> {
        let begun = Instant::now();
        let written = self.log.commit(sealed)?;
        // A claim of tasks commits too, and is no epoch.
        if let Some(flushing) = self.flushing.take() {
            self.meter.commits.observe(flushing + begun.elapsed());
        }
        Ok(written)
    }

    fn abort(&mut self) -> Result<(), Fault> {
        self.log.abort()
    }

    fn reset(&mut self) -> Result<(), Fault> {
        self.log.reset()
    }
}
