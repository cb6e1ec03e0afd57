//! Timers that are set.

use std::collections::BTreeSet;

use super::observed::Pending;
use crate::{Domain, Timestamp};

/// The timers of all keys, in the order in which they fire.
#[derive(Clone, Debug, Default)]
pub(super) struct Timers {
    pending: BTreeSet<Pending>,
}

impl Timers {
    /// Sets or moves a timer; [`Timestamp::NONE`] cancels it.
    pub(super) fn set(&mut self, timer: Pending) {
        let same = |other: &Pending| (other.domain, &other.key, &other.name) == (timer.domain, &timer.key, &timer.name);
        self.pending.retain(|other| !same(other));
        if !timer.at.is_none() {
            self.pending.insert(timer);
        }
    }

    /// The timers of a domain that are due at `now`, in order.
    pub(super) fn due(&self, domain: Domain, now: Timestamp) -> Vec<Pending> {
        self.pending.iter().filter(|timer| timer.domain == domain && timer.at <= now).cloned().collect()
    }

    /// Takes a timer out; false where it was cancelled or moved.
    pub(super) fn take(&mut self, timer: &Pending) -> bool {
        self.pending.remove(timer)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Pending> {
        self.pending.iter()
    }
}
