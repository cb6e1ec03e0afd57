//! What a group consumer proves its membership with.

use std::ffi::CStr;
use std::ptr::NonNull;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka_sys as sys;

/// The metadata of a group consumer at one moment.
pub(crate) struct Member(NonNull<sys::rd_kafka_consumer_group_metadata_t>);

// SAFETY: the metadata is a plain copy that nothing else refers to.
unsafe impl Send for Member {}

impl Drop for Member {
    fn drop(&mut self) {
        // SAFETY: the metadata is ours and destroyed once.
        unsafe { sys::rd_kafka_consumer_group_metadata_destroy(self.0.as_ptr()) }
    }
}

impl Member {
    /// Takes the metadata of a consumer as it is now; `None` if it is no member.
    pub(crate) fn of<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> Option<Self> {
        // SAFETY: the consumer is alive; the answer is null or ours.
        let metadata = unsafe { sys::rd_kafka_consumer_group_metadata(consumer.client().native_ptr()) };
        let member = Self(NonNull::new(metadata)?);
        (member.generation() >= 0 && !member.id().is_empty()).then_some(member)
    }

    /// The generation of the group that this is a member of.
    pub(crate) fn generation(&self) -> i32 {
        // SAFETY: the metadata is alive.
        unsafe { sys::rd_kafka_consumer_group_metadata_generation_id(self.0.as_ptr()) }
    }

    /// Its id, which the broker gave it.
    pub(crate) fn id(&self) -> &str {
        // SAFETY: the metadata is alive, and the id is null or a C string in it.
        unsafe {
            let id = sys::rd_kafka_consumer_group_metadata_member_id(self.0.as_ptr());
            if id.is_null() { "" } else { CStr::from_ptr(id).to_str().unwrap_or_default() }
        }
    }

    /// For librdkafka, as long as `self` lives.
    pub(super) fn as_ptr(&self) -> *const sys::rd_kafka_consumer_group_metadata_t {
        self.0.as_ptr()
    }
}
