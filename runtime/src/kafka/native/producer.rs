//! A producer, with transactions as a rule, that counts its delivery reports.

use std::ffi::{CStr, c_void};
use std::fmt;
use std::ptr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::client::Client;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use rdkafka_sys as sys;
use rdkafka_sys::rd_kafka_vtype_t as vtype;
use rdkafka_sys::types::RDKafkaType;
use wasmill_core::batch::Headers;

use super::client::{Callbacks, Undelivered, create};
use super::member::Member;
use super::rows::Rows;
use super::topic::Topic;

/// A producer and handles of the topics that it writes to.
pub(crate) struct Producer {
    topics: Vec<Topic>,
    client: Client<Callbacks>,
}

// SAFETY: librdkafka's handles may be used from any thread.
unsafe impl Send for Producer {}

/// A record on its way.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outgoing<'a> {
    /// Index of the topic in the producer's list.
    pub(crate) topic: usize,
    /// The partition.
    pub(crate) partition: i32,
    /// The key.
    pub(crate) key: Option<&'a [u8]>,
    /// The value.
    pub(crate) value: Option<&'a [u8]>,
    /// Encoded headers, as in a batch.
    pub(crate) headers: Option<&'a [u8]>,
    /// Milliseconds since 1970; 0 is the time of sending.
    pub(crate) timestamp: i64,
    /// Index of the tag whose end moves behind this record once it is delivered.
    pub(crate) tag: Option<usize>,
}

/// Why a transactional call failed, and what librdkafka says can be done.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    /// The error.
    pub(crate) code: RDKafkaErrorCode,
    /// The same call may be made again.
    pub(crate) retriable: bool,
    /// The transaction must be aborted, and the producer goes on.
    pub(crate) abort: bool,
    /// The producer cannot go on.
    pub(crate) fatal: bool,
    /// In words.
    pub(crate) reason: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl Producer {
    /// Makes a producer for topics, each with its compression; it is not initialized yet.
    pub(crate) fn new<'a>(
        config: &ClientConfig,
        topics: impl IntoIterator<Item = (&'a str, &'a str)>,
        tags: usize,
    ) -> KafkaResult<Self> {
        let client = create(RDKafkaType::RD_KAFKA_PRODUCER, config, Callbacks::with_tags(tags))?;
        let topics = topics
            .into_iter()
            .map(|(name, codec)| Topic::compressed(&client, name, codec))
            .collect::<KafkaResult<_>>()?;
        Ok(Self { topics, client })
    }

    /// Ends what transactions this id has open, and locks out whoever else has it.
    pub(crate) fn init(&self, wait: Duration) -> Result<(), Refused> {
        self.connect(wait);
        // SAFETY: the client is alive.
        outcome(unsafe { sys::rd_kafka_init_transactions(self.client.native_ptr(), millis(wait)) })
    }

    /// Waits until there is a connection, without which librdkafka looks for the transaction's coordinator once in 500 ms.
    fn connect(&self, wait: Duration) {
        // The answer to the first names the brokers, of which the second is asked: by then the one that was configured is let go.
        for _ in 0..2 {
            let mut metadata = ptr::null();
            // SAFETY: the client is alive, `metadata` is written to.
            let code = unsafe {
                sys::rd_kafka_metadata(self.client.native_ptr(), 0, ptr::null_mut(), &raw mut metadata, millis(wait))
            };
            let code = RDKafkaErrorCode::from(code);
            if code != RDKafkaErrorCode::NoError {
                tracing::debug!(%code, "connect a producer");
                return;
            }
            // SAFETY: the call succeeded, and its answer is ours to destroy, once.
            unsafe { sys::rd_kafka_metadata_destroy(metadata) };
        }
    }

    /// Forgets what was delivered before: what comes now is counted alone.
    pub(crate) fn restart(&self) {
        self.client.context().clear();
    }

    /// Begins a transaction.
    pub(crate) fn begin(&self) -> Result<(), Refused> {
        self.restart();
        // SAFETY: the client is alive.
        outcome(unsafe { sys::rd_kafka_begin_transaction(self.client.native_ptr()) })
    }

    /// Adds offsets of the member's group to the transaction.
    pub(crate) fn offsets(&self, offsets: &TopicPartitionList, by: &Member, wait: Duration) -> Result<(), Refused> {
        let client = self.client.native_ptr();
        // SAFETY: client, list and metadata are alive, the latter two are only read.
        outcome(unsafe { sys::rd_kafka_send_offsets_to_transaction(client, offsets.ptr(), by.as_ptr(), millis(wait)) })
    }

    /// Commits the transaction.
    pub(crate) fn commit(&self, wait: Duration) -> Result<(), Refused> {
        // SAFETY: the client is alive.
        outcome(unsafe { sys::rd_kafka_commit_transaction(self.client.native_ptr(), millis(wait)) })
    }

    /// Aborts the transaction; what was not sent is thrown away.
    pub(crate) fn abort(&self, wait: Duration) -> Result<(), Refused> {
        // SAFETY: the client is alive.
        outcome(unsafe { sys::rd_kafka_abort_transaction(self.client.native_ptr(), millis(wait)) })
    }

    /// Queues a record. The bytes are copied.
    pub(crate) fn send(&self, record: &Outgoing<'_>) -> Result<(), RDKafkaErrorCode> {
        let topic = self.topics.get(record.topic).ok_or(RDKafkaErrorCode::UnknownTopic)?;
        let ((key, key_length), (value, value_length)) = (parts(record.key), parts(record.value));
        let headers = record.headers.map_or(ptr::null_mut(), headers);
        let opaque = record.tag.map_or(0, |tag| tag + 1) as *mut c_void;
        // SAFETY: client and topic are alive, each tag is followed by arguments of the types that librdkafka reads for
        // it, key and value are copied during the call, and the headers are taken over only when it succeeds.
        let code = unsafe {
            sys::rd_kafka_producev(
                self.client.native_ptr(),
                vtype::RD_KAFKA_VTYPE_RKT,
                topic.as_ptr(),
                vtype::RD_KAFKA_VTYPE_PARTITION,
                record.partition,
                vtype::RD_KAFKA_VTYPE_MSGFLAGS,
                sys::RD_KAFKA_MSG_F_COPY,
                vtype::RD_KAFKA_VTYPE_KEY,
                key,
                key_length,
                vtype::RD_KAFKA_VTYPE_VALUE,
                value,
                value_length,
                vtype::RD_KAFKA_VTYPE_TIMESTAMP,
                record.timestamp,
                vtype::RD_KAFKA_VTYPE_OPAQUE,
                opaque,
                vtype::RD_KAFKA_VTYPE_HEADERS,
                headers,
                vtype::RD_KAFKA_VTYPE_END,
            )
        };
        let code = RDKafkaErrorCode::from(code);
        if code == RDKafkaErrorCode::NoError {
            self.client.context().pending.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        if !headers.is_null() {
            // SAFETY: a call that failed leaves the headers to us.
            unsafe { sys::rd_kafka_headers_destroy(headers) };
        }
        Err(code)
    }

    /// Queues rows from one of them on, or says how many it could before one was refused, and why. The bytes are copied.
    pub(crate) fn send_rows(&self, rows: &Rows, from: usize) -> Result<(), (usize, RDKafkaErrorCode)> {
        let topic = self.topics.get(rows.topic).ok_or((0, RDKafkaErrorCode::UnknownTopic))?;
        let opaque = rows.tag.map_or(0, |tag| tag + 1) as *mut c_void;
        let mut messages: Vec<_> = rows.messages(opaque).skip(from).collect();
        let count = messages.len();
        // SAFETY: the topic is alive, and so are the messages and what they point to, which is copied during the call.
        let queued = unsafe {
            sys::rd_kafka_produce_batch(
                topic.as_ptr(),
                rows.partition,
                sys::RD_KAFKA_MSG_F_COPY,
                messages.as_mut_ptr(),
                count as i32,
            )
        };
        self.client.context().pending.fetch_add(i64::from(queued), Ordering::Relaxed);
        let refused =
            messages.iter().position(|message| RDKafkaErrorCode::from(message.err) != RDKafkaErrorCode::NoError);
        refused.map_or(Ok(()), |at| Err((at, messages[at].err.into())))
    }

    /// Serves delivery reports, logs and errors, waiting for the first at most `wait`.
    pub(crate) fn poll(&self, wait: Duration) {
        // SAFETY: the client is alive.
        unsafe { sys::rd_kafka_poll(self.client.native_ptr(), millis(wait)) };
    }

    /// Waits until every record that was sent is reported, delivered or not; `false` if that takes longer.
    pub(crate) fn flush(&self, wait: Duration) -> bool {
        // SAFETY: the client is alive.
        let code = unsafe { sys::rd_kafka_flush(self.client.native_ptr(), millis(wait)) };
        code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && self.pending() == 0
    }

    /// Records that were sent and are not reported yet.
    pub(crate) fn pending(&self) -> i64 {
        self.client.context().pending.load(Ordering::Relaxed)
    }

    /// The first record of this transaction that was not delivered.
    pub(crate) fn undelivered(&self) -> Option<Undelivered> {
        self.client.context().undelivered()
    }

    /// Of each tag that something was delivered for in this transaction, the offset behind the last.
    pub(crate) fn ends(&self) -> impl Iterator<Item = (usize, i64)> {
        let ends = self.client.context().ends.iter();
        ends.map(|end| end.load(Ordering::Relaxed)).enumerate().filter(|&(_, end)| end >= 0)
    }

    /// What the client last reported of itself.
    pub(crate) fn last_error(&self) -> Option<String> {
        self.client.context().last_error()
    }
}

