//! How to reach Kafka, and the settings of each kind of client.

use std::fmt::Display;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use thiserror::Error;

use super::properties::{Properties, is_secret};
use super::watchdog::Calls;

/// How long to try before saying that Kafka cannot be reached.
const CONNECT: Duration = Duration::from_secs(8);

/// How long a question about topics may take.
pub(super) const ASK: Duration = Duration::from_secs(10);

/// Records of a partition that are fetched ahead.
const AHEAD: u32 = 100_000;

/// Why something could not be done on Kafka.
#[derive(Clone, Debug, Error, Eq, PartialEq)]
pub enum Error {
    /// No broker answers.
    #[error("cannot reach Kafka at {brokers}: {reason}; check --brokers and --kafka-config")]
    Unreachable {
        /// Where it was looked for.
        brokers: String,
        /// What was tried, and how it failed.
        reason: String,
    },
    /// A topic does not exist.
    #[error(
        "topic {topic} does not exist; create it (kafka-topics.sh --create --topic {topic} --partitions N \
         --bootstrap-server {brokers}), or give its source or sink `create: {{partitions: N}}`"
    )]
    Missing {
        /// Its name.
        topic: String,
        /// Where it was looked for.
        brokers: String,
    },
    /// A setting of a client does not work.
    #[error("configure the Kafka client: {reason}; see --kafka-config")]
    Setting {
        /// Which, and why.
        reason: String,
    },
    /// A request failed.
    #[error("{doing}: {reason}")]
    Failed {
        /// What was being done, to what.
        doing: String,
        /// Why it failed.
        reason: String,
    },
}

impl Error {
    pub(super) fn failed(doing: impl Into<String>, reason: impl Display) -> Self {
        Self::Failed { doing: doing.into(), reason: reason.to_string() }
    }
}

/// How long the parties of the protocol wait for each other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timing {
    /// Silence after which the group takes a node for dead.
    pub session: Duration,
    /// The longest time between two polls of the group consumer.
    pub max_poll: Duration,
    /// The longest life of a transaction.
    pub transaction: Duration,
    /// How long a record may take to be delivered; less than `transaction`.
    pub message: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            session: Duration::from_secs(45),
            max_poll: Duration::from_mins(2),
            transaction: Duration::from_mins(1),
            message: Duration::from_secs(50),
        }
    }
}

impl Timing {
    /// The times that go with that of a transaction.
    pub fn of(transaction: Duration) -> Self {
        Self { transaction, message: transaction * 5 / 6, ..Self::default() }
    }

    /// When a call has taken longer than any of them may.
    pub(super) fn stuck(&self) -> Duration {
        self.transaction.max(OFFSETS) + Duration::from_secs(10)
    }

    /// How long the workers may take to let a revoked task go.
    pub fn release(&self) -> Duration {
        Duration::from_secs(20).min(self.max_poll / 3).min(self.transaction / 2)
    }
}

/// How long librdkafka itself retries to send offsets, while a coordinator moves for example.
pub(super) const OFFSETS: Duration = Duration::from_secs(25);

/// How to reach a Kafka cluster.
#[derive(Clone, Debug)]
pub struct Client {
    brokers: String,
    properties: Properties,
    timing: Timing,
    pub(super) calls: Calls,
}

impl Client {
    /// A cluster by the addresses of some of its brokers, `HOST:PORT,…`, and properties of librdkafka for all clients.
    /// A property that the protocol depends on is not taken over.
    pub fn new(brokers: &str, properties: Properties) -> Self {
        Self { brokers: brokers.to_owned(), properties, timing: Timing::default(), calls: Calls::default() }
    }

    /// The same with other times to wait.
    #[must_use]
    pub fn with_timing(self, timing: Timing) -> Self {
        Self { timing, ..self }
    }

    /// The addresses it was given.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// The times to wait.
    pub fn timing(&self) -> Timing {
        self.timing
    }

