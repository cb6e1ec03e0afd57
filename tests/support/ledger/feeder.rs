//! Entries, appended by a producer that repeats none.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::json;

const ACCOUNTS: usize = 240;
const SHOPS: u64 = 24;

/// How often a flow appends entries, and how many.
const PACE: (Duration, usize) = (Duration::from_millis(20), 10);
const PATIENCE: Duration = Duration::from_secs(90);

/// How much later an entry is than the one before, in milliseconds. Six of seven are earlier than that, by one to six times
/// the other.
const STEP: i64 = 4;
const JITTER: i64 = 13;

/// What was appended so far.
pub(super) struct Book {
    entries: u64,
    sequences: Vec<u64>,
    draw: u64,
    /// The time of the first entry.
    begun: i64,
}

impl Default for Book {
    fn default() -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time behind 1970");
        Self { entries: 0, sequences: vec![0; ACCOUNTS], draw: 0, begun: now.as_millis() as i64 }
    }
}

impl Book {
    /// How many entries there are.
    pub(super) fn entries(&self) -> u64 {
        self.entries
    }

    /// The key, the value and the time of the next entry. Its amount, one more than its number, is that of no other, and
    /// neither is its time.
    fn next(&mut self) -> (String, String, i64) {
        self.draw = self.draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (account, shop) = ((self.draw >> 33) as usize % ACCOUNTS, (self.draw >> 17) % SHOPS);
        let (id, sequence) = (self.entries, &mut self.sequences[account]);
        (self.entries, *sequence) = (id + 1, *sequence + 1);
        let entry = json!({ "id": id, "sequence": sequence, "amount": id + 1, "shop": format!("shop-{shop}") });
        let time = self.begun + id as i64 * STEP - (id % 7) as i64 * JITTER;
        (format!("account-{account}"), entry.to_string(), time)
    }
}

struct Feeder<'a> {
    producer: BaseProducer,
    topic: &'a str,
    book: &'a Mutex<Book>,
}

impl<'a> Feeder<'a> {
    fn new(brokers: &str, topic: &'a str, book: &'a Mutex<Book>) -> Self {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", brokers).set("enable.idempotence", "true").set("linger.ms", "5");
        config.set("message.timeout.ms", "300000").set("partitioner", "murmur2_random");
        config.set("reconnect.backoff.max.ms", "1000");
        Self { producer: config.create().expect("a producer"), topic, book }
    }

    fn append(&self, entries: usize) {
        for _ in 0..entries {
            let (key, value, time) = self.book.lock().expect("the book").next();
            let mut record = BaseRecord::to(self.topic).key(&key).payload(&value).timestamp(time);
            while let Err((error, refused)) = self.producer.send(record) {
                assert_eq!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull));
                self.producer.poll(Duration::from_millis(20));
                record = refused;
            }
        }
        self.producer.poll(Duration::ZERO);
    }

    fn end(self) {
        self.producer.flush(PATIENCE).expect("all entries are appended");
    }
}

/// Appends so many entries.
pub(super) fn feed(brokers: &str, topic: &str, book: &Mutex<Book>, entries: usize) {
    let feeder = Feeder::new(brokers, topic, book);
    feeder.append(entries);
    feeder.end();
}

/// Entries that are appended until it is dropped.
pub(crate) struct Flow {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Flow {
    pub(super) fn start(brokers: String, topic: String, book: Arc<Mutex<Book>>) -> Self {
        let (stop, stopped) = channel();
        let thread = std::thread::spawn(move || {
            let feeder = Feeder::new(&brokers, &topic, &book);
            while stopped.recv_timeout(PACE.0) == Err(RecvTimeoutError::Timeout) {
                feeder.append(PACE.1);
            }
            feeder.end();
        });
        Self { stop: Some(stop), thread: Some(thread) }
    }

    /// Ends it when all are appended.
    pub(crate) fn end(mut self) {
        drop(self.stop.take());
        self.thread.take().expect("a thread").join().expect("a flow of entries");
    }
}
