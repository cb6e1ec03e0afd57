//! Brokers that are killed, and connections to them that are cut where it hurts most: nothing is lost, nothing is there
//! twice, and nodes go on by themselves.

use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::support::cluster::{Cluster, Coordinates, Coordinators};
use crate::support::fleet::{Node, Said, await_shares};
use crate::support::kafka::{Broker, ask};
use crate::support::ledger::{Ledger, TASKS};
use crate::support::proxy::{Lost, Proxy};

/// How long a node may be without a commit when a coordinator is gone.
const STILL: Duration = Duration::from_secs(35);

/// Waits until every worker of each node committed a few epochs more.
#[track_caller]
fn await_commits(nodes: [&Node; 2], before: &[Said; 2]) {
    for (node, before) in nodes.iter().zip(before) {
        node.until("commits of all workers", |said| said.went_on(before, 3));
    }
}

/// A node's id with which a broker coordinates the transactions of its first worker.
fn node_id(transactions: &Coordinators, group: &str, broker: usize) -> String {
    let pipeline = group.replace('.', "/");
    let mut ids = std::iter::repeat_with(|| Uuid::new_v4().to_string());
    ids.find(|id| transactions.of(&format!("{pipeline}/{id}/0")) == broker).expect("an id")
}

/// 3 brokers, 2 nodes of 2 workers, 8 partitions, sled, sessions of 15 s. The coordinator of transactions of one node's is
/// killed, then that of the group, which is that of transactions of the other's as well.
#[test]
fn commits_go_on_within_35_seconds_when_coordinators_are_killed() {
    let mut cluster = Cluster::start();
    let ledger = Ledger::new("coordinated", &cluster.addresses());
    ledger.feed(500);
    ledger.finish("first");
    let own = ledger.own_topics();
    let own: Vec<_> = own.iter().map(String::as_str).collect();
    let described = ask("describe", &cluster.addresses(), &own);
    assert_eq!(described.len(), own.len());
    assert!(described.iter().all(|topic| topic["replicas"] == 3 && topic["in-sync"] == 2), "{described:?}");

    cluster.balance();
    let of_group = cluster.coordinators(Coordinates::Groups).of(&ledger.group());
    let transactions = cluster.coordinators(Coordinates::Transactions);
    let of_transactions = (0..3).find(|&broker| broker != of_group).expect("another broker");
    for (node, wanted) in [("node-0", of_transactions), ("node-1", of_group)] {
        ledger.place.write(&format!("{node}/node-id"), node_id(&transactions, &ledger.group(), wanted));
    }
    let running = ["node-0", "node-1"].map(|data| ledger.node(data));
    let nodes = running.each_ref();
    let flow = ledger.flow();
    await_shares(&nodes, TASKS);
    for (broker, what, concerned) in [(of_transactions, "transactions", 1), (of_group, "both", 2)] {
        let before = nodes.map(Node::said);
        cluster.kill(broker);
        let killed = Instant::now();
        for (index, (node, before)) in nodes.iter().zip(&before).enumerate().take(concerned) {
            node.until("commits after the kill", |said| said.went_on(before, 2));
            let still = killed.elapsed();
            println!("{what}: node {index} committed again after {:.1} s", still.as_secs_f64());
            assert!(still < STILL, "{what}: node {index} committed nothing for {still:?}");
        }
        await_commits(nodes, &before);
        cluster.restart(broker);
        await_commits(nodes, &nodes.map(Node::said));
    }
    flow.end();
    running.into_iter().for_each(|node| _ = node.stop());
    println!("{}", ledger.check());
}

/// 1 broker, 2 nodes of 2 workers, 8 partitions, sled, sessions of 15 s: twice the broker is killed with epochs open, and
/// started again.
///
/// What is being committed at that moment is let through first: where nobody but the killed broker has a partition, Apache
/// Kafka 4.3.1 takes the partition for deleted when it starts, for it has no leader yet, and forgets to end the transaction
/// there. What is behind is hidden for ever then, from every reader.
#[test]
fn a_broker_that_is_killed_and_started_again_costs_nothing_but_time() {
    let mut broker = Broker::start(&[]);
    let ledger = Ledger::new("restarted", &broker.address());
    ledger.feed(500);
    let running = ["node-0", "node-1"].map(|data| ledger.node(data));
    let nodes = running.each_ref();
    let mut flow = ledger.flow();
    await_shares(&nodes, TASKS);
    for _ in 0..2 {
        let before = nodes.map(Node::said);
        await_commits(nodes, &before);
        nodes[0].until("an open epoch", |said| said.open() > 0);
        nodes.iter().for_each(|node| node.signal("STOP"));
        // A producer without transactions may repeat an entry whose acknowledgement dies with the broker.
        flow.end();
        ask("decided", &broker.address(), &[]);
        assert!(nodes.iter().any(|node| node.said().open() > 0), "no epoch was open");
        broker.kill();
        nodes.iter().for_each(|node| node.signal("CONT"));
        broker.restart();
        flow = ledger.flow();
        await_commits(nodes, &nodes.map(Node::said));
    }
    flow.end();
    running.into_iter().for_each(|node| _ = node.stop());
    println!("{}", ledger.check());
}

