//! Several processes that run one pipeline on a real Apache Kafka: they share its tasks, and whatever becomes of some of
//! them, each count comes out once.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::support::counting::Counting;
use crate::support::fleet::{Node, Said};

const PARTITIONS: usize = 8;
/// Of two stages.
const TASKS: usize = 2 * PARTITIONS;
const LINES: usize = 4_000;

/// 3 nodes of 2 workers, 8 partitions, sled, sessions of 15 s; at least 100 kills between commits, 40 of them with an open
/// epoch. One in twelve times a node does not come back, and another one with an empty disk comes in its place.
#[test]
fn three_nodes_count_exactly_once_over_100_kills() {
    let mut cluster = Counting::new("fleet", PARTITIONS);
    cluster.produce(LINES, 1);
    let mut names: Vec<String> = (0..3).map(|node| format!("node-{node}")).collect();
    let mut nodes: Vec<_> = names.iter().map(|name| cluster.node(name, &[])).collect();
    let (mut kills, mut open, mut replaced, mut seed) = (0, 0, 0, 0x5eed_u64);
    while kills < 100 || open < 40 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let (victim, commits) = ((seed >> 33) as usize % nodes.len(), 4 + (seed >> 40) as usize % 8);
        let before = nodes[victim].said().committed;
        let worked = |said: &Said| said.committed >= before + commits;
        cluster.feed(&nodes[victim], LINES, "commits", worked);
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
    let mut cluster = Counting::new("rolling", PARTITIONS);
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
    let mut cluster = Counting::new("leaving", PARTITIONS);
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
    let mut cluster = Counting::new("zombie", PARTITIONS);
    cluster.produce(LINES, 6);
    let (sleeper, other) = (cluster.node("node-0", &[]), cluster.node("node-1", &[]));
    other.until("tasks of its own", |said| !said.tasks.is_empty());
    cluster.feed(&sleeper, LINES, "an open epoch", |said| said.open() > 0 && said.committed > 3);
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

/// 2 nodes of 2 workers, 8 partitions, sled: a call of one node to Kafka does not come back. It says so, leaves, and ends; the
/// other has its tasks, and no transaction of its.
#[test]
fn a_node_whose_call_does_not_come_back_leaves_its_tasks_and_ends() {
    let mut cluster = Counting::new("stuck", PARTITIONS);
    cluster.produce(LINES, 8);
    let times = ["--transaction-timeout", "10s"];
    let other = cluster.node("node-1", &times);
    other.until("tasks of its own", |said| !said.tasks.is_empty());
    let stuck = cluster.node("node-0", &[&times[..], &["--hang-at", "token:7"]].concat());
    cluster.feed(&stuck, LINES, "its end", |said| said.ended);
    let said = stuck.kill();
    let why = "a call to Kafka has not come back for 35s: this process leaves its tasks to others, and ends";
    assert!(said.lines.iter().any(|line| line.contains(why)), "{}", said.lines.join("\n"));
    other.until("all tasks", |said| said.tasks.len() == TASKS);
    other.stop();
    cluster.check();
}
