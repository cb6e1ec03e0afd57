//! Metrics as text, in the format of `OpenMetrics`, which Prometheus reads.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::distribution::Buckets;
use super::names::{ALL, Kind, Metric};

/// A value of a metric.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// A whole number.
    Count(u64),
    /// Any number.
    Amount(f64),
    /// A distribution.
    Buckets(Buckets),
    /// Nothing but its labels.
    Text,
}

#[derive(Debug)]
struct Series {
    metric: &'static str,
    labels: Vec<(&'static str, String)>,
    value: Value,
}

/// Values of metrics, to be written as text.
#[derive(Debug, Default)]
pub(super) struct Exposition {
    series: Vec<Series>,
}

impl Exposition {
    /// Adds a value; the labels are given in the order of the metric's.
    pub(super) fn add<const N: usize>(&mut self, metric: &Metric, labels: [&str; N], value: Value) {
        debug_assert_eq!(metric.labels.len(), N, "the labels of {}", metric.name);
        let labels = metric.labels.iter().copied().zip(labels.map(escaped)).collect();
        self.series.push(Series { metric: metric.name, labels, value });
    }

    /// The version of the program, which has labels of its own.
    pub(super) fn add_version(&mut self, metric: &Metric, version: &str) {
        let labels = vec![("version", version.to_owned())];
        self.series.push(Series { metric: metric.name, labels, value: Value::Text });
    }

    /// All metrics as text; those without a value have their descriptions.
    pub(super) fn text(self) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }
}

/// A label's value as the format has it: plugins may write anything.
fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

impl Collector for Exposition {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        for metric in ALL {
            let kind = match metric.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
                Kind::Histogram => MetricType::Histogram,
                Kind::Info => MetricType::Info,
            };
            let mut described = encoder.encode_descriptor(metric.name, metric.help, None, kind)?;
            for series in self.series.iter().filter(|series| series.metric == metric.name) {
                series.encode(&mut described, metric.kind)?;
            }
        }
        Ok(())
    }
}

impl Series {
    fn encode(&self, encoder: &mut MetricEncoder<'_>, kind: Kind) -> Result<(), fmt::Error> {
        if kind == Kind::Info {
            return encoder.encode_info(&self.labels);
        }
        if self.labels.is_empty() {
            return self.value.encode(encoder, kind);
        }
        self.value.encode(&mut encoder.encode_family(&self.labels)?, kind)
    }
}

impl Value {
    fn encode(&self, encoder: &mut MetricEncoder<'_>, kind: Kind) -> Result<(), fmt::Error> {
        match (self, kind) {
            (Self::Count(count), Kind::Counter) => encoder.encode_counter::<NoLabelSet, _, u64>(count, None),
            (Self::Amount(amount), Kind::Counter) => encoder.encode_counter::<NoLabelSet, _, u64>(amount, None),
            (Self::Count(count), _) => encoder.encode_gauge(&i64::try_from(*count).unwrap_or(i64::MAX)),
            (Self::Amount(amount), _) => encoder.encode_gauge(amount),
            (Self::Buckets(buckets), _) => {
                encoder.encode_histogram::<NoLabelSet>(buckets.sum(), buckets.count(), &buckets.each(), None)
            }
            (Self::Text, _) => Ok(()),
        }
    }
}
