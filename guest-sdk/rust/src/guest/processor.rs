use std::collections::HashSet;

use super::failure;
use crate::bindings::operator::wasmill::plugin::types::{
    Batch, Blobs, CallInfo, Error as CallError, Failure, KeyedOutcome, Slots,
};
use crate::bindings::processor::wasmill::plugin::timers;
use crate::output::{Buffer, Output};
use crate::state::Cells;
use crate::{Call, Context, Open, Process, Record, Result, Setup, Timer};

/// An open [`Process`] operator.
#[derive(Debug)]
pub struct Processor<T> {
    operator: T,
    buffers: Vec<Buffer>,
    prefetched: usize,
}

impl<T: Process> Open for Processor<T> {
    fn open(setup: &mut Setup) -> Result<Self> {
        Ok(Self { operator: T::open(setup)?, buffers: setup.buffers(), prefetched: setup.prefetched() })
    }
}

impl<T: Process> Processor<T> {
    /// Answers `processor.process`.
    pub fn process(&mut self, info: CallInfo, records: &Batch, state: &Slots) -> Result<KeyedOutcome, CallError> {
        self.each(info, records, state, T::process)
    }

    /// Answers `processor.on-timers`.
    pub fn on_timers(
        &mut self,
        info: CallInfo,
        domain: timers::Domain,
        timers: &Batch,
        state: &Slots,
    ) -> Result<KeyedOutcome, CallError> {
        self.each(info, timers, state, |operator, record, cx| operator.on_timer(Timer::new(domain.into(), record), cx))
    }

    fn each(
        &mut self,
        info: CallInfo,
        records: &Batch,
        state: &Slots,
        mut handle: impl FnMut(&mut T, Record<'_>, &mut Context<'_>) -> Result<()>,
    ) -> Result<KeyedOutcome, CallError> {
        let call = Call::new(info);
        let out = Output::new(&mut self.buffers, &call, &records.data);
        let mut cx = Context::new(out, Cells::new(state, self.prefetched));
        let mut failures = Vec::new();
        // What a record changed before it failed is still there, so later records of its key are left to the call that
        // the host makes again.
        let mut spoilt = HashSet::new();
        for (record, slot) in Record::all(records).zip(&state.slot_of) {
            if spoilt.contains(slot) {
                continue;
            }
            cx.begin(record, *slot as usize);
            match handle(&mut self.operator, record, &mut cx) {
                Ok(()) => cx.out.settle(),
                Err(error) => {
                    failures.push(failure(&record, error)?);
                    cx.out.roll_back();
                    if cx.changed() {
                        spoilt.insert(*slot);
                    }
                }
            }
        }
        if !failures.is_empty() {
            return Ok(only(failures));
        }
        cx.out.finish();
        cx.alarms.finish();
        Ok(cx.cells.finish())
    }
}

/// The outcome of a call that the host drops and makes again without the records that failed.
fn only(failures: Vec<Failure>) -> KeyedOutcome {
    KeyedOutcome { failures, cells: Vec::new(), values: Blobs { spans: Vec::new(), data: Vec::new() } }
}
