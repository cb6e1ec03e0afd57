//! A consumer of partitions that are assigned by hand, read in batches.

use std::collections::{HashMap, VecDeque};
use std::ffi::CStr;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::slice;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::client::Client;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka_sys as sys;
use rdkafka_sys::types::RDKafkaType;

use super::client::{Callbacks, create};
use super::topic::Topic;

/// Messages taken from librdkafka at once.
const BATCH: usize = 1_024;

/// A consumer and the messages that were taken from it.
pub(crate) struct Consumer {
    taken: VecDeque<Taken>,
    queue: Queue,
    topics: HashMap<String, Topic>,
    client: Client<Callbacks>,
}

struct Taken(NonNull<sys::rd_kafka_message_t>);

impl Drop for Taken {
    fn drop(&mut self) {
        // SAFETY: the message was handed to us and is destroyed once.
        unsafe { sys::rd_kafka_message_destroy(self.0.as_ptr()) }
    }
}

struct Queue(NonNull<sys::rd_kafka_queue_t>);

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the reference to the queue is ours and given back once.
        unsafe { sys::rd_kafka_queue_destroy(self.0.as_ptr()) }
    }
}

// SAFETY: librdkafka's handles may be used from any thread; everything that changes `Consumer` takes `&mut self`.
unsafe impl Send for Consumer {}

impl Consumer {
    /// Makes a consumer. The configuration must have a `group.id`, although it never joins the group.
    pub(crate) fn new(config: &ClientConfig) -> KafkaResult<Self> {
        let client = create(RDKafkaType::RD_KAFKA_CONSUMER, config, Callbacks::default())?;
        // SAFETY: the client is alive; the answer is a new reference or null.
        let queue = NonNull::new(unsafe { sys::rd_kafka_queue_get_consumer(client.native_ptr()) })
            .ok_or_else(|| KafkaError::ClientCreation("a consumer needs a group.id".into()))?;
        Ok(Self { taken: VecDeque::new(), queue: Queue(queue), topics: HashMap::new(), client })
    }

    /// The client, to ask for metadata and offsets.
    pub(crate) fn client(&self) -> &Client<Callbacks> {
        &self.client
    }

    /// Reads these partitions too, from the offsets given.
    pub(crate) fn assign(&mut self, partitions: &TopicPartitionList) -> KafkaResult<()> {
        for partition in partitions.elements() {
            self.look_up(partition.topic())?;
        }
        // SAFETY: client and list are alive; the list is only read.
        outcome(unsafe { sys::rd_kafka_incremental_assign(self.client.native_ptr(), partitions.ptr()) })
    }

    /// Has librdkafka look up a topic that is new to it: of its own it does so once a second only.
    fn look_up(&mut self, topic: &str) -> KafkaResult<()> {
        if !self.topics.contains_key(topic) {
            self.topics.insert(topic.to_owned(), Topic::open(&self.client, topic)?);
        }
        Ok(())
    }

    /// No longer reads these partitions; nothing of them that was fetched is handed out any more.
    pub(crate) fn unassign(&mut self, partitions: &TopicPartitionList) -> KafkaResult<()> {
        // SAFETY: client and list are alive; the list is only read.
        outcome(unsafe { sys::rd_kafka_incremental_unassign(self.client.native_ptr(), partitions.ptr()) })?;
        self.taken.retain(|taken| {
            let message = Message { raw: taken.raw() };
            partitions.find_partition(message.topic(), message.partition()).is_none()
        });
        Ok(())
    }

    /// Waits until there is a message, at most `wait`; serves logs and errors.
    pub(crate) fn fill(&mut self, wait: Duration) -> bool {
        if !self.taken.is_empty() {
            return true;
        }
        // SAFETY: the client is alive.
        unsafe { sys::rd_kafka_poll(self.client.native_ptr(), 0) };
        // A call waits until it has as many as were asked for, so one is waited for, and the rest is what is there.
        if self.take(Duration::ZERO, BATCH) == 0 && !wait.is_zero() && self.take(wait, 1) == 1 {
            self.take(Duration::ZERO, BATCH - 1);
        }
        !self.taken.is_empty()
    }

    fn take(&mut self, wait: Duration, most: usize) -> usize {
        let mut batch = [ptr::null_mut(); BATCH];
        let wait = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the queue is alive, and `batch` has room for `most` of at most `BATCH` pointers.
        let count = unsafe {
            sys::rd_kafka_consume_batch_queue(self.queue.0.as_ptr(), wait, batch.as_mut_ptr(), most.min(BATCH))
        };
        let count = usize::try_from(count).unwrap_or(0);
        self.taken.extend(batch.iter().take(count).filter_map(|&message| NonNull::new(message)).map(Taken));
        count
    }

