//! What a task has learnt about records and operators that fail.

use std::cell::Cell;
use std::collections::HashMap;

use crate::operator::Domain;
use crate::port::{Fault, StoreError};
use crate::record::Timestamp;
use crate::task::blame::{Blame, Cause};

/// Why a turn was dropped.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It must be made again with only its first records.
    Cut(usize),
    /// It must be made again with fewer timers: so many.
    Fewer(usize),
    /// A call failed, and would again.
    Failed { node: usize, size: usize, place: Place, blame: Blame },
    /// A call took too long.
    Slow { node: usize, size: usize, place: Place, reason: String },
    /// A call failed, and may not later.
    Transient { node: usize, reason: String },
    /// A record failed where the policy is to stop.
    Halt { operator: String, reason: String },
    /// The host failed.
    Fault(Fault),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Fault(error.into())
    }
}

/// What tells a record or a timer from all others that an operator is given.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Place {
    /// The n-th that comes from a source record.
    Record { input: usize, offset: i64, ordinal: u32 },
    /// A timer.
    Timer { domain: Domain, at: Timestamp, key: Vec<u8>, name: Vec<u8> },
}

/// How often a call of one record may miss its deadline.
const MAX_SLOW: u32 = 3;

/// Why a record or timer is at fault.
#[derive(Debug)]
struct Verdict {
    blame: Blame,
    attempts: u32,
    used: Cell<Used>,
}

/// How far a verdict has been carried out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Used {
    No,
    InTurn,
    InEpoch,
}

/// How many records at a time a slow operator gets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Pace {
    limit: usize,
    /// A size that was too large.
    ceiling: usize,
    /// Turns that went through at the limit since it was reached.
    turns: u32,
}

/// Turns after which a slow operator is tried with more records than were once too many.
const FORGIVEN: u32 = 1_000;

/// Records that no call ever has more of.
const MOST: usize = 256;

impl Pace {
    /// The pace of an operator that was too slow for so many.
    fn below(size: usize) -> Self {
        Self { limit: size / 2, ceiling: size, turns: 0 }
    }

    /// A turn went through: the next may have twice as many, short of what was too many before. Answers whether there
    /// still is a limit.
    fn passed(&mut self) -> bool {
        self.turns += 1;
        if self.turns >= FORGIVEN {
            (self.ceiling, self.turns) = (usize::MAX, 0);
        }
        if self.limit.saturating_mul(2) < self.ceiling {
            (self.limit, self.turns) = (self.limit * 2, 0);
        }
        self.limit < MOST
    }
}

/// What a task has learnt about records and operators that fail. It outlives an epoch that is dropped.
#[derive(Debug, Default)]
pub(crate) struct Trial {
    calls: HashMap<usize, usize>,
    paces: HashMap<usize, Pace>,
    verdicts: HashMap<(usize, Place), Verdict>,
    /// How many of them are not carried out: records that are still to come. It is rare that there are some.
    waiting: usize,
    slow: HashMap<(usize, Place), u32>,
    transient: HashMap<usize, Transient>,
}

/// An operator of which calls failed that may not later.
#[derive(Clone, Copy, Debug, Default)]
struct Transient {
    times: u32,
    /// They are taken for calls that will always fail.
    given_up: bool,
}

impl Trial {
    /// How many records a call of an operator may have.
    pub(crate) fn limit(&self, node: usize) -> usize {
        let call = self.calls.get(&node).copied().unwrap_or(usize::MAX);
        let pace = self.paces.get(&node).map_or(usize::MAX, |pace| pace.limit);
        call.min(pace).max(1)
    }

    /// Whether any record that is still to come is known to be at fault.
    pub(crate) fn has_verdicts(&self) -> bool {
        self.waiting > 0
    }

    /// Why a record is known to be at fault, and after how many attempts.
    pub(crate) fn verdict(&self, node: usize, place: &Place) -> Option<(&Blame, u32)> {
        let verdict = self.verdicts.get(&(node, place.clone()))?;
        // Once carried out it is done with: what timers emit has no place of its own, and comes by this one again.
        if verdict.used.get() == Used::InEpoch {
            return None;
        }
        verdict.used.set(Used::InTurn);
        Some((&verdict.blame, verdict.attempts))
    }

    /// Calls failed too often in one turn: until one went through, the operator gets half as many at a time.
    pub(crate) fn failed(&mut self, node: usize, size: usize) {
        self.calls.insert(node, size / 2);
    }

    /// A call of one record failed: it is at fault, and its turn carries that out. Answers how often it was tried.
    pub(crate) fn convict(&mut self, node: usize, place: Place, blame: Blame) -> u32 {
        let attempts = self.transient.get(&node).map_or(1, |transient| transient.times.max(1));
        let used = Cell::new(Used::InTurn);
        self.verdicts.insert((node, place), Verdict { blame, attempts, used });
        attempts
    }

    /// A call took too long. Of several records it is the operator that is slow: it gets fewer at a time. A single one
    /// is at fault when it was too slow three times.
    pub(crate) fn slow(&mut self, node: usize, size: usize, place: Place, reason: String) -> bool {
        if size > 1 {
            self.paces.insert(node, Pace::below(size));
            return false;
        }
        let times = self.slow.entry((node, place.clone())).or_default();
        *times += 1;
        if *times < MAX_SLOW {
            return false;
        }
        self.slow.remove(&(node, place.clone()));
        // It was this record, not the operator: others may come in larger calls again.
        if let Some(pace) = self.paces.get_mut(&node) {
            pace.ceiling = usize::MAX;
        }
        let verdict =
            Verdict { blame: Blame::new(Cause::Deadline, reason), attempts: MAX_SLOW, used: Cell::new(Used::No) };
        self.verdicts.insert((node, place), verdict);
        self.waiting += 1;
        true
    }

