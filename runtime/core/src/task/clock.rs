//! What a task does by the clock: timers of processing time, inputs that fall idle, what it tells downstream.

use std::time::Duration;

use crate::port::{Control, Fault};
use crate::record::{Now, Timestamp};
use crate::row::Due;
use crate::stage;
use crate::task::Task;
use crate::watermark::{Progress, Told, millis};

/// Milliseconds between two control records of a task, at least.
const TELL_EVERY: i64 = 200;

impl Task {
    /// How long until a turn without records is due: none at all where timers are, `None` where nothing waits for a clock.
    pub fn next_tick(&mut self, now: Now) -> Result<Option<Duration>, Fault> {
        if let Some(until) = self.paused {
            return Ok(Some(now.until(until)));
        }
        let clock = Now { time: now.time.max(self.memory.clock), ..now };
        let mut next = self.tell_at().map(|at| now.until(at));
        for state in self.states.iter_mut().flatten() {
            let timer = state.earliest(Due::Processing)?.map(|at| clock.until_time(at));
            next = next.into_iter().chain(timer).min();
        }
        for (input, at) in self.stage.inputs.iter().zip(0..) {
            let idle = self.idle_at(input, at).map(|at| now.until(at));
            next = next.into_iter().chain(idle).min();
        }
        Ok(next)
    }

    fn idle_at(&self, input: &stage::Input, index: usize) -> Option<Timestamp> {
        let ended = self.ends.get(index).copied().flatten().is_some();
        match (&input.progress, self.memory.inputs.get(index)?) {
            (stage::Progress::Records { idle_after, .. }, Progress::Records { idle: false, .. }) if ended => {
                Some(self.seen.get(index)?.plus(millis(*idle_after)))
            }
            _ => None,
        }
    }

    /// Takes note of inputs of which nothing came for long. Answers whether a turn without records is due.
    pub fn tick(&mut self, now: Now) -> Result<bool, Fault> {
        self.paused = self.paused.filter(|&until| until > now.steady);
        if self.paused.is_some() {
            return Ok(false);
        }
        let stage = self.stage.clone();
        let mut due = self.memory.backlog;
        for (input, index) in stage.inputs.iter().zip(0..) {
            if self.idle_at(input, index).is_some_and(|at| at <= now.steady)
                && let Some(Progress::Records { idle, .. }) = self.memory.inputs.get_mut(index)
            {
                *idle = true;
                self.dirty = true;
                due = true;
            }
        }
        // The time of day as operators know it does not go back.
        let time = now.time.max(self.memory.clock);
        for state in self.states.iter_mut().flatten() {
            due |= state.earliest(Due::Processing)?.is_some_and(|at| at <= time);
        }
        Ok(due)
    }

    /// What is to be told downstream: the watermark, less what timers are still held back.
    fn to_tell(&self) -> Told {
        Told { watermark: self.memory.watermark, idle: self.watermarks().all(|watermark| watermark.is_none()) }
    }

    pub(super) fn tell_at(&self) -> Option<Timestamp> {
        let news = self.to_tell() != self.memory.told && !self.stage.repartitions.is_empty() && !self.memory.backlog;
        news.then(|| if self.told_at.is_some() { self.told_at.plus(TELL_EVERY) } else { Timestamp(i64::MIN + 1) })
    }

    /// The control record that is due, if one is.
    pub fn tell(&mut self, now: Timestamp) -> Option<Control> {
        if self.paused.is_some() || self.tell_at().is_none_or(|at| at > now) {
            return None;
        }
        let told = self.to_tell();
        self.memory.told = told;
        self.told_at = now;
        self.dirty = true;
        Some(Control { from: self.id, watermark: told.watermark, idle: told.idle })
    }
}
