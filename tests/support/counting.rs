//! Word count by nodes of one cluster on a real Apache Kafka, checked by what kafka-clients reads.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::command::{Place, repository};
use super::fleet::{Node, Said};
use super::kafka::Broker;
use super::words;

/// How long a node is waited for before it gets more to do.
const IDLE: Duration = Duration::from_millis(300);

/// How long anything may take while there is something to do.
const PATIENCE: Duration = Duration::from_mins(3);

/// Word count on the broker that tests share, by nodes of one cluster.
pub(crate) struct Counting {
    place: Place,
    name: &'static str,
    partitions: usize,
    text: String,
}

impl Counting {
    /// Word count over topics of so many partitions.
    pub(crate) fn new(name: &'static str, partitions: usize) -> Self {
        let place = Place::new();
        let example = repository().join("examples/word-count");
        let pipeline = format!(
            "format-version: 1\nname: {name}\ncommit: {{interval: 50ms}}\n\
             sources:\n  lines: {{topic: {name}-lines, create: {{partitions: {partitions}}}}}\n\
             operators:\n  split: {{plugin: {split}, from: lines}}\n  count: {{plugin: {count}, from: split}}\n\
             sinks:\n  counts: {{topic: {name}-counts, create: {{partitions: {partitions}}}, from: count}}\n",
            split = example.join("split").display(),
            count = example.join("count").display()
        );
        place.write("pipeline.yaml", pipeline);
        Self { place, name, partitions, text: String::new() }
    }

    /// A path in its directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.place.path(name)
    }

    /// Writes lines that nothing has read yet.
    pub(crate) fn produce(&mut self, lines: usize, seed: u64) {
        let text = words::lines(lines, seed);
        let topic = format!("{}-lines", self.name);
        let arguments =
            ["produce", &topic, "--brokers", &Broker::shared().address(), "--partitions", &self.partitions.to_string()];
        self.place.run_with(arguments, text.as_bytes()).ok();
        self.text.push_str(&text);
    }

    /// Gives a node something to do until what it said is as wanted, and fails if that takes too long.
    #[track_caller]
    pub(crate) fn feed(&mut self, node: &Node, lines: usize, what: &str, wanted: impl Fn(&Said) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !node.waits(IDLE, &wanted) {
            assert!(Instant::now() < deadline, "{what} did not come:\n{}", node.said().lines.join("\n"));
            self.produce(lines, self.text.len() as u64);
        }
    }

    fn arguments(data: &str) -> Vec<String> {
        let brokers = Broker::shared().address();
        let arguments = format!(
            "run pipeline.yaml --data-dir {data} --workers 2 --store sled --session-timeout 15s --brokers {brokers}"
        );
        arguments.split(' ').map(str::to_owned).collect()
    }

    /// Starts a node with a data directory.
    pub(crate) fn node(&self, data: &str, more: &[&str]) -> Node {
        let arguments = Self::arguments(data).into_iter().chain(more.iter().map(|&more| more.to_owned()));
        Node::start(self.place.command(arguments))
    }

    /// Does what there is to do with one node.
    #[track_caller]
    pub(crate) fn finish(&self, data: &str) {
        let arguments = Self::arguments(data).into_iter().chain(["--until-end".into()]);
        self.place.run(arguments).ok();
    }

    /// Does what is left to do with one more node, and checks what kafka-clients reads.
    #[track_caller]
    pub(crate) fn check(&self) -> usize {
        self.finish("last");
        let topic = format!("{}-counts", self.name);
        Broker::shared().settle(&topic);
        let (mut counts, mut last) = (0, BTreeMap::new());
        Broker::shared().read_each(&[&topic], |record| {
            counts += 1;
            words::follow_one(&mut last, record["key"].as_str().unwrap(), record["value"].as_str().unwrap());
        });
        assert_eq!(last, words::count(&self.text));
        counts
    }
}
