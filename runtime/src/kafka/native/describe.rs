//! What brokers say of topics and groups: the ids of topics, which tell a topic from an earlier one of the same name, and
//! what the members of a group were given.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char};
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
    let what = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
    // SAFETY: `ask` gives what is alive; the collection is ours and destroyed once; the names are copied into it.
    let call = |rk, options, queue| unsafe {
        let collection = sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        sys::rd_kafka_DescribeTopics(rk, collection, options, queue);
        sys::rd_kafka_TopicCollection_destroy(collection);
    };
    // SAFETY: the call enqueues one event, which `read_topics` reads.
    unsafe { ask(client, what, wait, call, |event| read_topics(event)) }
}

/// `event` is alive.
unsafe fn read_topics(event: *mut sys::rd_kafka_event_t) -> KafkaResult<HashMap<String, String>> {
    // SAFETY: the event is alive, and so is all that belongs to it.
    unsafe {
        let result = sys::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return Err(KafkaError::AdminOp(RDKafkaErrorCode::InvalidType));
        }
        let mut count = 0;
        let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        let mut ids = HashMap::new();
        for index in 0..count {
            let topic = *topics.add(index);
            if checked(sys::rd_kafka_TopicDescription_error(topic)).is_ok() {
                let name = text(sys::rd_kafka_TopicDescription_name(topic));
                let id = sys::rd_kafka_Uuid_base64str(sys::rd_kafka_TopicDescription_topic_id(topic));
                ids.insert(name, text(id));
            }
        }
        Ok(ids)
    }
}

/// A member of a consumer group.
#[derive(Debug)]
pub(crate) struct GroupMember {
    pub(crate) id: String,
    /// The topics and partitions that it was given in the group's generation.
    pub(crate) assignment: Vec<(String, i32)>,
}

/// Asks for the members of a consumer group and what each was given; `None` while it rebalances, or if it has none.
pub(crate) fn group_members<C: ClientContext>(
    client: &Client<C>,
    group: &str,
    wait: Duration,
) -> KafkaResult<Option<Vec<GroupMember>>> {
    let name = CString::new(group)?;
    let what = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
    // SAFETY: `ask` gives what is alive; the name is copied.
    let call = |rk, options, queue| unsafe {
        sys::rd_kafka_DescribeConsumerGroups(rk, [name.as_ptr()].as_mut_ptr(), 1, options, queue);
    };
    // SAFETY: the call enqueues one event, which `read_group` reads.
    unsafe { ask(client, what, wait, call, |event| read_group(event)) }
}

/// `event` is alive.
unsafe fn read_group(event: *mut sys::rd_kafka_event_t) -> KafkaResult<Option<Vec<GroupMember>>> {
    // SAFETY: the event is alive, and so is all that belongs to it.
    unsafe {
        let result = sys::rd_kafka_event_DescribeConsumerGroups_result(event);
        if result.is_null() {
            return Err(KafkaError::AdminOp(RDKafkaErrorCode::InvalidType));
        }
        let mut count = 0;
        let groups = sys::rd_kafka_DescribeConsumerGroups_result_groups(result, &raw mut count);
        if count == 0 {
            return Ok(None);
        }
        let group = *groups;
        checked(sys::rd_kafka_ConsumerGroupDescription_error(group))?;
        let stable = sys::rd_kafka_consumer_group_state_t::RD_KAFKA_CONSUMER_GROUP_STATE_STABLE;
        if sys::rd_kafka_ConsumerGroupDescription_state(group) != stable {
            return Ok(None);
        }
        let members = 0..sys::rd_kafka_ConsumerGroupDescription_member_count(group);
        let members = members.map(|index| read_member(sys::rd_kafka_ConsumerGroupDescription_member(group, index)));
        Ok(Some(members.collect()))
    }
}

/// `member` is alive.
unsafe fn read_member(member: *const sys::rd_kafka_MemberDescription_t) -> GroupMember {
    // SAFETY: the member is alive, and so is all that belongs to it; the list is null or has `cnt` elements.
    unsafe {
        let id = text(sys::rd_kafka_MemberDescription_consumer_id(member));
        let list = sys::rd_kafka_MemberAssignment_partitions(sys::rd_kafka_MemberDescription_assignment(member));
        let Some(list) = list.as_ref().filter(|list| list.cnt > 0) else {
            return GroupMember { id, assignment: Vec::new() };
        };
        let elements = std::slice::from_raw_parts(list.elems, list.cnt as usize);
        let assignment = elements.iter().map(|element| (text(element.topic), element.partition));
        GroupMember { id, assignment: assignment.collect() }
    }
}

/// Asks the brokers, and reads the event that they answer with.
///
/// # Safety
///
/// `call` enqueues one event, of the kind that `read` reads.
unsafe fn ask<C: ClientContext, T>(
    client: &Client<C>,
    what: sys::rd_kafka_admin_op_t,
    wait: Duration,
    call: impl FnOnce(*mut sys::rd_kafka_t, *const sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t),
    read: impl FnOnce(*mut sys::rd_kafka_event_t) -> KafkaResult<T>,
) -> KafkaResult<T> {
    let wait = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
    let rk = client.native_ptr();
    // SAFETY: the client is alive; options, queue and event are ours, alive while they are used, and destroyed once.
    unsafe {
        let options = sys::rd_kafka_AdminOptions_new(rk, what);
        sys::rd_kafka_AdminOptions_set_request_timeout(options, wait, ptr::null_mut(), 0);
        let queue = sys::rd_kafka_queue_new(rk);
        call(rk, options, queue);
        // The request times out by itself, so its answer is waited for.
        let event = sys::rd_kafka_queue_poll(queue, -1);
        let code =
            if event.is_null() { RDKafkaErrorCode::OperationTimedOut } else { sys::rd_kafka_event_error(event).into() };
        let answer = if code == RDKafkaErrorCode::NoError { read(event) } else { Err(KafkaError::AdminOp(code)) };
        sys::rd_kafka_event_destroy(event);
        sys::rd_kafka_queue_destroy(queue);
        sys::rd_kafka_AdminOptions_destroy(options);
        answer
    }
}

/// `error` is alive or null, which is none.
unsafe fn checked(error: *const sys::rd_kafka_error_t) -> KafkaResult<()> {
    // SAFETY: the error is alive or null.
    let code = RDKafkaErrorCode::from(unsafe { sys::rd_kafka_error_code(error) });
    if code == RDKafkaErrorCode::NoError { Ok(()) } else { Err(KafkaError::AdminOp(code)) }
}

/// `text` is a C string.
unsafe fn text(text: *const c_char) -> String {
    // SAFETY: it is a C string.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
