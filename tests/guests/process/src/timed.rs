//! A guest that sets timers, of which some are duds.

use crate::wasmill::plugin::timers::Domain;
use crate::wasmill::plugin::types::{Batch, Error, KeyedOutcome};
use crate::wasmill::plugin::{output, timers};
use crate::{Call, nothing, takes};

/// Sets a timer for each key, and another one for those of a record whose value is `poison`. Both are due at once.
pub fn arms(call: &Call) -> Result<KeyedOutcome, Error> {
    for record in 0..call.len() {
        let name = if call.value(record) == b"poison" { "dud" } else { "good" };
        timers::set(Domain::ProcessingTime, call.key(record), name.as_bytes(), 0);
    }
    nothing()
}

/// Sets a timer for each key that will not be due, and takes it back for a record whose value is `poison`.
pub fn arms_and_disarms(call: &Call) -> Result<KeyedOutcome, Error> {
    for record in 0..call.len() {
        match call.value(record) {
            b"poison" => timers::cancel(Domain::EventTime, call.key(record), b"far"),
            _ => timers::set(Domain::EventTime, call.key(record), b"far", i64::MAX - 1),
        }
    }
    nothing()
}

/// How much later than its record a reminder is due, in milliseconds.
const LATER: i64 = 500;

/// Emits each record, and sets a timer of its key that has its value as name.
pub fn reminds(call: &Call) -> Result<KeyedOutcome, Error> {
    for (record, time) in call.records.timestamps.iter().enumerate() {
        timers::set(Domain::EventTime, call.key(record), call.value(record), time + LATER);
    }
    output::emit(0, &kept(call), &[]);
    nothing()
}

/// Emits the key and name of each timer; a dud traps.
pub fn fires(timers: &Call) -> Result<KeyedOutcome, Error> {
    if timers.find("dud").is_some() {
        takes::traps()
    }
    output::emit(0, &kept(timers), &[]);
    nothing()
}

/// Keys and values as they are.
fn kept(call: &Call) -> Batch {
    let kept = |span: &[i32]| [span[0] | i32::MIN, span[1]];
    let spans = call.records.spans.chunks_exact(6);
    let spans = spans.flat_map(|spans| [kept(&spans[..2]), kept(&spans[2..4]), [0, -1]].concat());
    Batch { timestamps: call.records.timestamps.clone(), spans: spans.collect(), data: vec![] }
}
