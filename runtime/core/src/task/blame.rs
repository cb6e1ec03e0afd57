//! Why a record or timer is at fault.

use crate::varint::{put, take};

/// The kinds of reasons that there are: few, whatever records are like.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Cause {
    /// The operator said that it cannot handle it.
    Failure,
    /// Its call failed as often as it may with an error that may pass.
    Transient,
    /// Its call panicked or trapped.
    Trap,
    /// Its call broke a limit, or another rule that plugins have to keep.
    Limit,
    /// Its call took too long.
    Deadline,
    /// It has no key where one is needed, or one that the store does not take.
    Key,
    /// The process died on it.
    Death,
}

impl Cause {
    /// All of them, each at the place of its number. A new one is added at the end: the numbers are in the log.
    pub const ALL: [Self; 7] =
        [Self::Failure, Self::Transient, Self::Trap, Self::Limit, Self::Deadline, Self::Key, Self::Death];

    /// What users call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::Transient => "transient",
            Self::Trap => "trap",
            Self::Limit => "limit",
            Self::Deadline => "deadline",
            Self::Key => "key",
            Self::Death => "death",
        }
    }
}

/// What a record is blamed for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Blame {
    /// Of which kind it is.
    pub cause: Cause,
    /// In words.
    pub reason: String,
}

impl Blame {
    pub(crate) fn new(cause: Cause, reason: impl Into<String>) -> Self {
        Self { cause, reason: reason.into() }
    }
}

/// How many records were at fault for each cause.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ByCause([u64; Cause::ALL.len()]);

impl ByCause {
    /// Counts one more.
    pub fn bump(&mut self, cause: Cause) {
        self.0[cause as usize] += 1;
    }

    /// Adds those of another task.
    pub fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(count, more)| *count += more);
    }

    /// How many there are of all causes.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Each cause and its count.
    pub fn iter(&self) -> impl Iterator<Item = (Cause, u64)> {
        Cause::ALL.into_iter().zip(self.0)
    }

    /// Only causes that have some take room: mostly there is none.
    pub(super) fn encode(&self, bytes: &mut Vec<u8>) {
        let some = || self.iter().filter(|(_, count)| *count > 0);
        put(bytes, some().count() as u64);
        for (cause, count) in some() {
            put(bytes, cause as u64);
            put(bytes, count);
        }
    }

    pub(super) fn decode(from: &mut &[u8]) -> Option<Self> {
        let mut counts = Self::default();
        for _ in 0..take(from)? {
            let cause = usize::try_from(take(from)?).ok()?;
            *counts.0.get_mut(cause)? = take(from)?;
        }
        Some(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_has_its_number_and_a_name_of_its_own() {
        for (index, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, index);
            assert_eq!(Cause::ALL.iter().filter(|other| other.name() == cause.name()).count(), 1);
        }
    }
}
