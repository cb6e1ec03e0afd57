//! The producer of a worker, in transactions.

use std::ffi::{CStr, CString};
use std::ptr::{self, NonNull};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rdkafka::TopicPartitionList;
use rdkafka::bindings as sys;
use rdkafka::bindings::rd_kafka_vtype_t as vtype;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, Producer};

/// The partition of a record is that of its key, as the clients in Java choose it.
pub const BY_KEY: i32 = -1;

const ASK: Duration = Duration::from_secs(30);

/// Between two attempts at a queue that is full.
const AGAIN: Duration = Duration::from_millis(1);

pub struct Output {
    producer: BaseProducer,
    /// Within a transaction.
    open: bool,
}

/// A topic that is written to. It lives as long as the process.
#[derive(Clone, Copy)]
pub struct Topic(NonNull<sys::rd_kafka_topic_t>);

impl Output {
    /// Makes a producer, and ends what one of its name before has left open.
    pub fn open(config: &ClientConfig) -> Result<Self> {
        let producer: BaseProducer = config.create()?;
        producer.init_transactions(ASK)?;
        Ok(Self { producer, open: false })
    }

    pub fn topic(&self, name: &str) -> Result<Topic> {
        let name = CString::new(name)?;
        // SAFETY: client and name are alive, and without settings the client's hold.
        let topic = unsafe { sys::rd_kafka_topic_new(self.native(), name.as_ptr(), ptr::null_mut()) };
        NonNull::new(topic).map(Topic).with_context(|| format!("open topic {name:?}"))
    }

    /// Whether something is to be committed.
    pub fn is_open(&self) -> bool {
        self.open
    }

    pub fn begin(&mut self) -> Result<()> {
        if !self.open {
            // SAFETY: the client is alive.
            check(unsafe { sys::rd_kafka_begin_transaction(self.native()) }).context("begin a transaction")?;
            self.open = true;
        }
        Ok(())
    }

    /// Queues a record, whose bytes are copied.
    pub fn send(&self, topic: Topic, partition: i32, timestamp: i64, key: &[u8], value: &[u8]) -> Result<()> {
        loop {
            // SAFETY: client and topic are alive, and each tag is followed by what librdkafka reads for it.
            let code = unsafe {
                sys::rd_kafka_producev(
                    self.native(),
                    vtype::RD_KAFKA_VTYPE_RKT,
                    topic.0.as_ptr(),
                    vtype::RD_KAFKA_VTYPE_PARTITION,
                    partition,
                    vtype::RD_KAFKA_VTYPE_MSGFLAGS,
                    sys::RD_KAFKA_MSG_F_COPY,
                    vtype::RD_KAFKA_VTYPE_KEY,
                    key.as_ptr(),
                    key.len(),
                    vtype::RD_KAFKA_VTYPE_VALUE,
                    value.as_ptr(),
                    value.len(),
                    vtype::RD_KAFKA_VTYPE_TIMESTAMP,
                    timestamp,
                    vtype::RD_KAFKA_VTYPE_END,
                )
            };
            match RDKafkaErrorCode::from(code) {
                RDKafkaErrorCode::NoError => return Ok(()),
                RDKafkaErrorCode::QueueFull => self.producer.poll(AGAIN),
                code => bail!("produce: {code}"),
            }
        }
    }

    /// Commits what was sent, with the offsets of what was read.
    pub fn commit(&mut self, offsets: &TopicPartitionList, of: &BaseConsumer) -> Result<()> {
        let wait = ASK.as_millis() as i32;
        // SAFETY: both clients and the list are alive; the metadata is ours and destroyed once. The native call, because
        // that of the crate waits for up to 100 ms.
        unsafe {
            let group = sys::rd_kafka_consumer_group_metadata(of.client().native_ptr());
            let sent = sys::rd_kafka_send_offsets_to_transaction(self.native(), offsets.ptr(), group, wait);
            sys::rd_kafka_consumer_group_metadata_destroy(group);
            check(sent).context("commit offsets")?;
            check(sys::rd_kafka_commit_transaction(self.native(), -1)).context("commit a transaction")?;
        }
        self.open = false;
        Ok(())
    }

    fn native(&self) -> *mut sys::rd_kafka_t {
        self.producer.client().native_ptr()
    }
}

fn check(error: *mut sys::rd_kafka_error_t) -> Result<()> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: the error is ours, its text ends with a zero and lives until it is destroyed, once.
    let text = unsafe {
        let text = CStr::from_ptr(sys::rd_kafka_error_string(error)).to_string_lossy().into_owned();
        sys::rd_kafka_error_destroy(error);
        text
    };
    bail!(text)
}
