//! The names of all metrics, and what they mean.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::node::running::Seen;
use crate::plugin::Counts;

/// The content type of the text that [`render`] makes.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct OfPipeline {
    pipeline: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct OfOperator {
    pipeline: String,
    operator: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct OfTopic {
    pipeline: String,
    topic: String,
    partition: u32,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct OfStage {
    pipeline: String,
    stage: String,
    partition: u32,
}

/// What is seen, in the text format of `OpenMetrics`, which Prometheus reads.
pub fn render(seen: &[Seen], plugins: Counts) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::with_prefix("wasmill");
    registry.register("build", "The version of Wasmill", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
    counter(&mut registry, "compiles", "Plugins that were compiled", plugins.compiled);
    counter(&mut registry, "compile_cache_hits", "Plugins that were found compiled", plugins.found);
    operators(&mut registry, seen);
    epochs(&mut registry, seen);
    progress(&mut registry, seen);
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

fn counter(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let counter = Counter::<u64>::default();
    counter.inc_by(value);
    registry.register(name, help, counter);
}

/// What became of the records of each operator, since its pipeline began: `in` is the sum of `handled`, `late`,
/// `dead_lettered` and `skipped`.
fn operators(registry: &mut Registry, seen: &[Seen]) {
    type Of = fn(&wasmill_core::task::memory::Counts) -> u64;
    let families: [(&str, &str, Of); 6] = [
        ("records_in", "Records and timers that an operator was given", |counts| counts.input),
        ("records_handled", "Records that an operator handled", |counts| counts.handled),
        ("records_emitted", "Records that an operator emitted", |counts| counts.emitted),
        ("records_late", "Records that came too late for an operator", |counts| counts.late),
        ("records_dead_lettered", "Records that went to the dead letters", |counts| counts.dead_lettered),
        ("records_skipped", "Records that were left out by the operator's policy", |counts| counts.skipped),
    ];
    for (name, help, of) in families {
        let family = Family::<OfOperator, Counter>::default();
        for total in seen.iter().flat_map(|seen| &seen.operators) {
            let labels = OfOperator { pipeline: total.pipeline.clone(), operator: total.operator.clone() };
            family.get_or_create(&labels).inc_by(of(&total.counts));
        }
        registry.register(name, help, family);
    }
}

fn epochs(registry: &mut Registry, seen: &[Seen]) {
    type Of = fn(&Seen) -> u64;
    let families: [(&str, &str, Of); 3] = [
        ("epochs_committed", "Epochs that were committed", |seen| seen.epochs.0),
        ("epochs_aborted", "Epochs that were lost and processed again", |seen| seen.epochs.1),
        ("restored_rows", "Rows that were read from changelogs", |seen| seen.restored),
    ];
    for (name, help, of) in families {
        let family = Family::<OfPipeline, Counter>::default();
        for seen in seen {
            family.get_or_create(&OfPipeline { pipeline: seen.pipeline.clone() }).inc_by(of(seen));
        }
        registry.register(name, help, family);
    }
}

fn progress(registry: &mut Registry, seen: &[Seen]) {
    let lags = Family::<OfTopic, Gauge>::default();
    for (seen, (topic, partition, lag)) in seen.iter().flat_map(|seen| seen.lag.iter().map(move |lag| (seen, lag))) {
        let labels = OfTopic { pipeline: seen.pipeline.clone(), topic: topic.clone(), partition: partition.0 };
        lags.get_or_create(&labels).set(i64::try_from(*lag).unwrap_or(i64::MAX));
    }
    let help = "Records of an input that are there and not processed";
    registry.register_with_unit("consumer_lag", help, Unit::Other("records".into()), lags);
    let watermarks = Family::<OfStage, Gauge<f64, std::sync::atomic::AtomicU64>>::default();
    for seen in seen {
        for (stage, partition, at) in &seen.watermarks {
            let labels = OfStage { pipeline: seen.pipeline.clone(), stage: stage.clone(), partition: partition.0 };
            watermarks.get_or_create(&labels).set(at.0 as f64 / 1_000.0);
        }
    }
    let help = "Up to when a task knows event time, since 1970";
    registry.register_with_unit("watermark_timestamp", help, Unit::Seconds, watermarks);
}
