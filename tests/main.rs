//! Tests of the whole system.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod support;

mod kafka_ports;
