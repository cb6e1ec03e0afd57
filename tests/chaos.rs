//! Whatever may happen to nodes, disks and brokers, in an order that a seed says, for as long as is asked for.
//!
//! `just chaos MINUTES SEED` runs it for hours; the tests run it for a moment.

use std::fs;
use std::time::{Duration, Instant};

use crate::support::cluster::Cluster;
use crate::support::fleet::{Node, STEPS, Said};
use crate::support::ledger::Ledger;

/// How long it lasts where nothing is said.
const MINUTES: f64 = 0.5;
/// How long a pipeline is disturbed before all that it left is checked, and another one begins.
const ROUND: Duration = Duration::from_secs(150);
const NODES: usize = 3;
const BROKERS: usize = 3;
/// What happened, by its name.
const ACTS: [&str; 11] = [
    "killed",
    "ended at a step",
    "replaced",
    "given another plugin",
    "reloaded",
    "stopped",
    "asleep",
    "cut off",
    "store lost",
    "store of before",
    "broker killed",
];

fn setting(name: &str) -> Option<f64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is no number: {value}")))
}

/// What comes next.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }

    fn millis(&mut self, most: usize) -> Duration {
        Duration::from_millis(self.below(most) as u64)
    }
}

/// A pipeline that is disturbed.
struct Round<'a> {
    cluster: &'a mut Cluster,
    ledger: Ledger,
    nodes: Vec<Node>,
    names: Vec<String>,
    random: &'a mut Random,
    acts: [usize; ACTS.len()],
    open: usize,
    /// Plugins that were reloaded by all workers of a node.
    reloads: usize,
}

impl Round<'_> {
    /// Takes a node out, killed with whatever it had open.
    fn kill(&mut self, victim: usize) {
        let moment = self.random.millis(200);
        self.nodes[victim].waits(moment, |_| false);
        let said = self.nodes.remove(victim).kill();
        self.open += usize::from(said.open() > 0);
    }

    fn start(&mut self, victim: usize, options: &[&str]) {
        let options = [options, &["--reload-on-hangup"]].concat();
        let node = self.ledger.node_through(&self.names[victim], &self.cluster.way(victim), &options);
        self.nodes.insert(victim, node);
    }

    /// Gives a node another build of its plugin while it runs.
    fn reload(&mut self, victim: usize) {
        self.ledger.change_plugin();
        let node = &self.nodes[victim];
        // Not before it listens: the signal would end it.
        if node.waits(Duration::from_secs(10), |said| said.says("running chaos")) && !node.said().ended {
            let before = node.said().reloads();
            node.signal("HUP");
            let by_both = |said: &Said| said.reloads() >= before + 2;
            self.reloads += usize::from(node.waits(Duration::from_secs(5), by_both));
        }
    }

    /// Lets time pass, sometimes more than a node's session lasts.
    fn pass_without(&mut self, victim: usize) {
        let moment = self.random.millis(25_000);
        self.nodes[(victim + 1) % NODES].waits(moment, |_| false);
    }

    /// A node that could not begin, because a broker was away, is started again.
    fn supervise(&mut self) {
        for index in 0..self.nodes.len() {
            if self.nodes[index].said().ended {
                self.nodes.remove(index).kill();
                self.start(index, &[]);
            }
        }
    }

    fn act(&mut self) {
        self.supervise();
        let (what, victim) = (self.random.below(ACTS.len()), self.random.below(NODES));
        self.acts[what] += 1;
        println!("{} {}: {}", jiff::Timestamp::now(), self.names[victim], ACTS[what]);
        let store = self.ledger.place.path(&format!("{}/store", self.names[victim]));
        let copy = store.with_extension("before");
        match ACTS[what] {
            "killed" => {
                self.kill(victim);
                self.start(victim, &[]);
            }
            "ended at a step" => {
                self.kill(victim);
                let last = format!("{}:{}", STEPS[self.random.below(STEPS.len())], 1 + self.random.below(20));
                self.start(victim, &["--end-at", &last]);
                self.nodes[victim].waits(Duration::from_secs(10), |said| said.ended);
                self.kill(victim);
                self.start(victim, &[]);
            }
            "replaced" => {
                self.kill(victim);
                self.names[victim].push('+');
                self.start(victim, &[]);
            }
            "given another plugin" => {
                self.ledger.change_plugin();
                stop(self.nodes.remove(victim));
                self.start(victim, &[]);
            }
            "reloaded" => self.reload(victim),
            "stopped" => {
                stop(self.nodes.remove(victim));
                self.start(victim, &[]);
            }
            "asleep" => {
                self.nodes[victim].signal("STOP");
                self.pass_without(victim);
                self.nodes[victim].signal("CONT");
            }
            "cut off" => {
                // From one broker, or from all.
                let brokers = match self.random.below(BROKERS + 1) {
                    BROKERS => 0..BROKERS,
                    broker => broker..broker + 1,
                };
                brokers.clone().for_each(|broker| self.cluster.proxy(victim, broker).block());
                self.pass_without(victim);
                brokers.for_each(|broker| self.cluster.proxy(victim, broker).join());
            }
            "store lost" => {
                self.kill(victim);
                drop(fs::remove_dir_all(store));
                self.start(victim, &[]);
            }
            "store of before" => {
                self.kill(victim);
                if copy.exists() {
                    drop(fs::remove_dir_all(&store));
                    fs::rename(&copy, &store).expect("the copy takes the store's place");
                } else {
                    copy_all(&store, &copy);
                }
                self.start(victim, &[]);
            }
            _ => {
                let broker = self.random.below(BROKERS);
                self.cluster.kill(broker);
                self.goes_on();
                self.cluster.restart(broker);
            }
        }
        self.goes_on();
    }

    /// Somebody commits, whatever happened.
    fn goes_on(&mut self) {
        let before: Vec<_> = self.nodes.iter().map(Node::said).collect();
        let begun = Instant::now();
        let went_on = |(node, before): (&Node, &Said)| {
            node.waits(Duration::from_millis(100), |said| said.committed > before.committed + 2)
        };
        while !self.nodes.iter().zip(&before).any(went_on) {
            if self.nodes.len() == NODES {
                self.supervise();
            }
            let said = || self.nodes.iter().flat_map(|node| node.said().lines).collect::<Vec<_>>().join("\n");
            assert!(begun.elapsed() < Duration::from_mins(2), "nobody commits any more:\n{}", said());
        }
    }
}

