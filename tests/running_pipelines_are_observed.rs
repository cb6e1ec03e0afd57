//! What `run --observe` serves, asked for over HTTP.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use wasmill::metrics::names;

use crate::guests;
use crate::support::command::{Place, repository};
use crate::support::http;
use crate::support::openmetrics::{self, Family};

const PATIENCE: Duration = Duration::from_mins(2);

/// A pipeline of two operators that runs and is observed.
struct Observed {
    place: Place,
    child: Child,
    address: String,
    /// What it said before it served.
    said: Vec<String>,
}

impl Observed {
    /// Word count, with 3 partitions and 2 workers.
    fn word_count() -> Self {
        let example = repository().join("examples/word-count");
        let (split, count) = (example.join("split"), example.join("count"));
        let place = Place::new();
        place.write(
            "pipeline.yaml",
            format!(
                "format-version: 1\nname: seen\nsources:\n  lines: {{topic: lines, create: {{partitions: 3}}}}\n\
                 operators:\n  split: {{plugin: {}, from: lines}}\n  count: {{plugin: {}, from: split}}\n\
                 sinks:\n  counts: {{topic: counts, from: count}}\n",
                split.display(),
                count.display()
            ),
        );
        Self::start(place)
    }

    /// Runs the pipeline of a place with 2 workers.
    fn start(place: Place) -> Self {
        let (child, address, said) = Self::spawn(&place);
        Self { place, child, address, said }
    }

