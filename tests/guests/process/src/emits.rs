//! Guests whose output cannot be.

use crate::wasmill::plugin::output;
use crate::wasmill::plugin::types::{Batch, Error, KeyedOutcome};
use crate::{Call, nothing};

pub fn one(port: u32, spans: &[i32], data: &[u8]) {
    output::emit(port, &Batch { timestamps: vec![0], spans: spans.into(), data: data.into() }, &[0]);
}

/// Emits a record with an event time.
pub fn at(time: i64) -> Result<KeyedOutcome, Error> {
    output::emit(0, &Batch { timestamps: vec![time], spans: [0, -1].repeat(3), data: vec![] }, &[0]);
    nothing()
}

pub fn forges() -> Result<KeyedOutcome, Error> {
    one(0, &[0, -1, 1, 3, 0, -1], b"abc");
    nothing()
}

pub fn forges_input(call: &Call) -> Result<KeyedOutcome, Error> {
    one(0, &[i32::MIN, call.records.data.len() as i32 + 1, 0, -1, 0, -1], b"");
    nothing()
}

pub fn forges_headers() -> Result<KeyedOutcome, Error> {
    one(0, &[0, -1, 0, -1, 0, 5], b"\x01\0\0\0\0");
    nothing()
}

pub fn strays() -> Result<KeyedOutcome, Error> {
    one(7, &[0, -1, 0, -1, 0, -1], b"");
    nothing()
}

pub fn swells() -> Result<KeyedOutcome, Error> {
    one(0, &[0, -1, 0, 2_000_000, 0, -1], &vec![b'x'; 2_000_000]);
    nothing()
}

pub fn floods() -> Result<KeyedOutcome, Error> {
    let data = vec![b'x'; 900_000];
    (0..100).for_each(|_| one(0, &[0, -1, 0, 900_000, 0, -1], &data));
    nothing()
}

pub fn turns_back(call: &Call) -> Result<KeyedOutcome, Error> {
    let last = call.len() as u32 - 1;
    let records = Batch { timestamps: vec![0, 0], spans: [0, -1].repeat(6), data: vec![] };
    output::emit(0, &records, &[last, 0]);
    nothing()
}
