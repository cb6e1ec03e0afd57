//! What `run --observe` serves, asked for over HTTP.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::support::command::{Place, repository};

const PATIENCE: Duration = Duration::from_mins(2);

/// A pipeline of two operators that runs and is observed.
struct Observed {
    place: Place,
    child: Child,
    address: String,
}

impl Observed {
    fn start() -> Self {
        let place = Place::new();
        let example = repository().join("examples/word-count");
        let (split, count) = (example.join("split"), example.join("count"));
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
        let arguments = ["run", "pipeline.yaml", "--data-dir", "data", "--observe", "127.0.0.1:0", "--workers", "2"];
        let mut child = place.command(arguments).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut told = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let line = told.find(|line| line.contains("metrics are at")).expect("where the metrics are");
        let address = line.split("http://").nth(1).unwrap().trim_end_matches("/metrics").to_owned();
        // What it says from now on is not read, but must not block it.
        std::thread::spawn(move || told.for_each(drop));
        Self { place, child, address }
    }

    /// The status and the body of what is at a path.
    fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    fn metric(&self, name: &str) -> f64 {
        let metrics = self.get("/metrics").1;
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        line.unwrap_or(f64::NAN)
    }

    #[track_caller]
    fn await_metric(&self, name: &str, value: f64) {
        let deadline = Instant::now() + PATIENCE;
        while (self.metric(name) - value).abs() > f64::EPSILON || self.metric(name).is_nan() {
            assert!(Instant::now() < deadline, "{name} is not {value}:\n{}", self.get("/metrics").1);
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
    let observed = Observed::start();
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
        ("dead_lettered", "count", 0.0),
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
    let metrics = observed.get("/metrics").1;
    let version = format!("wasmill_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
    assert!(metrics.contains(&version) && metrics.ends_with("# EOF\n"), "{metrics}");
    let helped = metrics.lines().filter(|line| line.starts_with("# HELP")).count();
    assert_eq!(helped, metrics.lines().filter(|line| line.starts_with("# TYPE")).count());
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
