//! The host's clocks.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use wasmill_core::record::{Now, Timestamp};

/// The time of day.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Both clocks, as one worker reads them.
pub struct Clocks {
    since: Instant,
}

impl Clocks {
    /// The steady one begins here.
    pub fn start() -> Self {
        Self { since: Instant::now() }
    }

    /// What they say.
    pub fn read(&self) -> Now {
        let steady = i64::try_from(self.since.elapsed().as_millis()).unwrap_or(i64::MAX);
        Now { time: now(), steady: Timestamp(steady) }
    }
}