    /// Waits until a broker answers, at most eight seconds. Answers the cluster's id.
    ///
    /// A property that does not work is found out here.
    pub fn connect(&self) -> Result<String, Error> {
        if let Some((name, value)) = self.properties.too_large() {
            return Err(Error::Setting { reason: format!("{name}: {value} is too large a number") });
        }
        let consumer = self.lookup().map_err(|error| self.masked(error))?;
        let deadline = Instant::now() + CONNECT;
        loop {
            if let Some(Err(error)) = consumer.poll(Duration::ZERO) {
                tracing::debug!(%error, "connect to Kafka");
            }
            if let Some(id) = consumer.client().fetch_cluster_id(Duration::from_millis(200)) {
                return Ok(id);
            }
            if Instant::now() >= deadline {
                let reason = consumer.context().last_error().unwrap_or_else(|| "no answer".into());
                let reason = self.properties.mask(&reason);
                return Err(Error::Unreachable { brokers: self.brokers.clone(), reason });
            }
        }
    }

    fn masked(&self, error: Error) -> Error {
        match error {
            Error::Setting { reason } => Error::Setting { reason: self.properties.mask(&reason) },
            other => other,
        }
    }

    /// A consumer to ask about topics and offsets with.
    pub(super) fn lookup(&self) -> Result<BaseConsumer<Logs>, Error> {
        create(&self.config(&[], &[("allow.auto.create.topics", "false")]))
    }

    /// The same, which sees the records of open transactions too.
    pub(super) fn lookup_all(&self) -> Result<BaseConsumer<Logs>, Error> {
        let fixed = [("allow.auto.create.topics", "false"), ("isolation.level", "read_uncommitted")];
        create(&self.config(&[], &fixed))
    }

    /// A group consumer's settings. The instance keeps its place in the group while it restarts.
    pub(super) fn member(&self, group: &str, instance: &str) -> ClientConfig {
        let (session, poll) = (self.timing.session, self.timing.max_poll);
        let heartbeat = (session / 4).min(Duration::from_secs(3));
        self.config(
            // How soon it is noticed that there are more tasks.
            &[("heartbeat.interval.ms", &millis(heartbeat)), ("topic.metadata.refresh.interval.ms", "10000")],
            &[
                ("group.id", group),
                ("group.instance.id", instance),
                ("group.protocol", "classic"),
                ("partition.assignment.strategy", "cooperative-sticky"),
                ("session.timeout.ms", &millis(session)),
                ("max.poll.interval.ms", &millis(poll.max(session))),
                ("enable.auto.commit", "false"),
                ("auto.offset.reset", "latest"),
                ("allow.auto.create.topics", "false"),
            ],
        )
    }

    /// A consumer of data that never joins its group.
    pub(super) fn data(&self, group: &str) -> ClientConfig {
        self.data_ahead(group, AHEAD)
    }

    /// The same that fetches so many records of a partition ahead.
    pub(super) fn data_ahead(&self, group: &str, ahead: u32) -> ClientConfig {
        let ahead = ahead.to_string();
        self.reader(group, "100", &[("queued.min.messages", &ahead), ("queued.max.messages.kbytes", "16384")])
    }

    /// A consumer of changelogs.
    pub(super) fn restore(&self, group: &str) -> ClientConfig {
        self.reader(group, "5", &[("queued.min.messages", "100000"), ("queued.max.messages.kbytes", "16384")])
    }

    fn reader(&self, group: &str, wait: &str, more: &[(&str, &str)]) -> ClientConfig {
        let tunable = [&[("fetch.wait.max.ms", wait), ("fetch.min.bytes", "1")], more].concat();
        self.config(
            &tunable,
            &[
                ("group.id", group),
                ("isolation.level", "read_committed"),
                ("auto.offset.reset", "error"),
                ("fetch.queue.backoff.ms", "10"),
                ("enable.partition.eof", "true"),
                ("enable.auto.commit", "false"),
                ("enable.auto.offset.store", "false"),
                ("allow.auto.create.topics", "false"),
                ("max.poll.interval.ms", "86400000"),
            ],
        )
    }

    /// A client that reads committed offsets: those that are decided, or those that were sent last.
    pub(super) fn rows(&self, group: &str, isolation: &str) -> Result<BaseConsumer<Logs>, Error> {
        let fixed = [
            ("group.id", group),
            ("isolation.level", isolation),
            ("enable.auto.commit", "false"),
            ("retry.backoff.ms", "10"),
            ("retry.backoff.max.ms", "50"),
            ("max.poll.interval.ms", "86400000"),
        ];
        create(&self.config(&[], &fixed))
    }

