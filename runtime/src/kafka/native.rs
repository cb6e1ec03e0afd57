//! The calls of librdkafka that the rdkafka crate does not have, or has slower: consuming in batches, producing with
//! topic handles, delivery reports counted in place, the native commit. All `unsafe` code towards Kafka is below here,
//! behind safe types whose fields are dropped in the order that librdkafka needs: messages, queues and topic handles
//! before their client, or destroying the client hangs.

pub(super) mod client;
pub(super) mod consumer;
pub(super) mod describe;
pub(super) mod member;
pub(super) mod producer;
pub(super) mod rows;
mod topic;
