//! A cluster of three real brokers, each of which can be killed.

use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tempfile::TempDir;

use super::kafka::{Broker, ask, free_port};
use super::proxy::Proxy;

const BROKERS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(30);

/// Which of Kafka's own topics the partitions of a coordinator's are of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Coordinates {
    /// Consumer groups.
    Groups,
    /// Transactional ids.
    Transactions,
}

/// Three brokers that are controllers as well; all topics are replicated to each, and two must have a record.
pub(crate) struct Cluster {
    brokers: Vec<Broker>,
    /// To each broker, those of each way.
    proxies: Vec<Vec<Proxy>>,
}

impl Cluster {
    /// Starts the brokers, and waits until all answer.
    pub(crate) fn start() -> Self {
        Self::with_ways(0)
    }

    /// The same with so many ways to reach them, each of which can be blocked.
    pub(crate) fn with_ways(count: usize) -> Self {
        let ports: Vec<_> = (0..BROKERS).map(|_| [free_port(), free_port()]).collect();
        let voters = ports.iter().enumerate().map(|(id, [_, controller])| format!("{id}@127.0.0.1:{controller}"));
        let voters = voters.collect::<Vec<_>>().join(",");
        let proxies: Vec<Vec<_>> = (0..BROKERS).map(|_| (0..count).map(|_| Proxy::start()).collect()).collect();
        let format = |(id, &ports): (usize, &[u16; 2])| {
            let listeners = Proxy::settings(&proxies[id]);
            let id = id.to_string();
            let mut settings = vec![
                ("node.id", id.as_str()),
                ("controller.quorum.voters", &voters),
                ("default.replication.factor", "3"),
                ("min.insync.replicas", "2"),
                ("offsets.topic.replication.factor", "3"),
                ("transaction.state.log.replication.factor", "3"),
                ("transaction.state.log.min.isr", "2"),
                ("share.coordinator.state.topic.replication.factor", "3"),
                ("share.coordinator.state.topic.min.isr", "2"),
            ];
            settings.extend(listeners.iter().map(|(name, value)| (*name, value.as_str())));
            Broker::format(TempDir::new().expect("a directory for a broker"), ports, &settings, &[])
        };
        let mut brokers: Vec<_> = ports.iter().enumerate().map(format).collect();
        brokers.iter_mut().for_each(Broker::launch);
        brokers.iter().for_each(Broker::await_answer);
        Self { brokers, proxies }
    }

    /// Where its brokers are reached by one of the ways.
    pub(crate) fn way(&self, way: usize) -> String {
        self.proxies.iter().map(|ways| ways[way].address()).collect::<Vec<_>>().join(",")
    }

    /// The proxy of a way to a broker.
    pub(crate) fn proxy(&self, way: usize, broker: usize) -> &Proxy {
        &self.proxies[broker][way]
    }

    /// Where its brokers listen.
    pub(crate) fn addresses(&self) -> String {
        self.brokers.iter().map(Broker::address).collect::<Vec<_>>().join(",")
    }

    /// Kills a broker with SIGKILL.
    pub(crate) fn kill(&mut self, broker: usize) {
        self.brokers[broker].kill();
    }

    /// Starts a broker again, waits until it has all that the others have, and gives it back what it led at first.
    pub(crate) fn restart(&mut self, broker: usize) {
        self.brokers[broker].restart();
        self.balance();
    }

    /// Waits until all brokers have the same, and divides what they lead as at first.
    pub(crate) fn balance(&self) {
        ask("balance", &self.addresses(), &[]);
    }

    /// Who coordinates groups, or transactions, now.
    pub(crate) fn coordinators(&self, what: Coordinates) -> Coordinators {
        let topic = match what {
            Coordinates::Groups => "__consumer_offsets",
            Coordinates::Transactions => "__transaction_state",
        };
        let mut config = ClientConfig::new();
        let consumer: BaseConsumer = config.set("bootstrap.servers", self.addresses()).create().expect("a consumer");
        let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).expect("metadata");
        let mut leaders = vec![None; metadata.topics()[0].partitions().len()];
        for partition in metadata.topics()[0].partitions() {
            leaders[partition.id() as usize] = usize::try_from(partition.leader()).ok();
        }
        Coordinators { leaders: leaders.into_iter().collect::<Option<_>>().expect("leaders") }
    }
}

/// Which broker leads each partition of a topic that coordinators keep.
pub(crate) struct Coordinators {
    leaders: Vec<usize>,
}

impl Coordinators {
    /// The broker that coordinates a group or the transactions of an id, by the hash that Java has of it.
    pub(crate) fn of(&self, id: &str) -> usize {
        self.leaders[java_hash(id).unsigned_abs() as usize % self.leaders.len()]
    }
}

/// The hash of a string as Java computes it.
fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0, |hash: i32, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

#[test]
fn strings_are_hashed_as_java_does() {
    assert_eq!(java_hash("hello"), 99_162_322);
    // It has wrapped around.
    assert_eq!(java_hash("polygenelubricants"), i32::MIN);
}
