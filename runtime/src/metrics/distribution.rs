//! How values are distributed, written by one thread and read by any, without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets of a call's duration, in seconds.
pub const CALL: &[f64] = &[1e-6, 5e-6, 1e-5, 5e-5, 1e-4, 5e-4, 1e-3, 5e-3, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];

/// Upper bounds of the buckets of a commit's duration, in seconds.
pub const COMMIT: &[f64] = &[5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Upper bounds of the buckets of what plugins measure, whatever its unit.
pub const OWN: &[f64] =
    &[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 50.0, 100.0, 500.0, 1e3, 5e3, 1e4, 5e4, 1e5, 5e5, 1e6];

/// Counts of values in buckets, and their sum. One thread observes, any may read.
#[derive(Debug)]
pub struct Distribution {
    bounds: &'static [f64],
    counts: Box<[AtomicU64]>,
    /// The bits of a number.
    sum: AtomicU64,
}

impl Distribution {
    /// An empty one. `bounds` are the upper ends of its buckets, rising; there is another bucket above the last.
    pub fn new(bounds: &'static [f64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum: AtomicU64::new(0) }
    }

    /// Adds a duration, in seconds.
    pub fn observe(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = self.bounds.partition_point(|&bound| bound < seconds);
        if let Some(count) = self.counts.get(bucket) {
            bump(count, 1);
        }
        let sum = f64::from_bits(self.sum.load(Ordering::Relaxed)) + seconds;
        self.sum.store(sum.to_bits(), Ordering::Relaxed);
    }

    /// What it has seen.
    pub fn read(&self) -> Buckets {
        Buckets {
            bounds: self.bounds,
            counts: self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect(),
            sum: f64::from_bits(self.sum.load(Ordering::Relaxed)),
        }
    }
}

/// Adds to a number that no other thread writes.
pub(crate) fn bump(number: &AtomicU64, by: u64) {
    number.store(number.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
}

/// What a distribution has seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Buckets {
    bounds: &'static [f64],
    counts: Vec<u64>,
    sum: f64,
}

impl Buckets {
    /// Nothing, in buckets with these upper ends.
    pub fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len() + 1], sum: 0.0 }
    }

    /// Adds a value. One that is no number is above all.
    pub fn observe(&mut self, value: f64) {
        let bucket = self.bounds.partition_point(|&bound| bound < value || value.is_nan());
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.sum += value;
    }

    /// Adds what another one with the same buckets has seen.
    pub fn add(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, other)| *count += other);
        self.sum += other.sum;
    }

    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sum of the values.
    pub fn sum(&self) -> f64 {
        self.sum
    }

    /// Each bucket's upper end and the values in it alone; the last has no end.
    pub fn each(&self) -> Vec<(f64, u64)> {
        self.bounds.iter().copied().chain([f64::MAX]).zip(self.counts.iter().copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_in_the_bucket_whose_end_it_does_not_pass() {
        let distribution = Distribution::new(CALL);
        [1, 5, 6, 11_000_000].into_iter().for_each(|micros| distribution.observe(Duration::from_micros(micros)));
        let read = distribution.read();
        let filled: Vec<_> = read.each().into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [(1e-6, 1), (5e-6, 1), (1e-5, 1), (f64::MAX, 1)]);
        assert!((read.sum() - 11.000_012).abs() < 1e-9, "{}", read.sum());
    }

    #[test]
    fn what_is_no_number_is_above_all() {
        let mut buckets = Buckets::new(OWN);
        [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, 1e6, 2e6]
            .into_iter()
            .for_each(|value| buckets.observe(value));
        let each = buckets.each();
        assert_eq!((each.first(), each.last()), (Some(&(0.001, 2)), Some(&(f64::MAX, 3))));
        assert_eq!(buckets.count(), 6);
        let mut twice = buckets.clone();
        twice.add(&buckets);
        assert_eq!(twice.count(), 12);
    }
}
