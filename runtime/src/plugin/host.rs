//! What a guest's imports reach while it is called.

use std::sync::Arc;

use wasmill_core::operator::{Declaration, MetricKind};
use wasmill_core::scope::{Measurement, Refusal, Scope};
use wasmtime::StoreContextMut;

use super::clock::Deadline;
use super::limits::{Limits, Usage};
use super::lines::Lines;
use super::tally::Tally;

/// The data of a guest's store.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) usage: Usage,
    pub(super) deadline: Deadline,
    pub(super) lines: Lines,
    pub(super) tally: Arc<Tally>,
    limits: Limits,
    /// Missing until the guest has described itself.
    declaration: Option<Arc<Declaration>>,
    /// There while records or timers are processed, and no import has it.
    scope: Option<Box<Scope>>,
    written: usize,
    measurements: usize,
}

impl Host {
    pub(super) fn new(
        operator: Arc<str>,
        limits: Limits,
        declaration: Option<Arc<Declaration>>,
        tally: Arc<Tally>,
    ) -> Self {
        Self {
            usage: Usage::new(limits),
            deadline: Deadline::new(limits.open),
            lines: Lines::new(operator, limits.lines, Arc::clone(&tally)),
            tally,
            limits,
            declaration,
            scope: None,
            written: 0,
            measurements: 0,
        }
    }

    /// Lends a scope to the guest for one call.
    pub(super) fn lend(&mut self, scope: Box<Scope>) {
        self.scope = Some(scope);
        self.written = 0;
        self.measurements = 0;
    }

    /// Takes the scope back.
    pub(super) fn take_back(&mut self) -> Box<Scope> {
        self.scope.take().unwrap_or_default()
    }

    /// Counts bytes that the call writes, or that an answer to it has.
    pub(super) fn charge(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.written = self.written.saturating_add(bytes);
        if self.written > self.limits.written {
            let limit = self.limits.written;
            return Err(Refusal::Violation(format!("what one call writes to state and timers passes {limit} bytes")));
        }
        Ok(())
    }

    /// Checks and notes a value of a metric.
    pub(super) fn measure(&mut self, measurement: Measurement) -> Result<(), Refusal> {
        let (metric, kind) = match measurement {
            Measurement::Add(metric, _) => (metric, MetricKind::Counter),
            Measurement::Set(metric, _) => (metric, MetricKind::Gauge),
            Measurement::Observe(metric, _) => (metric, MetricKind::Histogram),
        };
        let declared = self.declaration.as_ref().and_then(|declaration| declaration.metrics.get(metric as usize));
        if declared.is_none_or(|declared| declared.kind != kind) {
            return Err(Refusal::Violation(format!("there is no metric {metric} that is a {}", name(kind))));
        }
        self.measurements += 1;
        if self.measurements > self.limits.measurements {
            let limit = self.limits.measurements;
            return Err(Refusal::Violation(format!("one call leaves more than {limit} values of metrics")));
        }
        let Some(scope) = self.scope.as_mut() else { return Err(outside("metrics")) };
        scope.measure(measurement);
        Ok(())
    }
}

fn name(kind: MetricKind) -> &'static str {
    match kind {
        MetricKind::Counter => "counter",
        MetricKind::Gauge => "gauge",
        MetricKind::Histogram => "histogram",
    }
}

fn outside(import: &str) -> Refusal {
    Refusal::Violation(format!("{import} may be used only while records or timers are processed"))
}

/// Does something with the scope and the guest's memory at once.
pub(super) fn with_scope<R>(
    store: &mut StoreContextMut<'_, Host>,
    import: &'static str,
    act: impl FnOnce(&mut Scope, &StoreContextMut<'_, Host>) -> Result<R, Refusal>,
) -> wasmtime::Result<R> {
    let mut scope = store.data_mut().scope.take().ok_or_else(|| outside(import))?;
    let answer = act(&mut scope, store);
    store.data_mut().scope = Some(scope);
    Ok(answer?)
}
