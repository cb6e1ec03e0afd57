//! Handles of topics.

use std::ffi::{CStr, CString};
use std::ptr::{self, NonNull};

use rdkafka::client::Client;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka_sys as sys;

use super::client::Callbacks;

/// A handle of a topic, to be dropped before its client. librdkafka looks a topic up at once when a handle is made and the
/// topic is new to the client, which it is no more once a partition of it is assigned.
pub(super) struct Topic(NonNull<sys::rd_kafka_topic_t>);

impl Drop for Topic {
    fn drop(&mut self) {
        // SAFETY: the handle is ours and given back once, before its client is destroyed.
        unsafe { sys::rd_kafka_topic_destroy(self.0.as_ptr()) }
    }
}

impl Topic {
    /// A topic, with the client's settings.
    pub(super) fn open(client: &Client<Callbacks>, name: &str) -> KafkaResult<Self> {
        // SAFETY: null stands for the client's own settings.
        unsafe { Self::with(client, &CString::new(name)?, ptr::null_mut()) }
    }

    /// A topic that is written to with a compression.
    pub(super) fn compressed(client: &Client<Callbacks>, name: &str, codec: &str) -> KafkaResult<Self> {
        let (native, codec) = (CString::new(name)?, CString::new(codec)?);
        // SAFETY: the client is alive; the configuration is ours until it is destroyed or handed over, once.
        unsafe {
            let conf = sys::rd_kafka_default_topic_conf_dup(client.native_ptr());
            let option = c"compression.codec".as_ptr();
            let set = sys::rd_kafka_topic_conf_set(conf, option, codec.as_ptr(), ptr::null_mut(), 0);
            if set != sys::rd_kafka_conf_res_t::RD_KAFKA_CONF_OK {
                sys::rd_kafka_topic_conf_destroy(conf);
                return Err(KafkaError::ClientCreation(format!("no compression {codec:?} for topic {name}")));
            }
            Self::with(client, &native, conf)
        }
    }

    /// # Safety
    ///
    /// `conf` is null or a configuration of topics, which is taken over.
    unsafe fn with(
        client: &Client<Callbacks>,
        name: &CStr,
        conf: *mut sys::rd_kafka_topic_conf_t,
    ) -> KafkaResult<Self> {
        // SAFETY: the client is alive; the call takes `conf` over, also when it fails.
        let topic = unsafe { sys::rd_kafka_topic_new(client.native_ptr(), name.as_ptr(), conf) };
        NonNull::new(topic).map(Self).ok_or_else(|| KafkaError::ClientCreation(format!("no handle of topic {name:?}")))
    }

    /// The handle, alive as long as this is.
    pub(super) fn as_ptr(&self) -> *mut sys::rd_kafka_topic_t {
        self.0.as_ptr()
    }
}