    /// A transactional producer's settings.
    pub(super) fn producer(&self, transactional_id: &str) -> ClientConfig {
        // Nobody sees a record before its epoch ends, which sends all. And a partition has one request on its way at a
        // time: while another batch is due, librdkafka's thread does not sleep until the first is answered.
        let mut config = self.sender("100");
        config.set("transactional.id", transactional_id);
        config.set("transaction.timeout.ms", millis(self.timing.transaction));
        config
    }

    /// The settings of a producer without transactions, which keeps the order of what it sends.
    pub(super) fn plain_producer(&self) -> ClientConfig {
        self.sender("5")
    }

    fn sender(&self, linger: &str) -> ClientConfig {
        self.config(
            &[
                ("linger.ms", linger),
                ("batch.num.messages", "10000"),
                ("batch.size", "1000000"),
                ("queue.buffering.max.messages", "1000000"),
                ("queue.buffering.max.kbytes", "262144"),
            ],
            &[
                ("enable.idempotence", "true"),
                ("message.timeout.ms", &millis(self.timing.message)),
                // Without it, sending offsets can hang for ever after the group coordinator died: librdkafka #5511.
                ("connections.max.idle.ms", "3000"),
                ("reconnect.backoff.max.ms", "1000"),
            ],
        )
    }

    /// How the user wants records to be compressed, where that was said.
    pub(super) fn compression(&self) -> Option<&str> {
        let names = ["compression.codec", "compression.type"];
        names.iter().find_map(|name| self.properties.get(name))
    }

    /// Settings that may be replaced, then the user's properties, then those that the protocol depends on.
    pub(super) fn config(&self, tunable: &[(&str, &str)], fixed: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set_log_level(RDKafkaLogLevel::Info);
        config.set("client.id", "wasmill");
        let brokers = [("bootstrap.servers", self.brokers.as_str())];
        // librdkafka waits for half of the first before it connects at all.
        let all = [("reconnect.backoff.ms", "20")];
        let ours = all.into_iter().chain(tunable.iter().copied());
        for (name, value) in ours.chain(self.properties.iter()).chain(fixed.iter().copied()).chain(brokers) {
            config.set(name, value);
        }
        config
    }
}

/// Makes a client of the rdkafka crate.
pub(super) fn create<C, T>(config: &ClientConfig) -> Result<T, Error>
where
    C: ClientContext + Default,
    T: FromClientConfigAndContext<C>,
{
    config.create_with_context(C::default()).map_err(setting)
}

pub(super) fn setting(error: KafkaError) -> Error {
    let reason = match error {
        // The reason may repeat the value, or parts of it.
        KafkaError::ClientConfig(_, _, name, _) if is_secret(&name) => format!("{name}: its value is refused"),
        // Some of them end a line.
        KafkaError::ClientConfig(_, reason, name, _) => format!("{name}: {}", reason.trim_end()),
        KafkaError::ClientCreation(reason) => reason,
        other => other.to_string(),
    };
    Error::Setting { reason }
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

/// Passes what librdkafka logs to `tracing`.
#[derive(Debug, Default)]
pub(crate) struct Logs {
    last: Mutex<Option<String>>,
}

impl Logs {
    fn last_error(&self) -> Option<String> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Logs {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, reason);
        if !reason.contains("brokers are down") {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for Logs {}

/// Passes a line of librdkafka's log on. It retries by itself, so none of its errors is one of ours.
pub(super) fn log_line(level: RDKafkaLogLevel, facility: &str, line: &str) {
    // Users give one list of properties for all clients, of which each takes those that it knows.
    let of_others = facility == "CONFWARN" && line.contains("will be ignored by this");
    match level {
        _ if of_others => tracing::trace!(target: "librdkafka", facility, "{line}"),
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(target: "librdkafka", facility, "{line}");
        }
        RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => {
            tracing::warn!(target: "librdkafka", facility, "{line}");
        }
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => tracing::debug!(target: "librdkafka", facility, "{line}"),
        RDKafkaLogLevel::Debug => tracing::trace!(target: "librdkafka", facility, "{line}"),
    }
}
