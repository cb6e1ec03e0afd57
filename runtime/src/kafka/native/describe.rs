//! Ids of topics, which tell a topic from an earlier one of the same name.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::ptr;
use std::time::Duration;

use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka_sys as sys;

/// Asks for the ids of topics. Topics that do not exist are left out.
pub(crate) fn topic_ids<C: ClientContext>(
    client: &Client<C>,
    topics: &[&str],
    wait: Duration,
) -> KafkaResult<HashMap<String, String>> {
    let names = topics.iter().map(|&name| CString::new(name)).collect::<Result<Vec<_>, _>>()?;
    let mut pointers: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
    let wait = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
    let rk = client.native_ptr();
    // SAFETY: the client is alive; collection, options, queue and event are ours, alive while they are used, and
    // destroyed once; the names are copied by `TopicCollection_of_topic_names`.
    unsafe {
        let collection = sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        let options = sys::rd_kafka_AdminOptions_new(rk, sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
        sys::rd_kafka_AdminOptions_set_request_timeout(options, wait, ptr::null_mut(), 0);
        let queue = sys::rd_kafka_queue_new(rk);
        sys::rd_kafka_DescribeTopics(rk, collection, options, queue);
        // The request times out by itself, so its answer is waited for.
        let event = sys::rd_kafka_queue_poll(queue, -1);
        let answer = read(event);
        sys::rd_kafka_event_destroy(event);
        sys::rd_kafka_queue_destroy(queue);
        sys::rd_kafka_AdminOptions_destroy(options);
        sys::rd_kafka_TopicCollection_destroy(collection);
        answer
    }
}

/// `event` is alive or null.
unsafe fn read(event: *mut sys::rd_kafka_event_t) -> KafkaResult<HashMap<String, String>> {
    // SAFETY: the event is alive, and so is all that belongs to it.
    unsafe {
        let code = RDKafkaErrorCode::from(sys::rd_kafka_event_error(event));
        if code != RDKafkaErrorCode::NoError {
            return Err(KafkaError::AdminOp(code));
        }
        let result = sys::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return Err(KafkaError::AdminOp(RDKafkaErrorCode::InvalidType));
        }
        let mut count = 0;
        let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        let mut ids = HashMap::new();
        for index in 0..count {
            let topic = *topics.add(index);
            let code = sys::rd_kafka_error_code(sys::rd_kafka_TopicDescription_error(topic));
            if RDKafkaErrorCode::from(code) == RDKafkaErrorCode::NoError {
                let name = CStr::from_ptr(sys::rd_kafka_TopicDescription_name(topic));
                let id = CStr::from_ptr(sys::rd_kafka_Uuid_base64str(sys::rd_kafka_TopicDescription_topic_id(topic)));
                ids.insert(name.to_string_lossy().into_owned(), id.to_string_lossy().into_owned());
            }
        }
        Ok(ids)
    }
}
