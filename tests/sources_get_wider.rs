//! Partitions that are added to a source's topic on Kafka while a pipeline runs, or before it runs again.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::{Duration, Instant};

use wasmill::kafka::admin;

use crate::support::command::{Ended, Place};
use crate::support::fleet::Node;
use crate::support::http;
use crate::support::kafka::Broker;

const PATIENCE: Duration = Duration::from_mins(2);

/// A pipeline on topics of its own.
struct Wide {
    place: Place,
    name: &'static str,
    brokers: String,
}

impl Wide {
    fn new(name: &'static str, operator: &str) -> Self {
        let place = Place::new();
        place.write(
            "pipeline.yaml",
            format!(
                "format-version: 1\nname: {name}\ncommit: {{interval: 50ms}}\n\
                 sources:\n  numbers: {{topic: {name}-in, start: latest, create: {{partitions: 2}}}}\n\
                 operators:\n  all: {{{operator}, from: numbers}}\n\
                 sinks:\n  out: {{topic: {name}-out, create: {{partitions: 1}}, from: all}}\n"
            ),
        );
        Self { place, name, brokers: Broker::shared().address() }
    }

    fn arguments(&self, data: &str) -> Vec<String> {
        let arguments =
            format!("run pipeline.yaml --data-dir {data} --workers 2 --store memory --session-timeout 15s --brokers");
        arguments.split(' ').map(str::to_owned).chain([self.brokers.clone()]).collect()
    }

    fn produce(&self, numbers: std::ops::Range<usize>) {
        let line = |n| format!("{{\"key\":\"k{n}\",\"value\":{{\"n\":{n}}}}}\n");
        let lines: String = numbers.map(line).collect();
        let topic = format!("{}-in", self.name);
        let arguments = ["produce", &topic, "--format", "jsonl", "--brokers", &self.brokers];
        self.place.run_with(arguments, lines.as_bytes()).ok();
    }

    fn grow(&self, partitions: u32) {
        admin::grow(&Broker::shared().client(), &format!("{}-in", self.name), partitions).unwrap();
    }

    /// What has come out so far, each once.
    fn out(&self) -> BTreeSet<usize> {
        let topic = format!("{}-out", self.name);
        let arguments = ["consume", &topic, "--from-beginning", "--until-end", "--brokers", &self.brokers];
        let out = self.place.run(arguments).ok();
        let number = |line: &str| line.trim_start_matches("{\"n\":").trim_end_matches('}').parse::<usize>().unwrap();
        let numbers: BTreeSet<_> = out.lines().map(number).collect();
        assert_eq!(numbers.len(), out.lines().count(), "something is there twice");
        numbers
    }

    /// How nodes lag behind each partition of the source.
    fn lags(&self, nodes: &[Node]) -> BTreeSet<String> {
        let lag = format!("wasmill_consumer_lag_records{{pipeline=\"{0}\",topic=\"{0}-in\",partition=", self.name);
        let of = |node: &Node| {
            let lines = node.said().lines;
            let address = lines.iter().find_map(|line| line.strip_prefix("metrics are at http://"));
            let metrics = http::get(address.unwrap().trim_end_matches("/metrics"), "/metrics").1;
            metrics.lines().filter_map(|line| line.strip_prefix(&lag).map(str::to_owned)).collect::<Vec<_>>()
        };
        nodes.iter().flat_map(of).collect()
    }

    #[track_caller]
    fn await_out(&self, count: usize, nodes: &[Node]) {
        let deadline = Instant::now() + PATIENCE;
        while self.out() != (0..count).collect() {
            let said = || nodes.iter().map(|node| node.said().lines.join("\n")).collect::<Vec<_>>().join("\n\n");
            assert!(Instant::now() < deadline, "of {count} there are {:?}:\n{}", self.out(), said());
        }
    }
}

/// 2 partitions, then 5, then 6; two nodes of 2 workers, memory, `start: latest`: what is in new partitions before
/// anybody knows of them is read all the same.
#[test]
fn a_pipeline_without_keys_takes_up_the_partitions_that_its_source_gets() {
    let wide = Wide::new("wider", "use: filter, where: n >= 0");
    let observed = ["--observe", "127.0.0.1:0"].map(str::to_owned);
    let node = |data| Node::start(wide.place.command(wide.arguments(data).into_iter().chain(observed.clone())));
    let nodes = ["a", "b"].map(node);
    let has = |count: usize| nodes.iter().map(|node| node.said().tasks.len()).sum::<usize>() >= count;
    let deadline = Instant::now() + PATIENCE;
    while !has(2) || nodes.iter().any(|node| node.said().tasks.is_empty()) {
        assert!(Instant::now() < deadline, "the tasks are not shared");
        std::thread::yield_now();
    }
    wide.produce(0..50);
    wide.await_out(50, &nodes);
    assert!(wide.lags(&nodes).len() == 2, "{:?}", wide.lags(&nodes));
    wide.grow(5);
    wide.produce(50..150);
    wide.await_out(150, &nodes);
    assert!(has(5) && nodes.iter().all(|node| node.said().tasks.len() > 1), "the new tasks are shared");
    let caught_up: BTreeSet<_> = (0..5).map(|partition| format!("\"{partition}\"}} 0")).collect();
    let deadline = Instant::now() + PATIENCE;
    while wide.lags(&nodes) != caught_up {
        assert!(Instant::now() < deadline, "they lag: {:?}", wide.lags(&nodes));
        std::thread::yield_now();
    }
    drop(nodes);
    // It is noticed at a start, too.
    wide.grow(6);
    wide.produce(150..250);
    let run = wide.arguments("a").into_iter().chain(["--until-end".to_owned()]);
    let last = wide.place.run(run);
    assert_eq!(last.status, Some(0), "{}", last.stderr);
    wide.await_out(250, &[]);
}

/// 2 partitions, then 3; one node.
#[test]
fn a_pipeline_with_keys_stops_with_the_numbers() {
    let wide = Wide::new("wider-keyed", "use: dedupe");
    let mut command = wide.place.command(wide.arguments("a"));
    let node = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    let tasks = format!("wasmill.{}.numbers-tasks", wide.name);
    while admin::list(&Broker::shared().client()).unwrap().iter().all(|(topic, _)| *topic != tasks) {
        assert!(Instant::now() < deadline, "it does not start");
    }
    wide.grow(3);
    let says = [
        "pipeline wider-keyed stopped: topic wider-keyed-in of source numbers has 3 partitions now, and had 2",
        "partitions, but pipeline wider-keyed needs 3 now",
        "start over with --fresh, or under another name",
    ];
    Ended::of(node.wait_with_output().unwrap()).failed(1, &says);
    let run = wide.arguments("a").into_iter().chain(["--until-end".to_owned()]);
    wide.place.run(run).failed(1, &says[1..]);
}
