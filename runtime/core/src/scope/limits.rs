//! What a call may leave at most.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{Refusal, violation};
use crate::batch::SPANS;
use crate::flow::{Emitted, RECORD};
use crate::record::Timestamp;
use crate::watermark::millis;

/// What a call may leave at most.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Bytes of all its output, the columns' own included; also of one answer from state, and of what one request deletes.
    pub output: usize,
    /// Bytes of one output record or one row.
    pub record: usize,
    /// Bytes of a key together with the field or the timer's name that it stands with in a row: what the store takes.
    pub name: usize,
    /// How far the event time of an output record may lie behind the host's clock.
    pub behind: Duration,
    /// How far it may lie ahead of it.
    pub ahead: Duration,
}

/// The event times that a record may go out with, beside none at all.
pub(crate) type Times = RangeInclusive<i64>;

impl Default for Limits {
    fn default() -> Self {
        Self { output: 64 << 20, record: 1_000_000, name: usize::MAX, behind: Duration::MAX, ahead: Duration::MAX }
    }
}

impl Limits {
    /// The event times that may go out when the clock shows `now`.
    pub(crate) fn times(&self, now: Timestamp) -> Times {
        if !now.is_some() {
            return 0..=i64::MAX;
        }
        now.plus(-millis(self.behind)).0.max(0)..=now.plus(millis(self.ahead)).0
    }

    /// Checks the sizes of records, together with what the call emitted before. Answers what it has emitted then.
    pub(super) fn check_sizes(&self, emitted: &Emitted<'_>, before: usize) -> Result<usize, Refusal> {
        let mut all = before;
        for spans in emitted.spans.chunks_exact(SPANS) {
            let size: usize = [spans[1], spans[3], spans[5]].into_iter().map(|length| length.max(0) as usize).sum();
            if size > self.record {
                return violation(format!("an output record of {size} bytes passes the limit of {}", self.record));
            }
            all += size + RECORD;
        }
        if all > self.output {
            return violation(format!("the output of one call passes the limit of {} bytes", self.output));
        }
        Ok(all)
    }

    /// Checks the size of a row: of its key and field, or of its key and the name of its timer, and of its value.
    pub(super) fn check_row(&self, name: usize, value: usize) -> Result<(), Refusal> {
        if name + value > self.record {
            return violation(format!("a row of {} bytes passes the limit of {}", name + value, self.record));
        }
        self.check_name(name)
    }

    /// Checks the size of a key and what it stands with.
    pub(super) fn check_name(&self, name: usize) -> Result<(), Refusal> {
        if name <= self.name { Ok(()) } else { violation(too_long(name, self.name)) }
    }

    /// Checks that all event times are ones that a log takes.
    pub(super) fn check_times(&self, timestamps: &[i64], now: Timestamp) -> Result<(), Refusal> {
        let times = self.times(now);
        let odd = timestamps.iter().zip(0..).find(|&(&at, _)| !is_time(Timestamp(at), &times));
        let Some((&at, index)) = odd else { return Ok(()) };
        let record = format!("output.emit: record {index}: the event time {at}");
        if at < 0 {
            return violation(format!("{record} is before 1970, where no log has any"));
        }
        let (setting, side, most) = match at < *times.start() {
            true => ("before", "behind", self.behind),
            false => ("after", "ahead of", self.ahead),
        };
        violation(format!(
            "{record} is more than {} ms {side} the clock, and a topic that it may go to takes no other \
             (message.timestamp.{setting}.max.ms)",
            most.as_millis()
        ))
    }
}

/// What is said of a key that the store does not take.
pub(crate) fn too_long(name: usize, most: usize) -> String {
    format!("a key and field of {name} bytes pass the {most} that this store takes")
}

/// Whether a record may go out with this event time.
pub(crate) fn is_time(at: Timestamp, times: &Times) -> bool {
    times.contains(&at.0) || !at.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_times_are_those_that_a_log_takes() {
        let second = Duration::from_secs(1);
        let kafka = Limits { behind: 5 * second, ahead: second, ..Limits::default() };
        let check = |limits: &Limits, now, at: i64| {
            let checked = limits.check_times(&[now, at], Timestamp(now));
            checked.err().map(|refusal| refusal.to_string()).unwrap_or_default()
        };
        #[rustfmt::skip]
        let table = [
            (Limits::default(), 9_000, 0,            ""),
            (Limits::default(), 9_000, i64::MAX,     ""),
            (Limits::default(), 9_000, i64::MIN,     ""),
            (Limits::default(), 9_000, -1,           "output.emit: record 1: the event time -1 is before 1970"),
            (Limits::default(), 9_000, i64::MIN + 1, "output.emit: record 1: the event time -9223372036854775807 is before"),
            (kafka,             9_000, 4_000,        ""),
            (kafka,             9_000, 10_000,       ""),
            (kafka,             9_000, i64::MIN,     ""),
            (kafka,             9_000, 3_999,        "output.emit: record 1: the event time 3999 is more than 5000 ms behind the clock"),
            (kafka,             9_000, 10_001,       "output.emit: record 1: the event time 10001 is more than 1000 ms ahead of the clock"),
            (kafka,             1_000, 0,            ""),
            (kafka,             i64::MIN, i64::MAX,  ""),
        ];
        for (limits, now, at, expected) in table {
            let said = check(&limits, now, at);
            assert!(said.starts_with(expected) && said.is_empty() == expected.is_empty(), "{at}: {said}");
        }
    }
}
