//! How far event time has come.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::port::Control;
use crate::record::{TaskId, Timestamp};
use crate::stage;

/// What an input has told of event time.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Progress {
    /// By its records.
    Records {
        /// The greatest event time so far.
        greatest: Timestamp,
        /// Whether nobody waits for it.
        idle: bool,
    },
    /// By the control records of the tasks upstream: the last of each.
    Controls(BTreeMap<TaskId, Told>),
}

/// The last that an upstream task told.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Told {
    /// Its watermark; "none" until it was heard.
    pub watermark: Timestamp,
    /// Whether nobody waits for it.
    pub idle: bool,
}

impl Progress {
    /// What is known of an input of which nothing was read.
    pub fn new(input: &stage::Progress) -> Self {
        match input {
            stage::Progress::Records { .. } => Self::Records { greatest: Timestamp::NONE, idle: false },
            stage::Progress::Controls(upstream) => {
                Self::Controls(upstream.iter().map(|&task| (task, Told::default())).collect())
            }
        }
    }

    /// Keeps what is known of tasks that are still upstream, and waits for those that are new.
    pub fn adapt(&mut self, input: &stage::Progress) {
        let mut fresh = Self::new(input);
        match (&mut fresh, &*self) {
            (Self::Controls(fresh), Self::Controls(old)) => {
                fresh.iter_mut().for_each(|(task, told)| *told = old.get(task).copied().unwrap_or_default());
            }
            (Self::Records { .. }, Self::Records { .. }) => return,
            _ => {}
        }
        *self = fresh;
    }

    /// Takes note of a record's event time.
    pub fn record(&mut self, timestamp: Timestamp) {
        if let Self::Records { greatest, idle } = self {
            *greatest = timestamp.max(*greatest);
            *idle = false;
        }
    }

    /// Takes note of a control record. One of a task that is not upstream any more says nothing.
    pub fn control(&mut self, control: &Control) {
        if let Self::Controls(upstream) = self
            && let Some(told) = upstream.get_mut(&control.from)
        {
            *told = Told { watermark: control.watermark.max(told.watermark), idle: control.idle };
        }
    }

    /// The input's watermark; `None` if nobody waits for it.
    pub fn watermark(&self, input: &stage::Progress) -> Option<Timestamp> {
        match (self, input) {
            (Self::Records { idle: true, .. }, _) => None,
            (Self::Records { greatest, .. }, stage::Progress::Records { out_of_order, .. }) => {
                Some(greatest.plus(-millis(*out_of_order)).plus(-1))
            }
            (Self::Records { greatest, .. }, _) => Some(*greatest),
            (Self::Controls(upstream), _) => {
                upstream.values().filter(|told| !told.idle).map(|told| told.watermark).min()
            }
        }
    }
}

/// A duration in milliseconds.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The watermark of several inputs: the least of those that are waited for; it never goes back.
pub fn least(before: Timestamp, inputs: impl Iterator<Item = Option<Timestamp>>) -> Timestamp {
    inputs.flatten().min().map_or(before, |least| least.max(before))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Partition;

    fn task(partition: u32) -> TaskId {
        TaskId { stage: 0, partition: Partition(partition) }
    }

    #[test]
    fn a_source_is_behind_its_records_by_the_disorder_it_may_have() {
        let second = Duration::from_secs(1);
        let input = stage::Progress::Records { out_of_order: second, idle_after: second };
        let mut progress = Progress::new(&input);
        assert_eq!(progress.watermark(&input), Some(Timestamp::NONE));
        progress.record(Timestamp(5_000));
        progress.record(Timestamp(4_000));
        assert_eq!(progress.watermark(&input), Some(Timestamp(3_999)));
    }

    #[test]
    fn all_tasks_upstream_are_waited_for_but_idle_ones() {
        let input = stage::Progress::Controls(vec![task(0), task(1)]);
        let mut progress = Progress::new(&input);
        let mut tell = |partition, watermark, idle| {
            progress.control(&Control { from: task(partition), watermark: Timestamp(watermark), idle });
            progress.watermark(&input)
        };
        assert_eq!(tell(0, 10, false), Some(Timestamp::NONE));
        assert_eq!(tell(1, 7, false), Some(Timestamp(7)));
        assert_eq!(tell(1, 7, true), Some(Timestamp(10)));
        assert_eq!(tell(0, 12, true), None);
        assert_eq!(tell(2, 1, false), None);
    }

    #[test]
    fn the_least_never_goes_back() {
        let at = |t| Some(Timestamp(t));
        #[rustfmt::skip]
        let table = [
            (5, vec![at(7), at(9)], 7),
            (5, vec![at(3), at(9)], 5),
            (5, vec![None, at(9)],  9),
            (5, vec![None, None],   5),
        ];
        for (before, inputs, expected) in table {
            assert_eq!(least(Timestamp(before), inputs.into_iter()), Timestamp(expected));
        }
    }
}
