//! Points in time.

use std::ops::{Add, Sub};
use std::time::Duration;

/// A point in time, in milliseconds since the Unix epoch.
///
/// ```
/// use std::time::Duration;
/// use wasmill_sdk::Timestamp;
///
/// let at = Timestamp::from_millis(1_000) + Duration::from_secs(60);
/// assert_eq!(at.as_millis(), 61_000);
/// assert!(at > Timestamp::NONE);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// No time at all: the watermark before any record, the event time of a record without one. Before all others.
    pub const NONE: Self = Self(i64::MIN);

    const LEAST: i64 = i64::MIN + 1;

    /// The time so many milliseconds after the Unix epoch, or before it where negative.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whether this is [`NONE`](Timestamp::NONE).
    pub const fn is_none(self) -> bool {
        self.0 == i64::MIN
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Later by whole milliseconds, the greatest time at most; [`NONE`](Timestamp::NONE) stays what it is.
impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        if self.is_none() { self } else { Self(self.0.saturating_add(millis(duration))) }
    }
}

/// Earlier by whole milliseconds, the least time that is not [`NONE`](Timestamp::NONE) at least; that stays what it is.
impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        if self.is_none() { self } else { Self(self.0.saturating_sub(millis(duration)).max(Self::LEAST)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_neither_makes_nor_unmakes_none() {
        let least = Timestamp(i64::MIN + 1);
        assert_eq!(least - Duration::from_secs(1), least);
        assert_eq!(Timestamp(i64::MAX) + Duration::MAX, Timestamp(i64::MAX));
        assert_eq!(Timestamp::NONE + Duration::from_secs(1), Timestamp::NONE);
        assert_eq!(Timestamp::NONE - Duration::from_secs(1), Timestamp::NONE);
    }
}