pub(super) fn parts(bytes: Option<&[u8]>) -> (*const u8, usize) {
    bytes.map_or((ptr::null(), 0), |bytes| (bytes.as_ptr(), bytes.len()))
}

fn headers(encoded: &[u8]) -> *mut sys::rd_kafka_headers_t {
    // SAFETY: the new headers are handed to the caller; names and values are copied with the lengths given.
    unsafe {
        let headers = sys::rd_kafka_headers_new(4);
        for (name, value) in Headers::new(encoded) {
            let (value, length) = parts(value);
            let name_length = name.len() as isize;
            sys::rd_kafka_header_add(headers, name.as_ptr().cast(), name_length, value.cast(), length as isize);
        }
        headers
    }
}

fn millis(wait: Duration) -> i32 {
    i32::try_from(wait.as_millis()).unwrap_or(i32::MAX)
}

fn outcome(error: *mut sys::rd_kafka_error_t) -> Result<(), Refused> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: the error is not null, ours, and destroyed once; its string lives until then.
    unsafe {
        let refused = Refused {
            code: sys::rd_kafka_error_code(error).into(),
            retriable: sys::rd_kafka_error_is_retriable(error) != 0,
            abort: sys::rd_kafka_error_txn_requires_abort(error) != 0,
            fatal: sys::rd_kafka_error_is_fatal(error) != 0,
            reason: CStr::from_ptr(sys::rd_kafka_error_string(error)).to_string_lossy().into_owned(),
        };
        sys::rd_kafka_error_destroy(error);
        Err(refused)
    }
}
