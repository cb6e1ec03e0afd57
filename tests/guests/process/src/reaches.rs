//! Guests that reach for what is not theirs, and one that may.

use crate::wasmill::plugin::timers::Domain;
use crate::wasmill::plugin::types::{Blobs, Error, KeyedOutcome};
use crate::wasmill::plugin::{metrics, origin, state, timers};
use crate::{Call, DOES, nothing, returns};

pub fn state(state: u32, key: &[u8]) {
    state::get(state, key, b"");
}

pub fn trespasses() -> Result<KeyedOutcome, Error> {
    state(1, b"somebody else's");
    nothing()
}

pub fn peeks(call: &Call) -> Result<KeyedOutcome, Error> {
    state(0, call.key(0));
    nothing()
}

pub fn invents(call: &Call) -> Result<KeyedOutcome, Error> {
    state(9, call.key(0));
    nothing()
}

pub fn measures() -> Result<KeyedOutcome, Error> {
    metrics::set(0, 1.0);
    nothing()
}

/// Behaves: measures each record, and the greatest size of a value in the call.
pub fn meters(call: &Call) -> Result<KeyedOutcome, Error> {
    metrics::add(0, call.len() as u64);
    if DOES.get().is_some_and(|does| does == "meters") {
        let sizes: Vec<_> = call.records.spans.chunks_exact(6).map(|spans| f64::from(spans[3].max(0))).collect();
        metrics::set(1, sizes.iter().copied().fold(0.0, f64::max));
        sizes.iter().for_each(|&size| metrics::observe(2, size));
    } else {
        metrics::add(102, 1);
    }
    returns::counts(call)
}

pub fn fills_up(call: &Call) -> Result<KeyedOutcome, Error> {
    let value = vec![1; 900_000];
    (0..100_u8).for_each(|field| state::put(2, call.key(0), &[field], &value));
    nothing()
}

/// Every import once, with the answers checked.
pub fn everything(call: &Call) -> Result<KeyedOutcome, Error> {
    let key = call.key(0);
    state::put(1, key, b"", b"\x01last");
    assert_eq!(state::get(1, key, b"").as_deref(), Some(&b"\x01last"[..]));
    state::delete(1, key, b"");
    assert_eq!(state::get(1, key, b""), None);
    let (spans, data) = blobs(&[key, b"a", b"\x01A", key, b"b", b"\x01B", key, b"c", b"\x01C"]);
    state::put_many(2, &Blobs { spans, data });
    let found = state::scan(2, key, b"a", Some(b"c"), 9, true);
    assert_eq!((found.spans, found.data), blobs(&[b"b", b"\x01B", b"a", b"\x01A"]));
    state::delete_range(2, key, b"b", None);
    let (spans, data) = blobs(&[key, b"a", key, b"b"]);
    let found = state::get_many(2, &Blobs { spans, data });
    assert_eq!((found.spans, found.data), (vec![0, 2, 0, -1], b"\x01A".to_vec()));
    timers::set(Domain::EventTime, key, b"one", 1000);
    timers::set(Domain::ProcessingTime, key, b"two", 2000);
    timers::cancel(Domain::ProcessingTime, key, b"two");
    let (spans, data) = blobs(&[key, b"one", key, b"three"]);
    timers::set_many(Domain::EventTime, &Blobs { spans, data }, &[i64::MIN, 3000]);
    metrics::add(0, 3);
    assert_eq!(origin::topic(), "lines");
    assert_eq!(origin::offsets().len(), call.len());
    assert_eq!(origin::watermarks().len(), call.len());
    nothing()
}

fn blobs(pieces: &[&[u8]]) -> (Vec<i32>, Vec<u8>) {
    let mut data = Vec::new();
    let spans = pieces.iter().flat_map(|piece| {
        data.extend_from_slice(piece);
        [(data.len() - piece.len()) as i32, piece.len() as i32]
    });
    (spans.collect(), data)
}
