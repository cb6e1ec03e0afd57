//! Guests that take more than they may, or end badly.

use std::hint::black_box;

use crate::wasmill::plugin::logging::{self, Level};
use crate::wasmill::plugin::types::{Error, KeyedOutcome};
use crate::{Call, nothing};

pub fn spins() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns + 1);
    }
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

#[expect(unconditional_recursion, reason = "that is what is wrong with it")]
pub fn overflows(call: &Call) -> Result<KeyedOutcome, Error> {
    let frame = black_box([0_u8; 256]);
    let deeper = overflows(call);
    black_box(frame);
    deeper
}

#[inline(never)]
pub fn panics(call: &Call) -> ! {
    panic!("no price for {}", String::from_utf8_lossy(call.key(0)))
}

pub fn traps() -> ! {
    core::arch::wasm32::unreachable()
}

pub fn babbles() -> Result<KeyedOutcome, Error> {
    (0..100_000).for_each(|line| logging::log(Level::Info, &format!("line {line}")));
    logging::log(Level::Error, &"long ".repeat(10_000));
    traps()
}