    /// Kills the process, and runs the pipeline again after something is done.
    fn restart(&mut self, between: impl FnOnce(&Place)) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        between(&self.place);
        (self.child, self.address, self.said) = Self::spawn(&self.place);
    }

    fn spawn(place: &Place) -> (Child, String, Vec<String>) {
        let arguments = ["run", "pipeline.yaml", "--data-dir", "data", "--observe", "127.0.0.1:0", "--workers", "2"];
        let mut child = place.command(arguments).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut told = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut said = Vec::new();
        let line = told.by_ref().inspect(|line| said.push(line.clone())).find(|line| line.contains("metrics are at"));
        let line = line.expect("where the metrics are");
        let address = line.split("http://").nth(1).unwrap().trim_end_matches("/metrics").to_owned();
        // What it says from now on is not read, but must not block it.
        std::thread::spawn(move || told.for_each(drop));
        (child, address, said)
    }

    /// The status and the body of what is at a path.
    fn get(&self, path: &str) -> (u16, String) {
        http::get(&self.address, path)
    }

    /// All metrics, read strictly.
    #[track_caller]
    fn metrics(&self) -> BTreeMap<String, Family> {
        let text = self.get("/metrics").1;
        openmetrics::parse(&text).unwrap_or_else(|wrong| panic!("{wrong}:\n{text}"))
    }

    fn metric(&self, name: &str) -> f64 {
        let metrics = self.get("/metrics").1;
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        line.unwrap_or(f64::NAN)
    }

    #[track_caller]
    fn await_metric(&self, name: &str, value: f64) {
        self.await_that(name, |is| (is - value).abs() < f64::EPSILON);
    }

    /// Waits until a metric is as it should be.
    #[track_caller]
    fn await_that(&self, name: &str, holds: impl Fn(f64) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(self.metric(name)) {
            assert!(Instant::now() < deadline, "{name} is not as expected:\n{}", self.get("/metrics").1);
            std::thread::yield_now();
        }
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// 3 partitions, 2 workers, sled, 2,000 lines.
#[test]
fn a_running_pipeline_tells_what_it_does() {
    let observed = Observed::word_count();
    assert_eq!(observed.get("/livez"), (200, "ok\n".into()));
    let deadline = Instant::now() + PATIENCE;
    while observed.get("/readyz").0 != 200 {
        assert!(Instant::now() < deadline, "it does not get ready: {:?}", observed.get("/readyz"));
        std::thread::yield_now();
    }
    assert_eq!(observed.get("/nowhere").0, 404);
    let lines = "größe and größe\n".repeat(2_000);
    observed.place.run_with(["produce", "lines", "--data-dir", "data"], lines.as_bytes()).ok();
    let of = |operator: &str| format!("{{pipeline=\"seen\",operator=\"{operator}\"}}");
    observed.await_metric(&format!("wasmill_records_handled_total{}", of("count")), 6_000.0);
    for (name, operator, value) in [
        ("in", "split", 2_000.0),
        ("emitted", "split", 6_000.0),
        ("in", "count", 6_000.0),
        ("filtered", "count", 0.0),
        ("skipped", "count", 0.0),
        ("late", "count", 0.0),
    ] {
        observed.await_metric(&format!("wasmill_records_{name}_total{}", of(operator)), value);
    }
    for partition in 0..3 {
        let lag =
            format!("wasmill_consumer_lag_records{{pipeline=\"seen\",topic=\"lines\",partition=\"{partition}\"}}");
        observed.await_metric(&lag, 0.0);
    }
    assert!(observed.metric("wasmill_epochs_committed_total{pipeline=\"seen\"}") >= 1.0);
    let metrics = observed.metrics();
    let version = [("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned())].into();
    assert_eq!(metrics["wasmill_build"].series[&("wasmill_build_info".into(), version)].to_bits(), 1_f64.to_bits());
    for metric in names::ALL {
        let family = &metrics[metric.name];
        assert_eq!((family.kind.as_str(), family.help.as_str()), (metric.kind.name(), metric.help));
        for (_, labels) in family.series.keys().filter(|_| metric.kind != names::Kind::Info) {
            let labels = labels.keys().map(String::as_str).filter(|label| *label != "le");
            let expected: BTreeSet<_> = metric.labels.iter().copied().collect();
            assert_eq!(labels.collect::<BTreeSet<_>>(), expected, "{}", metric.name);
        }
    }
    assert_eq!(metrics.len(), names::ALL.len());
    let sum = |name: &str, of: &[(&str, &str)]| total(&metrics, name, of);
    for operator in ["split", "count"] {
        let of = [("operator", operator)];
        assert!(sum("wasmill_call_duration_seconds_count", &of) >= 8.0, "a call has 256 records at most: {metrics:#?}");
        assert!(sum("wasmill_call_duration_seconds_sum", &of) > 0.0);
        assert!(sum("wasmill_plugin_memory_bytes", &of) >= 65_536.0);
        assert!(sum("wasmill_plugin_traps_total", &of).abs() < f64::EPSILON);
    }
    let lines = 2_000.0 * "größe and größe".len() as f64;
    assert!((sum("wasmill_bytes_in_total", &[("operator", "split")]) - lines).abs() < f64::EPSILON);
    assert!(sum("wasmill_commit_duration_seconds_count", &[]) >= 1.0);
    assert!(sum("wasmill_commit_duration_seconds_count", &[]) >= sum("wasmill_epochs_committed_total", &[]));
    assert!(sum("wasmill_restore_remaining_records", &[]).abs() < f64::EPSILON);
    // A worker that waits is not busy.
    for worker in ["0", "1"] {
        let busy = format!("wasmill_worker_busy_ratio{{pipeline=\"seen\",worker=\"{worker}\"}}");
        observed.await_that(&busy, |busy| (0.0..0.5).contains(&busy));
    }
    observed.await_that("wasmill_plugin_cpu_seconds_total{pipeline=\"seen\",operator=\"count\"}", |cpu| cpu > 0.0);
    let metrics = observed.metrics();
    let spent = total(&metrics, "wasmill_plugin_cpu_seconds_total", &[("operator", "count")]);
    assert!(spent <= total(&metrics, "wasmill_call_duration_seconds_sum", &[("operator", "count")]) + 1e-6);
}

/// The sum of the series of a name that have these labels.
#[track_caller]
fn total(metrics: &BTreeMap<String, Family>, name: &str, of: &[(&str, &str)]) -> f64 {
    let all = metrics.values().flat_map(|family| &family.series).filter(|((series, _), _)| series == name);
    let fits =
        |labels: &openmetrics::Labels| of.iter().all(|(label, value)| labels.get(*label).is_some_and(|is| is == value));
    let values: Vec<_> = all.filter(|((_, labels), _)| fits(labels)).map(|(_, value)| value).collect();
    assert!(!values.is_empty(), "there is no {name} with {of:?}: {metrics:#?}");
    values.into_iter().sum()
}

/// 2 partitions, 2 workers, sled; 300 records of 50 keys, one of which one operator panics at.
#[test]
fn what_plugins_measure_is_exported_and_bounded() {
    let place = Place::new();
    place.write("process.wasm", guests::built("process"));
    let mut pipeline =
        "format-version: 1\nname: measured\nsources:\n  lines: {topic: lines, create: {partitions: 2}}\n\
                        operators:\n"
            .to_owned();
    for (operator, settings, more) in [
        ("meters", "{does: meters}", ""),
        ("much", "{does: declares-much}", ""),
        ("panics", "{does: panics, at: poison}", ""),
        ("chats", "{does: chats}", ", limits: {log-lines: 1}"),
    ] {
        let line = format!("  {operator}: {{plugin: process.wasm, from: lines, settings: {settings}{more}}}\n");
        pipeline.push_str(&line);
    }
    pipeline.push_str("sinks:\n  out: {topic: out, from: [meters, much, panics, chats]}\n");
    place.write("pipeline.yaml", pipeline);
    let observed = Observed::start(place);
    let told = observed.said.iter().filter(|line| line.contains("declares 103 metrics")).count();
    assert_eq!(told, 1, "{:?}", observed.said);
    let record = |n: usize| {
        let value = if n == 77 { "poison".into() } else { "ü".repeat(1 + n % 3) };
        format!("{}\n", serde_json::json!({"key": format!("k{}", n % 50), "value": value}))
    };
    let records: String = (0..300).map(record).collect();
    let produce = ["produce", "lines", "--data-dir", "data", "--format", "jsonl"];
    observed.place.run_with(produce, records.as_bytes()).ok();
    for operator in ["meters", "much", "panics", "chats"] {
        let records = format!("wasmill_records_in_total{{pipeline=\"measured\",operator=\"{operator}\"}}");
        observed.await_metric(&records, 300.0);
    }
    let metrics = observed.metrics();
    let sum = |name: &str, of: &[(&str, &str)]| total(&metrics, name, of);
    let of_meters = |metric| [("operator", "meters"), ("metric", metric)];
    let close = |one: f64, other: f64| (one - other).abs() < 1e-9;
    let done = [("operator", "meters"), ("metric", "done"), ("unit", "a \"record\"\\\n")];
    assert!(close(sum("wasmill_plugin_counter_total", &done), 300.0));
    let sizes: usize = (0..300).map(|n| if n == 77 { 6 } else { 2 * (1 + n % 3) }).sum();
    assert!(close(sum("wasmill_plugin_histogram_count", &of_meters("sizes")), 300.0));
    assert!(close(sum("wasmill_plugin_histogram_sum", &of_meters("sizes")), sizes as f64));
    for worker in ["0", "1"] {
        let last = [("operator", "meters"), ("metric", "last"), ("worker", worker)];
        assert!((2.0..=6.0).contains(&sum("wasmill_plugin_gauge", &last)));
    }
    let much = metrics["wasmill_plugin_counter"].series.keys().filter(|(_, labels)| labels["operator"] == "much");
    assert_eq!(much.count(), 100, "what is beyond the limit is not exported");
    assert!(close(sum("wasmill_plugin_counter_total", &[("operator", "much"), ("metric", "m0")]), 300.0));
    assert!(close(sum("wasmill_plugin_metrics_dropped", &[("operator", "much")]), 3.0));
    let panics = [("operator", "panics")];
    assert!(sum("wasmill_plugin_traps_total", &panics) >= 1.0);
    assert!(sum("wasmill_plugin_recycles_total", &panics) >= 1.0);
    assert!(close(sum("wasmill_records_dead_lettered_total", &panics), 1.0));
    assert!(sum("wasmill_log_lines_dropped_total", &[("operator", "chats")]) >= 4.0);
    assert!(close(sum("wasmill_log_lines_dropped_total", &panics), 0.0));
    assert!(close(sum("wasmill_plugin_traps_total", &[("operator", "meters")]), 0.0));
    assert!(close(sum("wasmill_compiles_total", &[]), 1.0), "four operators have one plugin");
}

/// The causes for which a record may be a dead letter, each with an operator that fails for it at `poison`.
const FAILING: [(&str, &str, &str); 8] = [
    ("panics", "trap", ""),
    ("traps", "trap", ""),
    ("hoards", "limit", ""),
    ("repeats", "limit", ""),
    ("fails-some", "failure", ""),
    ("refuses", "failure", ""),
    ("waits", "transient", ", retry: {attempts: 1, backoff: 1ms}"),
    ("spins", "deadline", ", limits: {deadline: 100ms}"),
];

/// 2 partitions, 2 workers, sled; 300 records of 50 keys, one of which is poison, and 3 without a key.
fn failing() -> Place {
    let place = Place::new();
    place.write("process.wasm", guests::built("process"));
    let failing = FAILING.map(|(does, _, more)| {
        format!("  {does}: {{plugin: process.wasm, from: lines, settings: {{does: {does}, at: poison}}{more}}}\n")
    });
    let names = FAILING.map(|(does, ..)| does).join(", ");
    place.write(
        "pipeline.yaml",
        format!(
            "format-version: 1\nname: told\nsources:\n  lines: {{topic: lines, create: {{partitions: 2}}}}\n\
             operators:\n  small: {{use: filter, where: n < 100, from: lines}}\n  once: {{use: dedupe, from: lines}}\n  \
             arms: {{plugin: process.wasm, from: lines, settings: {{does: arms-and-disarms}}}}\n{}\
             sinks:\n  out: {{topic: out, from: [small, once, arms, {names}]}}\n",
            failing.concat()
        ),
    );
    place
}

/// What of each operator is told of its state, and of what it dropped and failed on.
fn told(observed: &Observed) -> BTreeMap<openmetrics::Series, f64> {
    let names = ["wasmill_state_rows", "wasmill_timers", "wasmill_records_filtered", "wasmill_records_dead_lettered"];
    let metrics = observed.metrics();
    names.into_iter().flat_map(|name| metrics[name].series.clone()).collect()
}

/// They are counted with the epochs: neither a killed process nor a store that is gone changes them.
#[test]
fn what_operators_drop_fail_on_and_remember_is_told_for_the_pipelines_whole_life() {
    let mut observed = Observed::start(failing());
    let record = |n: usize| {
        let value = if n == 77 { "poison".to_owned() } else { serde_json::json!({ "n": n }).to_string() };
        let key = if n < 300 { serde_json::json!(format!("k{}", n % 50)) } else { serde_json::Value::Null };
        format!("{}\n", serde_json::json!({"key": key, "value": value}))
    };
    let records: String = (0..303).map(record).collect();
    let produce = ["produce", "lines", "--data-dir", "data", "--format", "jsonl"];
    observed.place.run_with(produce, records.as_bytes()).ok();
    let all = FAILING.map(|(does, ..)| does);
    let operators: Vec<_> = ["small", "once", "arms"].into_iter().chain(all).collect();
    let await_all = |observed: &Observed| {
        for operator in &operators {
            let records = format!("wasmill_records_in_total{{pipeline=\"told\",operator=\"{operator}\"}}");
            observed.await_metric(&records, 303.0);
        }
    };
    await_all(&observed);
    let metrics = observed.metrics();
    let sum = |name: &str, of: &[(&str, &str)]| total(&metrics, name, of) as u64;
    let letters =
        |operator, reason| sum("wasmill_records_dead_lettered_total", &[("operator", operator), ("reason", reason)]);
    let of = |name: &str, operator| sum(&format!("wasmill_{name}"), &[("operator", operator)]);
    // Of 303 the filter passes on 100 less the one that is no JSON.
    assert_eq!((of("records_filtered_total", "small"), letters("small", "failure")), (203, 1));
    assert_eq!((of("records_filtered_total", "once"), letters("once", "key")), (250, 3));
    assert_eq!((of("records_filtered_total", "arms"), of("records_filtered_total", "panics")), (300, 0));
    assert_eq!((of("state_rows", "once"), of("timers", "once")), (50, 0));
    // The timer of the poison's key is taken back, and set again by those behind it.
    assert_eq!((of("state_rows", "arms"), of("timers", "arms")), (0, 50));
    for (does, cause, _) in FAILING {
        let of_all = sum("wasmill_records_dead_lettered_total", &[("operator", does)]);
        assert_eq!((letters(does, cause), letters(does, "key"), of_all), (1, 3, 4), "{does}");
        assert_eq!(of("state_rows", does), 50, "{does}");
    }
    let before = told(&observed);
    observed.restart(|_| ());
    await_all(&observed);
    assert_eq!(told(&observed), before, "a process was killed");
    observed.restart(|place| std::fs::remove_dir_all(place.path("data/store")).unwrap());
    await_all(&observed);
    assert_eq!(told(&observed), before, "a store was lost");
    // One more key, and one that is disarmed.
    let more = "{\"key\":\"new\",\"value\":\"{}\"}\n{\"key\":\"k1\",\"value\":\"poison\"}\n";
    observed.place.run_with(produce, more.as_bytes()).ok();
    observed.await_metric("wasmill_records_in_total{pipeline=\"told\",operator=\"spins\"}", 305.0);
    for (metric, operator, value) in [("state_rows", "once", 51.0), ("timers", "arms", 50.0)] {
        observed.await_metric(&format!("wasmill_{metric}{{pipeline=\"told\",operator=\"{operator}\"}}"), value);
    }
}

#[test]
fn an_address_that_is_taken_is_told_before_anything_runs() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let place = Place::new();
    let example = repository().join("examples/word-count").display().to_string();
    place
        .run(["run", &example, "--until-end", "--data-dir", "data", "--observe", &address])
        .failed(1, &["cannot listen on", &address, "--observe"]);
}
