use super::failure;
use crate::bindings::operator::wasmill::plugin::types::{Batch, CallInfo, Error as CallError, Outcome};
use crate::output::{Buffer, Output};
use crate::{Call, Open, Record, Result, Setup, Transform};

/// An open [`Transform`] operator.
#[derive(Debug)]
pub struct Transformer<T> {
    operator: T,
    buffers: Vec<Buffer>,
}

impl<T: Transform> Open for Transformer<T> {
    fn open(setup: &mut Setup) -> Result<Self> {
        Ok(Self { operator: T::open(setup)?, buffers: setup.buffers() })
    }
}

impl<T: Transform> Transformer<T> {
    /// Answers `transformer.process`. What a failed record emitted is taken back.
    pub fn process(&mut self, info: CallInfo, records: &Batch) -> Result<Outcome, CallError> {
        let call = Call::new(info);
        let mut out = Output::new(&mut self.buffers, &call, &records.data);
        let mut failures = Vec::new();
        for record in Record::all(records) {
            out.begin(record);
            match self.operator.process(record, &mut out) {
                Ok(()) => out.settle(),
                Err(error) => {
                    failures.push(failure(&record, error)?);
                    out.roll_back();
                }
            }
        }
        out.finish();
        Ok(Outcome { failures })
    }
}
