//! How much of a call's time the guest has really had.

use std::time::Duration;

use thiserror::Error;

use super::engine::TICK;

/// A call that used up its time.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("deadline of {} ms of processor time missed", .0.as_millis())]
pub(super) struct Missed(Duration);

/// The deadline of one call. It counts the thread's own processor time, so a busy machine makes no call late.
///
/// The clock is first read at the first tick, not when the call begins: nearly all calls end between two ticks and pay
/// nothing for their deadline. What they have used by then, at most one tick, is not counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    limit: Duration,
    from: Option<Duration>,
}

impl Deadline {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, from: None }
    }

    /// Called at a tick, with the thread's processor time. Answers after how many ticks to ask again.
    pub(super) fn tick(&mut self, now: Duration) -> Result<u64, Missed> {
        let used = now.saturating_sub(*self.from.get_or_insert(now));
        let left = self.limit.saturating_sub(used);
        if left.is_zero() { Err(Missed(self.limit)) } else { Ok(left.as_nanos().div_ceil(TICK.as_nanos()) as u64) }
    }
}

/// Processor time that this thread has had so far.
pub(crate) fn thread_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid `timespec` that lives through the call, and nothing else is written to.
    let answer = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    debug_assert_eq!(answer, 0, "every thread has this clock");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_deadline_counts_from_its_first_tick() {
        let mut deadline = Deadline::new(ms(100));
        assert_eq!(deadline.tick(ms(5000)), Ok(10));
        assert_eq!(deadline.tick(ms(5001)), Ok(10));
        assert_eq!(deadline.tick(ms(5095)), Ok(1));
        assert_eq!(deadline.tick(ms(5100)), Err(Missed(ms(100))));
    }

    #[test]
    fn sleeping_costs_no_processor_time() {
        let before = thread_time();
        std::thread::sleep(ms(50));
        assert!(thread_time().saturating_sub(before) < ms(50));
    }
}
