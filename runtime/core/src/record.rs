//! The plain values that everything else is said in.

use std::fmt;
use std::time::Duration;

/// Milliseconds since the Unix epoch. [`Timestamp::NONE`] means that there is none.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// No time at all; sorts before every time.
    pub const NONE: Self = Self(i64::MIN);

    /// Whether this is a time.
    pub fn is_some(self) -> bool {
        self != Self::NONE
    }

    /// This time, moved by a number of milliseconds; stops at the ends of the range and leaves "none" alone.
    #[must_use]
    pub fn plus(self, millis: i64) -> Self {
        if self == Self::NONE { self } else { Self(self.0.saturating_add(millis).max(i64::MIN + 1)) }
    }
}

impl Default for Timestamp {
    fn default() -> Self {
        Self::NONE
    }
}

/// One reading of the host's clocks.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Now {
    /// The time of day. Somebody may set that clock, so it jumps in either direction.
    pub time: Timestamp,
    /// Milliseconds of a clock that nobody sets, since any moment: how long something took is told by it.
    pub steady: Timestamp,
}

impl Now {
    /// Clocks that agree.
    pub const fn both(at: Timestamp) -> Self {
        Self { time: at, steady: at }
    }

    /// How long until a moment of the steady clock; none if it is over.
    pub fn until(self, moment: Timestamp) -> Duration {
        left(self.steady, moment)
    }

    /// How long until a time of day, if nobody sets that clock.
    pub fn until_time(self, time: Timestamp) -> Duration {
        left(self.time, time)
    }
}

fn left(now: Timestamp, then: Timestamp) -> Duration {
    Duration::from_millis(then.0.saturating_sub(now.0).max(0) as u64)
}

/// The position of a record in its partition.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Offset(pub i64);

impl Offset {
    /// The offset after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A partition of a topic.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Partition(pub u32);

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One committed step of a task. Zero is the state before the first.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A stage of the pipeline at one partition: the unit that is assigned, recovered and committed.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TaskId {
    /// Index of the stage in the pipeline's plan.
    pub stage: u16,
    /// The partition that the task works for.
    pub partition: Partition,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.stage, self.partition)
    }
}
