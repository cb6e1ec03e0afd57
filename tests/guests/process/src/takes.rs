//! Guests that take more than they may, or end badly.

use std::hint::black_box;

use crate::wasmill::plugin::logging::{self, Level};
use crate::wasmill::plugin::types::{Error, KeyedOutcome};
use crate::{Call, nothing};

#[inline(never)]
pub fn spins() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns + 1);
    }
}

/// Says so first.
pub fn cries_and_spins() -> ! {
    logging::log(Level::Warn, "here it dies");
    spins()
}

/// Takes some milliseconds for each record, and counts.
pub fn lingers(call: &Call) -> Result<KeyedOutcome, Error> {
    let mut turns = 0_u64;
    while turns < 5_000_000 * call.records.timestamps.len() as u64 {
        turns = black_box(turns + 1);
    }
    crate::returns::counts(call)
}

pub fn hoards() -> ! {
    loop {
        black_box(Box::leak(vec![1_u8; 1 << 20].into_boxed_slice()));
    }
}

pub fn leaks() -> Result<KeyedOutcome, Error> {
    black_box(Box::leak(vec![1_u8; 20 << 20].into_boxed_slice()));
    nothing()
}

/// Keeps some memory of each record, and counts.
pub fn seeps(call: &Call) -> Result<KeyedOutcome, Error> {
    black_box(Box::leak(vec![1_u8; 2_048 * call.len()].into_boxed_slice()));
    crate::returns::counts(call)
}

/// Uses up the host's stack.
#[inline(never)]
pub fn overflows(depth: u64) -> u64 {
    if black_box(depth) == u64::MAX { depth } else { overflows(depth + 1) ^ depth }
}

/// Uses up its own stack, where a compiler keeps what has an address.
#[inline(never)]
pub fn overflows_in_memory(depth: u64) -> u64 {
    let mut frame = [depth; 32];
    black_box(&mut frame);
    if frame[0] == u64::MAX { depth } else { overflows_in_memory(depth + 1) ^ frame[1] }
}

#[inline(never)]
pub fn panics(call: &Call) -> ! {
    panic!("no price for {}", String::from_utf8_lossy(call.key(0)))
}

pub fn traps() -> ! {
    core::arch::wasm32::unreachable()
}

/// Behaves, but for its talk.
pub fn chats(call: &Call) -> Result<KeyedOutcome, Error> {
    (0..5).for_each(|line| logging::log(Level::Warn, &format!("line {line}")));
    crate::returns::counts(call)
}

pub fn babbles() -> Result<KeyedOutcome, Error> {
    (0..100_000).for_each(|line| logging::log(Level::Info, &format!("line {line}")));
    logging::log(Level::Error, &"long ".repeat(10_000));
    traps()
}