/// How often what happened.
fn told(acts: &[usize; ACTS.len()]) -> String {
    ACTS.iter().zip(acts).map(|(act, times)| format!("{times} {act}")).collect::<Vec<_>>().join(", ")
}

/// Stops a node, once it hears what it is told.
fn stop(node: Node) {
    node.until("its start", |said| said.ended || said.says("running chaos"));
    if node.said().ended {
        node.kill();
    } else {
        node.stop();
    }
}

/// Copies a directory, as far as it is there.
fn copy_all(from: &std::path::Path, to: &std::path::Path) {
    let Ok(entries) = fs::read_dir(from) else { return };
    fs::create_dir_all(to).expect("a directory");
    for entry in entries.map_while(Result::ok) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_all(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

/// 3 brokers, 3 nodes of 2 workers, 8 partitions, stages of two, sled, sessions of 15 s.
#[test]
fn nothing_that_may_happen_loses_or_repeats_anything() {
    let seed = setting("WASMILL_CHAOS_SEED").map_or(0xC4A05, |seed| seed as u64);
    let lasts = Duration::from_secs_f64(60.0 * setting("WASMILL_CHAOS_MINUTES").unwrap_or(MINUTES));
    let (mut random, begun) = (Random(seed), Instant::now());
    let mut cluster = Cluster::with_ways(NODES);
    let (mut acts, mut open, mut reloads, mut number) = ([0; ACTS.len()], 0, 0, 0);
    while begun.elapsed() < lasts {
        let ledger = Ledger::new(&format!("chaos-{number}"), &cluster.addresses());
        let names: Vec<_> = (0..NODES).map(|node| format!("node-{node}")).collect();
        let (cluster, random, nodes) = (&mut cluster, &mut random, Vec::new());
        let mut round = Round { cluster, ledger, nodes, names, random, acts: [0; ACTS.len()], open: 0, reloads: 0 };
        (0..NODES).for_each(|node| round.start(node, &[]));
        let flow = round.ledger.flow();
        let ends = Instant::now() + ROUND.min(lasts.saturating_sub(begun.elapsed()));
        while Instant::now() < ends {
            round.act();
        }
        flow.end();
        round.nodes.drain(..).for_each(stop);
        println!("round {number} of seed {seed}: {}; {}", told(&round.acts), round.ledger.check());
        acts.iter_mut().zip(round.acts).for_each(|(all, of_round)| *all += of_round);
        (open, reloads, number) = (open + round.open, reloads + round.reloads, number + 1);
    }
    let minutes = begun.elapsed().as_secs_f64() / 60.0;
    println!("{number} rounds in {minutes:.0} minutes: {}; {open} open epochs, {reloads} reloads done", told(&acts));
}