/// 1 broker behind a proxy, 2 nodes of 2 workers, 8 partitions, sled: requests to commit are lost before the broker has them,
/// and others when it has committed, at last with the nodes killed on it; then all connections are cut at any time.
#[test]
fn a_commit_that_is_lost_on_its_way_there_or_back_counts_once() {
    const TIMES: usize = 4;
    let (proxy, broker) = Proxy::before_a_broker();
    let ledger = Ledger::new("proxied", &broker.address());
    ledger.feed(500);
    let running = ["node-0", "node-1"].map(|data| ledger.node_through(data, &proxy.address(), &[]));
    let nodes = running.each_ref();
    let flow = ledger.flow();
    await_shares(&nodes, TASKS);
    for lost in [Lost::Request, Lost::Answer] {
        for after in 0..TIMES {
            let before = nodes.map(Node::said);
            proxy.lose(lost, after % 4);
            await_commits(nodes, &before);
        }
    }
    let mut running = running;
    for lost in [Lost::Request, Lost::Answer] {
        proxy.lose(lost, 1);
        // Before it can be said again.
        running.into_iter().for_each(|node| _ = node.kill());
        running = ["node-0", "node-1"].map(|data| ledger.node_through(data, &proxy.address(), &[]));
        running.iter().for_each(|node| node.until("commits", |said| said.went_on(&Said::default(), 3)));
    }
    let nodes = running.each_ref();
    let mut cut = 0;
    for moment in 0..2 * TIMES as u64 {
        let before = nodes.map(Node::said);
        await_commits(nodes, &before);
        nodes[0].waits(Duration::from_millis(moment * 37 % 90), |_| false);
        cut += proxy.cut();
    }
    assert!(cut > TIMES && proxy.commits() > 100, "{cut} connections cut, {} commits came through", proxy.commits());
    flow.end();
    running.into_iter().for_each(|node| _ = node.stop());
    println!("{cut} connections cut, {} commits through the proxy: {}", proxy.commits(), ledger.check());
}

/// 1 broker behind a proxy, 2 nodes of 2 workers, 8 partitions, sled, transactions of 6 s: no commit comes through for longer
/// than that, and then no answer to one. Whether an epoch stands is asked of the brokers.
#[test]
fn an_epoch_of_which_nobody_knows_whether_it_stands_counts_once() {
    let (proxy, broker) = Proxy::before_a_broker();
    let ledger = Ledger::new("unknown", &broker.address());
    ledger.feed(500);
    let start = |data: &str| {
        let arguments = ledger.arguments(data, &proxy.address()).into_iter();
        let times = ["--transaction-timeout", "6s"].map(str::to_owned);
        Node::start(ledger.place.command(arguments.chain(times)))
    };
    let running = ["node-0", "node-1"].map(start);
    let nodes = running.each_ref();
    let flow = ledger.flow();
    await_shares(&nodes, TASKS);
    let unknown = |said: &Said| said.lines.iter().filter(|line| line.contains("commit a transaction of")).count();
    for lost in [Lost::Request, Lost::Answer] {
        let before = nodes.map(Node::said);
        proxy.lose_all(Some(lost));
        // Longer than one try of a commit takes, and than a transaction may be open.
        nodes[0].waits(Duration::from_secs(20), |_| false);
        proxy.lose_all(None);
        // What was lost is told once there is a way on.
        for (node, before) in nodes.iter().zip(&before) {
            node.until("a commit without an outcome", |said| unknown(said) > unknown(before));
        }
        await_commits(nodes, &nodes.map(Node::said));
    }
    flow.end();
    let unknown: Vec<_> = running.into_iter().map(|node| unknown(&node.stop())).collect();
    println!("{unknown:?} commits without an outcome: {}", ledger.check());
}

/// 1 broker, 2 nodes of 2 workers, 8 partitions, sled, sessions of 15 s. One node reaches the broker through a proxy, which lets
/// nothing through from a commit on, until the other node has taken over; then that commit arrives.
#[test]
fn a_node_that_was_cut_off_commits_nothing_when_it_is_back() {
    let (proxy, broker) = Proxy::before_a_broker();
    let ledger = Ledger::new("parted", &broker.address());
    ledger.feed(500);
    let running = [ledger.node_through("node-0", &proxy.address(), &[]), ledger.node("node-1")];
    let nodes = running.each_ref();
    let flow = ledger.flow();
    await_shares(&nodes, TASKS);
    for _ in 0..2 {
        proxy.part();
        let [parted, other] = nodes.map(Node::said);
        nodes[1].until("all tasks", |said| said.tasks.len() == TASKS);
        nodes[1].until("commits of all workers", |said| said.went_on(&other, 5));
        let meanwhile = nodes[0].said();
        assert!(meanwhile.committed <= parted.committed + 2, "{}", meanwhile.lines.join("\n"));
        proxy.join();
        nodes[0].until("the loss of its tasks", |said| said.losses > parted.losses);
        await_shares(&nodes, TASKS);
        await_commits(nodes, &nodes.map(Node::said));
    }
    flow.end();
    running.into_iter().for_each(|node| _ = node.stop());
    println!("{}", ledger.check());
}

/// 1 broker, 2 nodes of 2 workers, 8 partitions, sled: no commit of the first node comes through when the second begins. Its
/// share is its own once the first has waited in vain, 20 s.
#[test]
fn tasks_are_left_to_others_though_their_epoch_cannot_be_committed() {
    let (proxy, broker) = Proxy::before_a_broker();
    let ledger = Ledger::new("owed", &broker.address());
    ledger.feed(500);
    let first = ledger.node_through("node-0", &proxy.address(), &[]);
    let flow = ledger.flow();
    await_shares(&[&first], TASKS);
    proxy.lose_all(Some(Lost::Request));
    let (before, second) = (first.said(), ledger.node("node-1"));
    second.until("its share", |said| said.tasks.len() == TASKS / 2 && said.went_on(&Said::default(), 5));
    let meanwhile = first.said();
    assert!(meanwhile.committed <= before.committed + 2, "{}", meanwhile.lines.join("\n"));
    proxy.lose_all(None);
    await_shares(&[&first, &second], TASKS);
    flow.end();
    let lines = first.stop().lines.join("\n");
    assert!(lines.contains("tasks were not let go in time"), "{lines}");
    second.stop();
    println!("{}", ledger.check());
}