    /// A call failed and may not later. Answers whether it should be tried again after a pause; if not, the operator is
    /// given up until a turn went through.
    pub(crate) fn transient(&mut self, node: usize, attempts: u32) -> bool {
        let transient = self.transient.entry(node).or_default();
        transient.times += 1;
        transient.given_up = transient.times > attempts;
        !transient.given_up
    }

    /// Whether failures that may pass are no longer waited for.
    pub(crate) fn is_given_up(&self, node: usize) -> bool {
        self.transient.get(&node).is_some_and(|transient| transient.given_up)
    }

    /// A turn went through. `whole`: it had all the records there were to try.
    pub(crate) fn passed(&mut self, whole: bool) {
        self.transient.clear();
        self.move_used(Used::InTurn, Used::InEpoch);
        self.paces.retain(|_, pace| pace.passed());
        if whole {
            self.calls.clear();
        }
    }

    /// A turn was dropped.
    pub(crate) fn dropped(&mut self) {
        self.move_used(Used::InTurn, Used::No);
    }

    /// The epoch was dropped.
    pub(crate) fn aborted(&mut self) {
        self.verdicts.values().for_each(|verdict| verdict.used.set(Used::No));
        self.waiting = self.verdicts.len();
    }

    /// The epoch is committed: what was settled in it does not come again.
    pub(crate) fn committed(&mut self) {
        self.verdicts.retain(|_, verdict| verdict.used.get() != Used::InEpoch);
    }

    fn move_used(&mut self, from: Used, to: Used) {
        self.verdicts.values().filter(|verdict| verdict.used.get() == from).for_each(|verdict| verdict.used.set(to));
        self.waiting = self.verdicts.values().filter(|verdict| verdict.used.get() == Used::No).count();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(offset: i64) -> Place {
        Place::Record { input: 0, offset, ordinal: 0 }
    }

    fn blame() -> Blame {
        Blame::new(Cause::Failure, "no")
    }

    #[test]
    fn what_fails_too_often_comes_in_smaller_calls_until_it_went_through() {
        let mut trial = Trial::default();
        trial.failed(0, 256);
        assert_eq!((trial.limit(0), trial.limit(1)), (128, usize::MAX));
        trial.passed(false);
        assert_eq!(trial.limit(0), 128);
        trial.passed(true);
        assert_eq!(trial.limit(0), usize::MAX);
    }

    #[test]
    fn what_may_pass_is_given_up_after_its_attempts() {
        let mut trial = Trial::default();
        let tried: Vec<_> = (0..3).map(|_| trial.transient(0, 2)).collect();
        assert_eq!(tried, [true, true, false]);
        assert!(trial.is_given_up(0) && !trial.is_given_up(1));
        assert_eq!(trial.convict(0, place(1), blame()), 3);
        trial.passed(true);
        assert!(!trial.is_given_up(0));
    }

    #[test]
    fn a_verdict_holds_until_it_is_committed() {
        let mut trial = Trial::default();
        assert_eq!(trial.convict(0, place(1), blame()), 1);
        trial.dropped();
        assert_eq!(trial.verdict(0, &place(1)), Some((&blame(), 1)));
        assert_eq!(trial.verdict(1, &place(1)), None);
        trial.committed();
        assert!(trial.verdict(0, &place(1)).is_some());
        trial.dropped();
        trial.committed();
        assert!(trial.verdict(0, &place(1)).is_some());
        trial.passed(true);
        trial.aborted();
        trial.committed();
        assert!(trial.verdict(0, &place(1)).is_some());
        trial.passed(true);
        trial.committed();
        assert!(!trial.has_verdicts());
    }

    #[test]
    fn a_slow_operator_loses_no_record() {
        let mut trial = Trial::default();
        assert!(!trial.slow(0, 8, place(1), "slow".into()));
        assert_eq!(trial.limit(0), 4);
        let verdicts: Vec<_> = (0..3).map(|_| trial.slow(0, 1, place(1), "slow".into())).collect();
        assert_eq!(verdicts, [false, false, true]);
        let verdict = trial.verdict(0, &place(1)).map(|(blame, _)| blame.clone());
        assert_eq!(verdict, Some(Blame::new(Cause::Deadline, "slow")));
    }

    #[test]
    fn a_slow_operator_settles_at_a_size_and_is_tried_again_with_more() {
        let mut trial = Trial::default();
        let mut sizes = Vec::new();
        // 20 ms a record, and a second for each call.
        for _ in 0..40 {
            let size = trial.limit(0).min(MOST);
            sizes.push(size);
            if size > 50 {
                assert!(!trial.slow(0, size, place(1), "slow".into()));
            } else {
                trial.passed(true);
            }
        }
        assert_eq!(sizes[..3], [256, 128, 64]);
        assert!(sizes[3..].iter().all(|&size| size == 32), "{sizes:?}");
        (0..FORGIVEN).for_each(|_| trial.passed(true));
        assert!(trial.limit(0) > 32, "it may have become faster");
    }

    #[test]
    fn one_slow_record_after_the_other_is_found_without_starting_over() {
        let mut trial = Trial::default();
        for offset in 0..100 {
            let mut calls = 0;
            loop {
                calls += 1;
                let size = trial.limit(0).min(MOST);
                if trial.slow(0, size, place(offset), "slow".into()) {
                    break;
                }
            }
            assert!(calls <= 3 || offset == 0, "record {offset} took {calls} calls");
        }
        (0..8).for_each(|_| trial.passed(true));
        assert_eq!(trial.limit(0), usize::MAX, "the others come in large calls again");
    }
}
