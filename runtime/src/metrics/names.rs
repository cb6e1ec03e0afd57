//! The names of all metrics, and what they mean. `docs/metrics.md` is checked against this list.

/// How a metric behaves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// It only grows while the process lives.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How values are distributed.
    Histogram,
    /// A text in a label.
    Info,
}

/// A metric.
#[derive(Debug, Eq, PartialEq)]
pub struct Metric {
    /// Its name, without the suffix that its kind adds.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// Its labels, in their order.
    pub labels: &'static [&'static str],
    /// What it says, in a line.
    pub help: &'static str,
}

impl Metric {
    /// The name that it is asked for by.
    pub fn full_name(&self) -> String {
        let suffix = match self.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram => "",
        };
        format!("{}{suffix}", self.name)
    }
}

impl Kind {
    /// What users call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Info => "info",
        }
    }
}

const PROCESS: &[&str] = &[];
const PIPELINE: &[&str] = &["pipeline"];
const WORKER: &[&str] = &["pipeline", "worker"];
const OPERATOR: &[&str] = &["pipeline", "operator"];
const CHANGELOG: &[&str] = &["pipeline", "operator", "partition"];
const CAUSE: &[&str] = &["pipeline", "operator", "reason"];
const INPUT: &[&str] = &["pipeline", "topic", "partition"];
const TASK: &[&str] = &["pipeline", "stage", "partition"];
const OWN: &[&str] = &["pipeline", "operator", "metric", "unit"];
const OWN_OF_WORKER: &[&str] = &["pipeline", "operator", "metric", "unit", "worker"];

macro_rules! metrics {
    ($($id:ident $name:literal $kind:ident $labels:ident $help:literal)*) => {
        $(
            #[doc = $help]
            pub const $id: Metric = Metric {
                name: concat!("wasmill_", $name),
                kind: Kind::$kind,
                labels: $labels,
                help: $help,
            };
        )*

        /// All of them, in the order of the page about them.
        pub const ALL: &[Metric] = &[$($id),*];
    };
}

metrics! {
    BUILD "build" Info PROCESS
        "The version of Wasmill"
    COMPILES "compiles" Counter PROCESS
        "Plugins that were compiled when the process started"
    COMPILE_CACHE_HITS "compile_cache_hits" Counter PROCESS
        "Plugins that were found compiled when the process started"

    RECORDS_IN "records_in" Counter OPERATOR
        "Records and timers that an operator was given, since its pipeline began"
    RECORDS_HANDLED "records_handled" Counter OPERATOR
        "Records and timers that an operator handled, since its pipeline began"
    RECORDS_FILTERED "records_filtered" Counter OPERATOR
        "Records that an operator handled in a call that emitted nothing for them, since its pipeline began"
    RECORDS_EMITTED "records_emitted" Counter OPERATOR
        "Records that an operator emitted, since its pipeline began"
    RECORDS_LATE "records_late" Counter OPERATOR
        "Records that came too late for an operator, since its pipeline began"
    RECORDS_DEAD_LETTERED "records_dead_lettered" Counter CAUSE
        "Records that an operator failed on and that went to the dead letters, since its pipeline began"
    RECORDS_SKIPPED "records_skipped" Counter OPERATOR
        "Records that an operator failed on and that were dropped by its policy, since its pipeline began"
    STATE_ROWS "state_rows" Gauge OPERATOR
        "Values that an operator remembers, as of the last commit; each field of an ordered map is one"
    TIMERS "timers" Gauge OPERATOR
        "Timers of an operator that are set, as of the last commit"
    BYTES_IN "bytes_in" Counter OPERATOR
        "Bytes of keys, values and headers in an operator's calls that went well"
    BYTES_OUT "bytes_out" Counter OPERATOR
        "Bytes of keys, values, headers and timestamps that an operator's calls that went well emitted"

    CALL_DURATION "call_duration_seconds" Histogram OPERATOR
        "How long a call of an operator took; a call takes a batch of records"
    PLUGIN_CPU "plugin_cpu_seconds" Counter OPERATOR
        "Processor time of a plugin's calls: their duration, less the share in which the worker's thread did not run"
    PLUGIN_TRAPS "plugin_traps" Counter OPERATOR
        "Calls of a plugin that ended in a panic, a missed deadline or a broken limit"
    PLUGIN_RECYCLES "plugin_recycles" Counter OPERATOR
        "Instances of a plugin that took the place of another: after a failed call, growth, or a lost epoch"
    PLUGIN_MEMORY "plugin_memory_bytes" Gauge OPERATOR
        "Memory of a plugin's instances"
    LOG_LINES_DROPPED "log_lines_dropped" Counter OPERATOR
        "Lines of a plugin above the limit of what it may log in a second"
    PLUGIN_COUNTER "plugin_counter" Counter OWN
        "Counters that plugins declare, as of the last commit"
    PLUGIN_GAUGE "plugin_gauge" Gauge OWN_OF_WORKER
        "Gauges that plugins declare, as of the last commit"
    PLUGIN_HISTOGRAM "plugin_histogram" Histogram OWN
        "Histograms that plugins declare, as of the last commit"
    PLUGIN_METRICS_DROPPED "plugin_metrics_dropped" Gauge OPERATOR
        "Metrics that a plugin declares beyond the number that is exported"

    EPOCHS_COMMITTED "epochs_committed" Counter PIPELINE
        "Epochs that were committed"
    EPOCHS_ABORTED "epochs_aborted" Counter PIPELINE
        "Epochs that were lost and processed again"
    COMMIT_DURATION "commit_duration_seconds" Histogram PIPELINE
        "How long the log took to commit an epoch, with the time until it had all of its records"
    RESTORED_ROWS "restored_rows" Counter PIPELINE
        "Rows that were read from changelogs"
    RESTORE_REMAINING "restore_remaining_records" Gauge CHANGELOG
        "Records of an operator's changelog that are still to be read before the task can run; none of one that runs"
    WORKER_BUSY "worker_busy_ratio" Gauge WORKER
        "Share of the last second or more in which a worker did not wait for records, from 0 to 1"

    CONSUMER_LAG "consumer_lag_records" Gauge INPUT
        "Records of an input that are there and not processed"
    WATERMARK "watermark_timestamp_seconds" Gauge TASK
        "Up to when a task knows event time, in seconds since 1970"
}
