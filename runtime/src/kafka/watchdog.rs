//! Calls of librdkafka that do not come back, though each has a time by which it should have.
//!
//! A worker in such a call can do nothing any more, and nobody can take it out of there. What it holds goes to others when the
//! process gives up its place in the group and ends.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use super::group::{Group, Leave};

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(1);

/// How long leaving the group may take.
const LEAVING: Duration = Duration::from_secs(10);

/// The calls that are being made.
#[derive(Clone, Default)]
pub(super) struct Calls(Arc<Mutex<Made>>);

#[derive(Default)]
struct Made {
    calls: BTreeMap<u64, (Instant, &'static str)>,
    next: u64,
}

/// A call, until it is dropped.
pub(super) struct Call<'a> {
    calls: &'a Calls,
    number: u64,
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Calls").field(&self.lock().calls.len()).finish()
    }
}

impl Calls {
    /// Begins a call.
    pub(super) fn enter(&self, doing: &'static str) -> Call<'_> {
        let mut made = self.lock();
        made.next += 1;
        let number = made.next;
        made.calls.insert(number, (Instant::now(), doing));
        Call { calls: self, number }
    }

    /// A call that has taken so long, if there is one.
    fn stuck(&self, limit: Duration) -> Option<&'static str> {
        self.lock().calls.values().find(|(since, _)| since.elapsed() >= limit).map(|(_, doing)| *doing)
    }

    fn lock(&self) -> MutexGuard<'_, Made> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the process when a call takes longer than any of them may, for as long as the group is there.
    pub(super) fn watch(&self, limit: Duration, group: &Arc<Group>) -> std::io::Result<()> {
        let (calls, group) = (self.clone(), Arc::downgrade(group));
        thread::Builder::new().name("watchdog".into()).spawn(move || watch(&calls, limit, &group))?;
        Ok(())
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.calls.lock().calls.remove(&self.number);
    }
}

fn watch(calls: &Calls, limit: Duration, group: &Weak<Group>) {
    while group.strong_count() > 0 {
        thread::sleep(LOOK);
        let Some(doing) = calls.stuck(limit) else { continue };
        tracing::error!(
            doing,
            "a call to Kafka has not come back for {limit:?}: this process leaves its tasks to others, and ends; start it again"
        );
        let leaving = group.upgrade().map(|group| thread::spawn(move || group.stop(Leave::Now)));
        let deadline = Instant::now() + LEAVING;
        while leaving.as_ref().is_some_and(|leaving| !leaving.is_finished()) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(20));
        }
        std::process::exit(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_stuck_until_it_comes_back() {
        let calls = Calls::default();
        let short = calls.enter("flush");
        let long = calls.enter("commit");
        drop(short);
        assert_eq!(calls.stuck(Duration::ZERO), Some("commit"));
        assert_eq!(calls.stuck(Duration::from_hours(1)), None);
        drop(long);
        assert_eq!(calls.stuck(Duration::ZERO), None);
    }
}
