//! Several processes that run one pipeline on a real Apache Kafka: they share its tasks, and whatever becomes of some of
//! them, each count comes out once.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::support::command::{Place, repository};
use crate::support::fleet::{Node, Said};
use crate::support::kafka::Broker;
use crate::support::words;

/// Two stages of eight partitions.
const TASKS: usize = 16;
const LINES: usize = 8_000;
/// How long a node is waited for before it gets more to do.
const IDLE: Duration = Duration::from_millis(400);

/// Word count over 8 partitions on the broker that tests share.
struct Cluster {
    place: Place,
    name: &'static str,
    text: String,
}

impl Cluster {
    fn new(name: &'static str) -> Self {
        let place = Place::new();
        let example = repository().join("examples/word-count");
        let pipeline = format!(
            "format-version: 1\nname: {name}\ncommit: {{interval: 50ms}}\n\
             sources:\n  lines: {{topic: {name}-lines, create: {{partitions: 8}}}}\n\
             operators:\n  split: {{plugin: {split}, from: lines}}\n  count: {{plugin: {count}, from: split}}\n\
             sinks:\n  counts: {{topic: {name}-counts, create: {{partitions: 8}}, from: count}}\n",
            split = example.join("split").display(),
            count = example.join("count").display()
        );
        place.write("pipeline.yaml", pipeline);
        Self { place, name, text: String::new() }
    }

    fn produce(&mut self, lines: usize, seed: u64) {
        let text = words::lines(lines, seed);
        let topic = format!("{}-lines", self.name);
        let arguments = ["produce", &topic, "--brokers", &Broker::shared().address(), "--partitions", "8"];
        self.place.run_with(arguments, text.as_bytes()).ok();
        self.text.push_str(&text);
    }

    fn arguments(data: &str) -> Vec<String> {
        let brokers = Broker::shared().address();
        let arguments = format!(
            "run pipeline.yaml --data-dir {data} --workers 2 --store sled --session-timeout 15s --brokers {brokers}"
        );
        arguments.split(' ').map(str::to_owned).collect()
    }

    /// Starts a node with a data directory.
    fn node(&self, data: &str, more: &[&str]) -> Node {
        let arguments = Self::arguments(data).into_iter().chain(more.iter().map(|&more| more.to_owned()));
        Node::start(self.place.command(arguments))
    }

    /// Does what is left to do with one more node, and checks what kafka-clients reads.
    #[track_caller]
    fn check(&self) -> usize {
        let arguments = Self::arguments("last").into_iter().chain(["--until-end".into()]);
        self.place.run(arguments).ok();
        let topic = format!("{}-counts", self.name);
        Broker::shared().settle(&topic);
        let records = Broker::shared().read(&[&topic]);
        let pairs = records.iter().map(|record| (record["key"].as_str().unwrap(), record["value"].as_str().unwrap()));
        assert_eq!(words::follow(pairs), words::count(&self.text));
        records.len()
    }
}

/// 3 nodes of 2 workers, 8 partitions, sled, sessions of 15 s; at least 100 kills between commits, 40 of them with an open
/// epoch. One in twelve times a node does not come back, and another one with an empty disk comes in its place.
#[test]
fn three_nodes_count_exactly_once_over_100_kills() {
    let mut cluster = Cluster::new("fleet");
    cluster.produce(LINES, 1);
    let mut names: Vec<String> = (0..3).map(|node| format!("node-{node}")).collect();
    let mut nodes: Vec<_> = names.iter().map(|name| cluster.node(name, &[])).collect();
    let (mut kills, mut open, mut replaced, mut seed) = (0, 0, 0, 0x5eed_u64);
    while kills < 100 || open < 40 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let (victim, commits) = ((seed >> 33) as usize % nodes.len(), 4 + (seed >> 40) as usize % 8);
        let before = nodes[victim].said().committed;
        let worked = |said: &Said| said.committed >= before + commits;
        while !nodes[victim].waits(IDLE, worked) {
            cluster.produce(LINES, seed + cluster.text.len() as u64);
        }
        nodes[victim].waits(Duration::from_micros((seed >> 20) % 60_000), |_| false);
        let said = nodes.remove(victim).kill();
        kills += 1;
        open += usize::from(said.open() > 0);
        if kills % 12 == 0 {
            replaced += 1;
            names[victim] = format!("node-{}", 2 + replaced);
        }
        nodes.insert(victim, cluster.node(&names[victim], &[]));
        assert!(kills < 300, "{open} of {kills} kills met an open epoch");
    }
    nodes.into_iter().for_each(|node| _ = node.stop());
    let counts = cluster.check();
    println!("{kills} kills, {open} with an open epoch, {replaced} nodes that did not come back, {counts} counts");
}

