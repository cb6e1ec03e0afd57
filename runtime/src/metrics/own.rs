//! Metrics that plugins declare and write themselves. Their values count when their epoch is committed.

use std::sync::{Mutex, PoisonError};

use wasmill_core::operator::{MetricDeclaration, MetricKind};
use wasmill_core::scope::Measurement;

use super::distribution::{Buckets, OWN};

/// How many metrics of an operator are exported; others that it declares are counted.
pub const MOST: usize = 100;

#[derive(Clone, Debug)]
enum Value {
    Counter(u64),
    Gauge(Option<f64>),
    Histogram(Buckets),
}

impl Value {
    fn new(kind: MetricKind) -> Self {
        match kind {
            MetricKind::Counter => Self::Counter(0),
            MetricKind::Gauge => Self::Gauge(None),
            MetricKind::Histogram => Self::Histogram(Buckets::new(OWN)),
        }
    }
}

/// The metrics of one operator on one worker.
#[derive(Debug)]
pub struct Own {
    declared: Vec<MetricDeclaration>,
    dropped: usize,
    /// Of the open epoch; only the worker's thread has it.
    open: Mutex<Vec<Value>>,
    committed: Mutex<Vec<Value>>,
}

impl Own {
    /// The metrics that an operator declares, without a value.
    pub fn new(declared: &[MetricDeclaration]) -> Self {
        let exported: Vec<_> = declared.iter().take(MOST).cloned().collect();
        let dropped = declared.len() - exported.len();
        let values = || exported.iter().map(|metric| Value::new(metric.kind)).collect();
        Self { open: Mutex::new(values()), committed: Mutex::new(values()), declared: exported, dropped }
    }

    /// How many are declared that are not exported.
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    /// Takes a value of the open epoch.
    pub fn measure(&self, measurement: Measurement) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let (Measurement::Add(metric, _) | Measurement::Set(metric, _) | Measurement::Observe(metric, _)) = measurement;
        match (measurement, open.get_mut(metric as usize)) {
            (Measurement::Add(_, delta), Some(Value::Counter(count))) => *count = count.wrapping_add(delta),
            (Measurement::Set(_, to), Some(Value::Gauge(value))) => *value = Some(to),
            (Measurement::Observe(_, value), Some(Value::Histogram(buckets))) => buckets.observe(value),
            _ => {}
        }
    }

    /// The open epoch is committed.
    pub fn commit(&self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut committed = self.committed.lock().unwrap_or_else(PoisonError::into_inner);
        for ((committed, open), metric) in committed.iter_mut().zip(open.iter_mut()).zip(&self.declared) {
            match (committed, &*open) {
                (Value::Counter(count), Value::Counter(more)) => *count = count.wrapping_add(*more),
                (Value::Gauge(value), Value::Gauge(last)) => *value = last.or(*value),
                (Value::Histogram(buckets), Value::Histogram(more)) => buckets.add(more),
                _ => {}
            }
            *open = Value::new(metric.kind);
        }
    }

    /// The open epoch is lost.
    pub fn abort(&self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.iter_mut().zip(&self.declared).for_each(|(value, metric)| *value = Value::new(metric.kind));
    }

    /// What is committed of it, on a worker.
    pub fn read(&self, worker: usize) -> Vec<Seen> {
        let committed = self.committed.lock().unwrap_or_else(PoisonError::into_inner);
        let one = |(metric, value): (&MetricDeclaration, &Value)| Seen {
            name: metric.name.clone(),
            unit: metric.unit.clone(),
            reading: match value {
                Value::Counter(count) => Reading::Counter(*count),
                Value::Gauge(value) => Reading::Gauge(value.map(|value| (worker, value)).into_iter().collect()),
                Value::Histogram(buckets) => Reading::Histogram(buckets.clone()),
            },
        };
        self.declared.iter().zip(committed.iter()).map(one).collect()
    }
}

/// What is seen of a plugin's own metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// As the plugin calls it.
    pub name: String,
    /// The unit that the plugin gives it.
    pub unit: String,
    /// Its value.
    pub reading: Reading,
}

/// The value of a plugin's own metric.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// On all workers.
    Counter(u64),
    /// On each worker that has set it.
    Gauge(Vec<(usize, f64)>),
    /// On all workers.
    Histogram(Buckets),
}

impl Seen {
    /// Adds the same metric of another worker.
    pub fn add(&mut self, other: &Self) {
        match (&mut self.reading, &other.reading) {
            (Reading::Counter(count), Reading::Counter(more)) => *count = count.wrapping_add(*more),
            (Reading::Gauge(values), Reading::Gauge(more)) => values.extend(more),
            (Reading::Histogram(buckets), Reading::Histogram(more)) => buckets.add(more),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(kinds: &[MetricKind]) -> Vec<MetricDeclaration> {
        let metric = |(index, &kind)| MetricDeclaration { name: format!("m{index}"), kind, unit: "words".into() };
        kinds.iter().enumerate().map(metric).collect()
    }

    #[test]
    fn values_count_when_their_epoch_is_committed() {
        let own = Own::new(&declared(&[MetricKind::Counter, MetricKind::Gauge, MetricKind::Histogram]));
        let epoch = || {
            own.measure(Measurement::Add(0, 3));
            own.measure(Measurement::Add(0, 4));
            own.measure(Measurement::Set(1, 2.5));
            own.measure(Measurement::Observe(2, 1.0));
        };
        epoch();
        assert_eq!(own.read(0)[1].reading, Reading::Gauge(Vec::new()));
        own.abort();
        own.commit();
        assert_eq!(own.read(0)[0].reading, Reading::Counter(0));
        epoch();
        own.commit();
        epoch();
        own.commit();
        own.commit();
        let mut seen = own.read(7);
        assert_eq!(seen[0].reading, Reading::Counter(14));
        assert_eq!(seen[1].reading, Reading::Gauge(vec![(7, 2.5)]));
        let other = own.read(8);
        seen.iter_mut().zip(&other).for_each(|(one, other)| one.add(other));
        assert_eq!(seen[1].reading, Reading::Gauge(vec![(7, 2.5), (8, 2.5)]));
        assert!(matches!(&seen[2].reading, Reading::Histogram(buckets) if buckets.count() == 4));
    }

    #[test]
    fn no_more_than_the_most_are_exported() {
        let own = Own::new(&declared(&[MetricKind::Counter; MOST + 3]));
        own.measure(Measurement::Add(MOST as u32, 1));
        own.commit();
        assert_eq!((own.read(0).len(), own.dropped()), (MOST, 3));
    }
}
