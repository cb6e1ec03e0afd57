//! The clocks of a host: one that only grows, and the time of day, which somebody may set.

use std::cell::Cell;

use wasmill_core::record::{Now, Timestamp};

use crate::random::Random;

/// How far the time of day is set off, at most.
const FAR: u64 = 5_000;

thread_local! {
    /// What it is outside, where operators look who have no clock of their own.
    static OUTSIDE: Cell<i64> = const { Cell::new(0) };
}

/// The steady clock of this test, as it was read last.
pub fn outside() -> i64 {
    OUTSIDE.get()
}

#[derive(Clone, Debug)]
pub struct Clock {
    pub steady: i64,
    /// How far the time of day is ahead of it.
    ahead: i64,
    /// The latest time of day so far.
    latest: i64,
    /// Sets the time of day now and then.
    setter: Option<Random>,
}

impl Clock {
    pub fn at(steady: i64) -> Self {
        Self { steady, ahead: 0, latest: steady, setter: None }
    }

    /// One that is set forwards and backwards.
    pub fn jumping(steady: i64, seed: u64) -> Self {
        Self { setter: Some(Random(seed)), ..Self::at(steady) }
    }

    pub fn pass(&mut self, millis: i64) {
        self.steady += millis;
        if let Some(random) = &mut self.setter
            && random.one_in(6)
        {
            self.ahead = random.below(2 * FAR) as i64 - FAR as i64;
        }
        self.latest = self.latest.max(self.steady + self.ahead);
    }

    /// The time of day is set off by so much.
    pub fn set(&mut self, ahead: i64) {
        self.ahead = ahead;
    }

    /// The time of day is set for good, past all that it was before.
    pub fn settle(&mut self) {
        self.setter = None;
        self.ahead = self.latest + FAR as i64 - self.steady;
    }

    pub fn now(&self) -> Now {
        OUTSIDE.set(self.steady);
        Now { time: Timestamp(self.steady + self.ahead), steady: Timestamp(self.steady) }
    }
}