/// 3 nodes of 2 workers, 8 partitions, sled: restarted in turn within their session, each has its tasks back, and no other
/// notices.
#[test]
fn a_rolling_restart_moves_no_task_and_restores_no_row() {
    let mut cluster = Cluster::new("rolling");
    cluster.produce(LINES, 2);
    let names = ["node-0", "node-1", "node-2"];
    let mut nodes: Vec<_> = names.iter().map(|name| cluster.node(name, &["--stay"])).collect();
    for node in &nodes {
        // As evenly as it goes: sixteen for three.
        node.until("a third of the tasks", |said| said.tasks.len().abs_diff(TASKS / 3) <= 1 && said.committed > 0);
    }
    let shares: Vec<_> = nodes.iter().map(|node| node.said().tasks).collect();
    assert_eq!(shares.iter().map(BTreeSet::len).sum::<usize>(), TASKS, "{shares:?}");
    for (index, name) in names.iter().enumerate() {
        let before: Vec<_> = nodes.iter().map(Node::said).collect();
        let stopped = nodes.remove(index).stop();
        assert!(stopped.committed > 0, "{name} had nothing to do");
        let node = cluster.node(name, &["--stay"]);
        node.until("its tasks", |said| said.tasks == before[index].tasks);
        assert_eq!(node.said().restored, 0, "{name} restored rows");
        nodes.insert(index, node);
        for other in (0..nodes.len()).filter(|&other| other != index) {
            assert_eq!(nodes[other].said().moves, before[other].moves, "tasks moved when {name} was restarted");
        }
    }
    cluster.produce(LINES, 3);
    nodes.into_iter().for_each(|node| _ = node.stop());
    cluster.check();
}

/// 2 nodes of 2 workers, 8 partitions, sled: one that stops without `--stay` leaves its tasks to the other at once.
#[test]
fn a_node_that_stops_leaves_its_tasks_to_the_others() {
    let mut cluster = Cluster::new("leaving");
    cluster.produce(LINES, 4);
    let (first, second) = (cluster.node("node-0", &[]), cluster.node("node-1", &[]));
    first.until("tasks of its own", |said| !said.tasks.is_empty() && said.committed > 0);
    second.until("tasks of its own", |said| !said.tasks.is_empty());
    first.stop();
    // Far less than a session.
    assert!(second.waits(Duration::from_secs(10), |said| said.tasks.len() == TASKS), "{:?}", second.said());
    cluster.produce(LINES, 5);
    second.stop();
    cluster.check();
}

/// 2 nodes of 2 workers, 8 partitions, sled, sessions of 15 s: one is stopped with an open epoch for longer than its session,
/// and goes on when the other has its tasks. It commits nothing of what it had begun, and joins again.
#[test]
fn a_node_that_slept_through_its_session_commits_nothing() {
    let mut cluster = Cluster::new("zombie");
    cluster.produce(LINES, 6);
    let (sleeper, other) = (cluster.node("node-0", &[]), cluster.node("node-1", &[]));
    other.until("tasks of its own", |said| !said.tasks.is_empty());
    let mut seed = 7;
    while !sleeper.waits(IDLE, |said| said.open() > 0 && said.committed > 3) {
        cluster.produce(LINES, seed);
        seed += 1;
    }
    cluster.produce(LINES, 100);
    sleeper.waits(Duration::from_secs(5), |said| said.open() > 0);
    sleeper.signal("STOP");
    other.until("all tasks", |said| said.tasks.len() == TASKS);
    let committed = other.said().committed;
    cluster.produce(LINES, 101);
    other.until("commits of all tasks", |said| said.committed > committed + 3);
    sleeper.signal("CONT");
    sleeper.until("the loss", |said| said.losses > 0);
    sleeper.until("tasks again", |said| !said.tasks.is_empty());
    [sleeper, other].into_iter().for_each(|node| _ = node.stop());
    cluster.check();
}
