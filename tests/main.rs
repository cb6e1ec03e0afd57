//! Tests of the whole system: real plugins, real Apache Kafka, the built binary.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod support;

mod bad_input_is_told;
mod examples_do_what_they_say;
mod kafka_ports;
mod killed_processes_repeat_nothing;
