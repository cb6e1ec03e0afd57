//! The steps of the commit protocol, and a process that ends at one of them.
//!
//! `wasmill verify` and the tests have a process end at each step in turn: what comes of it must be what comes of a run
//! that nobody ended. A process that is not to end pays for this with a look at one variable a step.

use std::cell::Cell;
use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use clap::ValueEnum;

/// A step, in the order in which they are taken. A process that ends at one has taken it, and not the next.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, ValueEnum)]
pub enum Step {
    /// The rows of acquired tasks name this worker.
    Claim,
    /// Rows were read from a changelog, and nothing says yet that they are all.
    Restore,
    /// A transaction is open.
    Begin,
    /// Outputs were sent.
    Process,
    /// The epoch takes in nothing more.
    Seal,
    /// Changed rows were sent.
    Changelog,
    /// The log has all of it.
    Flush,
    /// The leases of the tasks were compared.
    Token,
    /// The tasks' rows were sent.
    Rows,
    /// The commit was sent, and was not answered.
    Commit,
    /// The commit was answered.
    Answer,
    /// Rows went to the store.
    Apply,
    /// The next epoch was begun.
    Publish,
}

impl Step {
    /// All steps.
    pub fn all() -> &'static [Self] {
        Self::value_variants()
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.pad(value.as_ref().map_or("", |value| value.get_name()))
    }
}

/// Where a process ends: `STEP`, or `STEP:N` for the N-th time that it takes it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Last {
    /// The step.
    pub step: Step,
    /// Which time, from 1.
    pub time: u64,
}

impl FromStr for Last {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (step, time) = text.split_once(':').unwrap_or((text, "1"));
        let step = Step::from_str(step, false)?;
        match time.parse() {
            Ok(time) if time > 0 => Ok(Self { step, time }),
            _ => Err(format!("{time:?} is no number from 1 on")),
        }
    }
}

impl fmt::Display for Last {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.step, self.time)
    }
}

/// How long a commit is on its way when the process ends.
const ON_ITS_WAY: Duration = Duration::from_micros(300);

static LAST: OnceLock<Last> = OnceLock::new();
static HANGS: AtomicBool = AtomicBool::new(false);
static TAKEN: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static IN_EPOCH: Cell<bool> = const { Cell::new(false) };
}

/// Has this process end at a step. Only the first call counts.
pub fn end_at(last: Last) {
    // A second one would come from a second command, and a process has one.
    let _ = LAST.set(last);
}

/// Has a thread of this process come no further than a step, in place of an end.
pub fn hang_at(last: Last) {
    HANGS.store(true, Ordering::Relaxed);
    end_at(last);
}

/// Whether this process is to end at a step.
pub(crate) fn is_to_end() -> bool {
    LAST.get().is_some()
}

/// Ends the process if this is its last step.
pub(crate) fn reached(step: Step) {
    if is_last(step) {
        end(step);
    }
}

/// The same for a step within [`commit`]; of a claim's commit it counts for nothing.
pub(crate) fn reached_in_epoch(step: Step) {
    if LAST.get().is_some() && IN_EPOCH.get() {
        reached(step);
    }
}

/// Makes the commit of an epoch.
pub(crate) fn commit<T>(commit: impl FnOnce() -> T) -> T {
    if is_last(Step::Commit) {
        let name = thread::current().name().map(str::to_owned);
        let of = thread::Builder::new().name(name.unwrap_or_default());
        let ended = of.spawn(|| {
            thread::sleep(ON_ITS_WAY);
            end(Step::Commit);
        });
        if ended.is_err() {
            end(Step::Commit);
        }
    }
    IN_EPOCH.set(true);
    let done = commit();
    IN_EPOCH.set(false);
    done
}

fn is_last(step: Step) -> bool {
    let Some(last) = LAST.get().filter(|last| last.step == step) else { return false };
    TAKEN.fetch_add(1, Ordering::Relaxed) + 1 == last.time
}

/// At once: nothing is dropped, flushed or told to others.
fn end(step: Step) -> ! {
    if HANGS.load(Ordering::Relaxed) {
        loop {
            thread::park();
        }
    }
    eprintln!("ended at {step} thread={}", thread::current().name().unwrap_or_default());
    std::process::abort()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_last_step_is_read_as_it_is_written() {
        for text in ["rows:3", "claim:1"] {
            assert_eq!(text.parse::<Last>().map(|last| last.to_string()), Ok(text.to_owned()));
        }
        assert_eq!("flush".parse(), Ok(Last { step: Step::Flush, time: 1 }));
        for text in ["", "row", "rows:", "rows:0", "rows:x", "Rows"] {
            assert!(text.parse::<Last>().is_err(), "{text}");
        }
    }
}