    /// The first message that was taken.
    pub(crate) fn first(&self) -> Option<Message<'_>> {
        self.taken.front().map(|taken| Message { raw: taken.raw() })
    }

    /// Drops the first message.
    pub(crate) fn pop(&mut self) {
        self.taken.pop_front();
    }
}

impl Taken {
    fn raw(&self) -> &sys::rd_kafka_message_t {
        // SAFETY: the message is alive until `self` is dropped, and nobody writes to it.
        unsafe { self.0.as_ref() }
    }
}

fn outcome(error: *mut sys::rd_kafka_error_t) -> KafkaResult<()> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: the error is not null, ours, and destroyed once; its string lives until then.
    let text = unsafe {
        let text = CStr::from_ptr(sys::rd_kafka_error_string(error)).to_string_lossy().into_owned();
        sys::rd_kafka_error_destroy(error);
        text
    };
    Err(KafkaError::Subscription(text))
}

/// A record, an end of a partition, or an error.
#[derive(Clone, Copy)]
pub(crate) struct Message<'a> {
    raw: &'a sys::rd_kafka_message_t,
}

impl<'a> Message<'a> {
    /// Why this is no record.
    pub(crate) fn error(self) -> Option<RDKafkaErrorCode> {
        let code = RDKafkaErrorCode::from(self.raw.err);
        (code != RDKafkaErrorCode::NoError).then_some(code)
    }

    /// The error in words.
    pub(crate) fn reason(self) -> String {
        // SAFETY: the message is alive; the answer is null or a C string that lives as long.
        let text = unsafe { sys::rd_kafka_message_errstr(self.raw) };
        if text.is_null() {
            return String::new();
        }
        // SAFETY: as above.
        unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
    }

    /// The topic; empty for an error of no topic.
    pub(crate) fn topic(self) -> &'a str {
        if self.raw.rkt.is_null() {
            return "";
        }
        // SAFETY: the message keeps its topic alive, and the name is a C string.
        unsafe { CStr::from_ptr(sys::rd_kafka_topic_name(self.raw.rkt)) }.to_str().unwrap_or_default()
    }

    /// What tells the topic from others as long as a message of it is held.
    pub(crate) fn topic_handle(self) -> usize {
        self.raw.rkt as usize
    }

    /// The partition.
    pub(crate) fn partition(self) -> i32 {
        self.raw.partition
    }

    /// The offset of the record, or where the partition ends.
    pub(crate) fn offset(self) -> i64 {
        self.raw.offset
    }

    /// The record's key.
    pub(crate) fn key(self) -> Option<&'a [u8]> {
        // SAFETY: the key belongs to the message, which lives for `'a`.
        unsafe { bytes(self.raw.key.cast(), self.raw.key_len) }
    }

    /// The record's value.
    pub(crate) fn value(self) -> Option<&'a [u8]> {
        // SAFETY: the value belongs to the message, which lives for `'a`.
        unsafe { bytes(self.raw.payload.cast(), self.raw.len) }
    }

    /// Milliseconds since 1970; `None` where the record has no time.
    pub(crate) fn timestamp(self) -> Option<i64> {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is alive, `kind` is written to.
        let millis = unsafe { sys::rd_kafka_message_timestamp(self.raw, &raw mut kind) };
        (kind != sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE).then_some(millis)
    }

    /// The record's headers, in order.
    pub(crate) fn headers(self) -> Option<MessageHeaders<'a>> {
        let mut headers = ptr::null_mut();
        // SAFETY: the message is alive, `headers` is written to; what it points to belongs to the message.
        let code = unsafe { sys::rd_kafka_message_headers(self.raw, &raw mut headers) };
        let there = code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && !headers.is_null();
        there.then_some(MessageHeaders { headers, next: 0, message: PhantomData })
    }
}

/// `start` is null, or points to `length` bytes that live for `'a`.
unsafe fn bytes<'a>(start: *const u8, length: usize) -> Option<&'a [u8]> {
    // SAFETY: as promised by the caller.
    (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start, length) })
}

/// Headers of a message.
#[derive(Clone)]
pub(crate) struct MessageHeaders<'a> {
    headers: *mut sys::rd_kafka_headers_t,
    next: usize,
    message: PhantomData<Message<'a>>,
}

impl<'a> Iterator for MessageHeaders<'a> {
    type Item = (&'a str, Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        let (mut name, mut value, mut length) = (ptr::null(), ptr::null(), 0);
        // SAFETY: the headers belong to a message that lives for `'a`; the answers are written to locals.
        let code = unsafe {
            sys::rd_kafka_header_get_all(self.headers, self.next, &raw mut name, &raw mut value, &raw mut length)
        };
        if code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        self.next += 1;
        // SAFETY: name (a C string) and value belong to the message, which lives for `'a`.
        let (name, value) = unsafe { (CStr::from_ptr(name), bytes(value.cast(), length)) };
        Some((name.to_str().unwrap_or("\u{fffd}"), value))
    }
}
