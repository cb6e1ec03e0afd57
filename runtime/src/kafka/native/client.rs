//! Clients whose callbacks run on the thread that polls them.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::client::Client;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use rdkafka_sys as sys;
use rdkafka_sys::types::RDKafkaType;

use crate::kafka::client::log_line;

/// What librdkafka told through callbacks.
#[derive(Debug, Default)]
pub(crate) struct Callbacks {
    /// Messages sent and not yet reported.
    pub(super) pending: AtomicI64,
    /// Behind the last delivered offset of each tag; -1: nothing since they were cleared.
    pub(super) ends: Box<[AtomicI64]>,
    failed: Mutex<Option<Undelivered>>,
    error: Mutex<Option<String>>,
}

/// The first message that was not delivered.
#[derive(Clone, Debug)]
pub(crate) struct Undelivered {
    /// Why.
    pub(crate) code: RDKafkaErrorCode,
    /// Where it was to go.
    pub(crate) place: String,
}

impl Callbacks {
    pub(super) fn with_tags(tags: usize) -> Self {
        Self { ends: (0..tags).map(|_| AtomicI64::new(-1)).collect(), ..Self::default() }
    }

    /// The first message since the last [`Callbacks::clear`] that was not delivered.
    pub(crate) fn undelivered(&self) -> Option<Undelivered> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The last error that the client reported of itself, as a rule a broker that cannot be reached.
    pub(crate) fn last_error(&self) -> Option<String> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets what was delivered and what was not.
    pub(super) fn clear(&self) {
        self.ends.iter().for_each(|end| end.store(-1, Ordering::Relaxed));
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn report(&self, message: &sys::rd_kafka_message_t) {
        self.pending.fetch_sub(1, Ordering::Relaxed);
        let code = RDKafkaErrorCode::from(message.err);
        if code == RDKafkaErrorCode::NoError {
            if let Some(end) = (message._private as usize).checked_sub(1).and_then(|tag| self.ends.get(tag)) {
                end.fetch_max(message.offset + 1, Ordering::Relaxed);
            }
            return;
        }
        // SAFETY: librdkafka keeps the topic of a message alive while the message is, and its name is a C string.
        let topic = unsafe { CStr::from_ptr(sys::rd_kafka_topic_name(message.rkt)) }.to_string_lossy();
        let place = format!("{topic}/{}", message.partition);
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.get_or_insert(Undelivered { code, place });
    }
}

impl ClientContext for Callbacks {}

/// Makes a client that answers to [`Callbacks`].
pub(super) fn create(kind: RDKafkaType, config: &ClientConfig, callbacks: Callbacks) -> KafkaResult<Client<Callbacks>> {
    let native = config.create_native_config()?;
    // SAFETY: `native` is a valid configuration; the callbacks take the opaque pointer for the `Callbacks` that
    // `Client::new` sets it to, which live until the client is destroyed.
    unsafe {
        sys::rd_kafka_conf_set_log_cb(native.ptr(), Some(log));
        sys::rd_kafka_conf_set_error_cb(native.ptr(), Some(error));
        if matches!(kind, RDKafkaType::RD_KAFKA_PRODUCER) {
            sys::rd_kafka_conf_set_dr_msg_cb(native.ptr(), Some(delivered));
        }
    }
    Client::new(config, native, kind, callbacks)
}

unsafe extern "C" fn log(_: *const sys::rd_kafka_t, level: c_int, facility: *const c_char, line: *const c_char) {
    // SAFETY: librdkafka passes C strings that live for the call.
    let (facility, line) = unsafe { (CStr::from_ptr(facility), CStr::from_ptr(line)) };
    let level = match level {
        ..=2 => RDKafkaLogLevel::Critical,
        3 => RDKafkaLogLevel::Error,
        4 => RDKafkaLogLevel::Warning,
        5 | 6 => RDKafkaLogLevel::Info,
        _ => RDKafkaLogLevel::Debug,
    };
    log_line(level, &facility.to_string_lossy(), &line.to_string_lossy());
}

unsafe extern "C" fn error(_: *mut sys::rd_kafka_t, _code: c_int, reason: *const c_char, opaque: *mut c_void) {
    // SAFETY: `opaque` is the client's `Callbacks`, see `create`; `reason` is a C string that lives for the call.
    let (callbacks, reason) = unsafe { (&*opaque.cast::<Callbacks>(), CStr::from_ptr(reason)) };
    let reason = reason.to_string_lossy().into_owned();
    *callbacks.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
}

unsafe extern "C" fn delivered(_: *mut sys::rd_kafka_t, message: *const sys::rd_kafka_message_t, opaque: *mut c_void) {
    // SAFETY: `opaque` is the client's `Callbacks`, see `create`; `message` lives for the call.
    let (callbacks, message) = unsafe { (&*opaque.cast::<Callbacks>(), &*message) };
    callbacks.report(message);
}
