//! One call of a guest: what goes in, what comes out, and whether that can be.

use thiserror::Error;
use wasmill_core::batch::Blobs;
use wasmill_core::operator::{Call, Entry, Failure, Outcome};
use wasmtime::Store;
use wasmtime::component::Func;

use super::contract::{self, Batch, CallInfo, Domain, KeyedOutcome, Slots};
use super::host::Host;
use super::lines::cut;

/// Bytes of a failure's reason; the rest is cut off.
const LONGEST_REASON: usize = 2048;

/// What a stateless call returns.
pub(super) type Transformed = (Result<contract::Outcome, contract::Error>,);

/// What a keyed call returns.
pub(super) type Processed = (Result<KeyedOutcome, contract::Error>,);

/// The functions of a role in one instance.
#[derive(Clone, Copy, Debug)]
pub(super) enum Functions {
    /// `transformer`
    Transform {
        /// `process`
        process: Func,
    },
    /// `processor`
    Process {
        /// `process`
        process: Func,
        /// `on-timers`
        on_timers: Func,
    },
}

impl Functions {
    /// Checks that they have the types of the contract.
    pub(super) fn check(&self, store: &Store<Host>) -> wasmtime::Result<()> {
        match self {
            Self::Transform { process } => process.typed::<(CallInfo, Batch<'_>), Transformed>(store).map(drop),
            Self::Process { process, on_timers } => {
                process.typed::<(CallInfo, Batch<'_>, Slots<'_>), Processed>(store)?;
                on_timers.typed::<(CallInfo, Domain, Batch<'_>, Slots<'_>), Processed>(store).map(drop)
            }
        }
    }

    /// Makes a call. The scope is in the store.
    pub(super) fn call(
        &self,
        store: &mut Store<Host>,
        call: &Call,
    ) -> wasmtime::Result<Result<KeyedOutcome, contract::Error>> {
        let (info, records, slots) =
            (CallInfo::from(&call.info), Batch::from(&*call.records), Slots::from(&call.slots));
        // The arguments borrow from the call, so a typed function is good for one call only. Its types are checked for
        // each call, not for each record; keeping it would take unsafe code.
        match (self, call.entry) {
            (Self::Transform { process }, _) => {
                let process = process.typed::<(CallInfo, Batch<'_>), Transformed>(&*store)?;
                let (answer,) = process.call(store, (info, records))?;
                Ok(answer.map(stateless))
            }
            (Self::Process { process, .. }, Entry::Process) => {
                let process = process.typed::<(CallInfo, Batch<'_>, Slots<'_>), Processed>(&*store)?;
                Ok(process.call(store, (info, records, slots))?.0)
            }
            (Self::Process { on_timers, .. }, Entry::Timers(domain)) => {
                let on_timers = on_timers.typed::<(CallInfo, Domain, Batch<'_>, Slots<'_>), Processed>(&*store)?;
                Ok(on_timers.call(store, (info, domain.into(), records, slots))?.0)
            }
        }
    }
}

fn stateless(outcome: contract::Outcome) -> KeyedOutcome {
    let values = contract::Blobs { spans: Vec::new(), data: Vec::new() };
    KeyedOutcome { failures: outcome.failures, cells: Vec::new(), values }
}

/// Checks outcomes. Keeps a bit for each record and cell of a call from one to the next.
#[derive(Debug, Default)]
pub(super) struct Check {
    seen: Vec<u64>,
}

impl Check {
    /// Takes an outcome over if it can be one of a call.
    pub(super) fn outcome(&mut self, outcome: KeyedOutcome, call: &Call, longest: usize) -> Result<Outcome, Nonsense> {
        let failures = self.failures(outcome.failures, call.records.len())?;
        let values = Blobs::from_parts(outcome.values.spans, outcome.values.data);
        let values = values.map_err(|malformed| Nonsense(format!("the values of its cells: {malformed}")))?;
        self.cells(&outcome.cells, call.slots.values.len())?;
        if values.len() != outcome.cells.len() {
            return Err(Nonsense(format!("{} cells and {} values", outcome.cells.len(), values.len())));
        }
        for (cell, value) in outcome.cells.iter().zip(values.iter()) {
            match value.map(<[u8]>::len) {
                Some(0) => return Err(Nonsense(format!("a value for cell {cell} without the byte of its encoding"))),
                Some(size) if size > longest => {
                    return Err(Nonsense(format!("a value of {size} bytes for cell {cell}, the limit is {longest}")));
                }
                _ => {}
            }
        }
        Ok(Outcome { failures, cells: outcome.cells, values })
    }

    fn failures(&mut self, failures: Vec<contract::Failure>, records: usize) -> Result<Vec<Failure>, Nonsense> {
        if failures.is_empty() {
            return Ok(Vec::new());
        }
        self.forget(records);
        for failure in &failures {
            let index = failure.index;
            match self.see(index, records) {
                Seen::First => {}
                Seen::Before => return Err(Nonsense(format!("two failures of record {index}"))),
                Seen::Never => return Err(Nonsense(format!("a failure of record {index}, of {records}"))),
            }
        }
        let take = |failure: contract::Failure| Failure {
            index: failure.index,
            reason: cut(&failure.reason, LONGEST_REASON).into(),
        };
        Ok(failures.into_iter().map(take).collect())
    }

    fn cells(&mut self, changed: &[u32], cells: usize) -> Result<(), Nonsense> {
        self.forget(cells);
        for &cell in changed {
            match self.see(cell, cells) {
                Seen::First => {}
                Seen::Before => return Err(Nonsense(format!("cell {cell} twice"))),
                Seen::Never => return Err(Nonsense(format!("cell {cell}, of {cells}"))),
            }
        }
        Ok(())
    }

    fn forget(&mut self, bits: usize) {
        self.seen.clear();
        self.seen.resize(bits.div_ceil(64), 0);
    }

    fn see(&mut self, index: u32, of: usize) -> Seen {
        let (index, bit) = (index as usize, 1 << (index % 64));
        match self.seen.get_mut(index / 64) {
            Some(word) if index < of => {
                let before = *word & bit != 0;
                *word |= bit;
                if before { Seen::Before } else { Seen::First }
            }
            _ => Seen::Never,
        }
    }
}

enum Seen {
    First,
    Before,
    /// It is not one of them.
    Never,
}

/// An outcome that no call can have.
#[derive(Debug, Error)]
#[error("returned {0}")]
pub(super) struct Nonsense(String);

#[cfg(test)]
mod tests {
    use wasmill_core::batch::{Batch, Message};
    use wasmill_core::operator::Origin;
    use wasmill_core::record::Timestamp;

    use super::*;

    fn call(records: usize, cells: usize) -> Call {
        let mut batch = Batch::default();
        let message = Message { key: Some(b"k"), value: None, headers: None, timestamp: Timestamp(0) };
        (0..records).for_each(|_| batch.push(message));
        let mut slots = wasmill_core::operator::Slots::default();
        (0..cells).for_each(|_| slots.values.push(None));
        let info = wasmill_core::operator::CallInfo::default();
        Call { entry: Entry::Process, info, records: batch.into(), slots, origin: Origin::default() }
    }

    fn outcome(failures: &[u32], cells: &[u32], spans: &[i32]) -> KeyedOutcome {
        let failures = failures.iter().map(|&index| contract::Failure { index, reason: "bad".into() }).collect();
        let values = contract::Blobs { spans: spans.into(), data: b"abcd".to_vec() };
        KeyedOutcome { failures, cells: cells.into(), values }
    }

    #[test]
    fn an_outcome_is_checked_before_it_is_used() {
        #[rustfmt::skip]
        let table = [
            (outcome(&[0, 69], &[1, 0], &[0, 2, 0, -1]), ""),
            (outcome(&[70],   &[],     &[]),             "returned a failure of record 70, of 70"),
            (outcome(&[3, 3], &[],     &[]),             "returned two failures of record 3"),
            (outcome(&[],     &[2],    &[0, 1]),         "returned cell 2, of 2"),
            (outcome(&[],     &[u32::MAX], &[0, 1]),     "returned cell 4294967295, of 2"),
            (outcome(&[],     &[1, 1], &[0, 1, 0, 1]),   "returned cell 1 twice"),
            (outcome(&[],     &[1],    &[]),             "returned 1 cells and 0 values"),
            (outcome(&[],     &[1],    &[0, 0]),         "returned a value for cell 1 without the byte of its encoding"),
            (outcome(&[],     &[1],    &[0, 4]),         "returned a value of 4 bytes for cell 1, the limit is 3"),
            (outcome(&[],     &[1],    &[3, 2]),         "returned the values of its cells: record 0: a span of 2 bytes"),
        ];
        let mut check = Check::default();
        for (outcome, expected) in table {
            let message =
                check.outcome(outcome, &call(70, 2), 3).map_or_else(|error| error.to_string(), |_| String::new());
            assert!(message.starts_with(expected) && message.is_empty() == expected.is_empty(), "{message}");
        }
    }
}
