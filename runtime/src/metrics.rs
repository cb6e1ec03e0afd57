//! What a process tells of itself in numbers: the names, how they are gathered, and how they are written.

pub mod distribution;
mod exposition;
pub mod meter;
pub mod names;
pub mod own;

use self::exposition::{Exposition, Value};
use self::own::Reading;
use crate::node::running::Seen;
use crate::plugin::Counts;

/// The content type of the text that [`render`] makes.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What is seen, in the text format of `OpenMetrics`, which Prometheus reads.
pub fn render(seen: &[Seen], plugins: Counts) -> Result<String, std::fmt::Error> {
    let mut out = Exposition::default();
    out.add_version(&names::BUILD, env!("CARGO_PKG_VERSION"));
    out.add(&names::COMPILES, [], Value::Count(plugins.compiled));
    out.add(&names::COMPILE_CACHE_HITS, [], Value::Count(plugins.found));
    for seen in seen {
        records(&mut out, seen);
        calls(&mut out, seen);
        epochs(&mut out, seen);
        progress(&mut out, seen);
    }
    out.text()
}

/// What became of the records of each operator, and what it remembers: `in` is the sum of `handled`, `late`, `dead_lettered` and `skipped`.
fn records(out: &mut Exposition, seen: &Seen) {
    for total in &seen.operators {
        let counts = [
            (&names::RECORDS_IN, total.counts.input),
            (&names::RECORDS_HANDLED, total.counts.handled),
            (&names::RECORDS_FILTERED, total.counts.filtered),
            (&names::RECORDS_EMITTED, total.counts.emitted),
            (&names::RECORDS_LATE, total.counts.late),
            (&names::RECORDS_SKIPPED, total.counts.skipped),
        ];
        let size = total.size.map(|size| [(&names::STATE_ROWS, size.rows), (&names::TIMERS, size.timers)]);
        for (metric, count) in counts.into_iter().chain(size.into_iter().flatten()) {
            out.add(metric, [&total.pipeline, &total.operator], Value::Count(count));
        }
        for (cause, count) in total.counts.dead_lettered.iter() {
            let labels = [&total.pipeline, &total.operator, cause.name()];
            out.add(&names::RECORDS_DEAD_LETTERED, labels, Value::Count(count));
        }
    }
}

fn calls(out: &mut Exposition, seen: &Seen) {
    for (operator, meter) in &seen.meters {
        let labels = [seen.pipeline.as_str(), operator.as_str()];
        out.add(&names::BYTES_IN, labels, Value::Count(meter.bytes_in));
        out.add(&names::BYTES_OUT, labels, Value::Count(meter.bytes_out));
        out.add(&names::CALL_DURATION, labels, Value::Buckets(meter.calls.clone()));
        let Some(plugin) = &meter.plugin else { continue };
        out.add(&names::PLUGIN_CPU, labels, Value::Amount(plugin.cpu.as_secs_f64()));
        out.add(&names::PLUGIN_TRAPS, labels, Value::Count(plugin.traps));
        out.add(&names::PLUGIN_RECYCLES, labels, Value::Count(plugin.recycles));
        out.add(&names::PLUGIN_MEMORY, labels, Value::Count(plugin.memory));
        out.add(&names::LOG_LINES_DROPPED, labels, Value::Count(plugin.dropped_lines));
        out.add(&names::PLUGIN_METRICS_DROPPED, labels, Value::Count(plugin.dropped_metrics));
        for own in &plugin.own {
            let [pipeline, operator] = labels;
            let labels = [pipeline, operator, &own.name, &own.unit];
            match &own.reading {
                Reading::Counter(count) => out.add(&names::PLUGIN_COUNTER, labels, Value::Count(*count)),
                Reading::Histogram(buckets) => {
                    out.add(&names::PLUGIN_HISTOGRAM, labels, Value::Buckets(buckets.clone()));
                }
                Reading::Gauge(values) => {
                    for (worker, value) in values {
                        let worker = worker.to_string();
                        let labels = [pipeline, operator, &own.name, &own.unit, &worker];
                        out.add(&names::PLUGIN_GAUGE, labels, Value::Amount(*value));
                    }
                }
            }
        }
    }
}

fn epochs(out: &mut Exposition, seen: &Seen) {
    let labels = [seen.pipeline.as_str()];
    let (committed, aborted) = seen.epochs;
    out.add(&names::EPOCHS_COMMITTED, labels, Value::Count(committed));
    out.add(&names::EPOCHS_ABORTED, labels, Value::Count(aborted));
    out.add(&names::COMMIT_DURATION, labels, Value::Buckets(seen.commits.clone()));
    out.add(&names::RESTORED_ROWS, labels, Value::Count(seen.restored));
    for (operator, partition, left) in &seen.to_restore {
        let labels = [&seen.pipeline, operator.as_str(), &partition.0.to_string()];
        out.add(&names::RESTORE_REMAINING, labels, Value::Count(*left));
    }
    for (worker, busy) in seen.busy.iter().enumerate() {
        out.add(&names::WORKER_BUSY, [&seen.pipeline, &worker.to_string()], Value::Amount(*busy));
    }
}

fn progress(out: &mut Exposition, seen: &Seen) {
    for (topic, partition, lag) in &seen.lag {
        let labels = [&seen.pipeline, topic.as_str(), &partition.0.to_string()];
        out.add(&names::CONSUMER_LAG, labels, Value::Count(*lag));
    }
    for (stage, partition, at) in &seen.watermarks {
        let labels = [&seen.pipeline, stage.as_str(), &partition.0.to_string()];
        out.add(&names::WATERMARK, labels, Value::Amount(at.0 as f64 / 1_000.0));
    }
}
