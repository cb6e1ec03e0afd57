//! Built-ins that remember a value for each key.

use wasmill_core::batch::Blobs;
use wasmill_core::operator::{
    Call, CallError, Declaration, Failure, Native, Outcome, OutputDeclaration, Role, StateDeclaration, StateKind,
};
use wasmill_core::record::Timestamp;
use wasmill_core::scope::Scope;

use super::each::{Out, Record, records};

/// The version of the encoding of what is remembered: UTF-8 text.
const ENCODING: u8 = 1;

/// What a built-in remembers of a key, and what it makes of the next record.
pub(super) trait Fold {
    /// The name of its state.
    const STATE: &'static str;

    /// Milliseconds of event time after which what was last remembered may be forgotten.
    fn ttl(&self) -> Option<u64> {
        None
    }

    /// Takes a record to what is remembered of its key.
    fn fold(&self, kept: Option<&str>, record: &Record<'_>, watermark: Timestamp) -> Result<Step, String>;
}

/// What a record leads to.
pub(super) struct Step {
    /// What is remembered from now on; `None` where that does not change.
    pub(super) keep: Option<String>,
    pub(super) emit: Emit,
}

/// What is put out for a record.
pub(super) enum Emit {
    Nothing,
    /// The record as it came.
    Record,
    /// The record with this value.
    Value(String),
}

/// A built-in with state at its place in a pipeline.
pub(super) struct Keyed<F> {
    declaration: Declaration,
    fold: F,
}

impl<F: Fold> Keyed<F> {
    pub(super) fn new(name: &str, fold: F) -> Self {
        let state = StateDeclaration {
            name: F::STATE.to_owned(),
            kind: StateKind::Single,
            prefetch: true,
            ttl: fold.ttl(),
            encoding: ENCODING,
        };
        let declaration = Declaration {
            name: name.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            role: Role::Process,
            inputs: vec!["in".to_owned()],
            outputs: vec![OutputDeclaration { name: "out".to_owned(), keeps_keys: true }],
            states: vec![state],
            metrics: Vec::new(),
        };
        Self { declaration, fold }
    }
}

impl<F: Fold> Native for Keyed<F> {
    fn declaration(&self) -> &Declaration {
        &self.declaration
    }

    fn run(&mut self, call: &Call, scope: &mut Scope) -> Result<Outcome, CallError> {
        let mut outcome = Outcome::default();
        let mut out = Out::new(1, scope.limits());
        // What changed in this call, by slot. With one state a slot is a cell.
        let mut changed: Vec<Option<String>> = Vec::new();
        for record in records(&call.records) {
            let index = record.index() as usize;
            let slot = call.slots.slot_of.get(index).map_or(index, |&slot| slot as usize);
            let kept = match changed.get(slot) {
                Some(Some(kept)) => Some(kept.as_str()),
                _ => call.slots.values.get(slot).map(decode).transpose()?,
            };
            let watermark = call.origin.watermarks.get(index).map_or(call.info.watermark, |&at| Timestamp(at));
            let step = self.fold.fold(kept, &record, watermark);
            let step = step.and_then(|step| emit(&step, &record, &mut out).map(|()| step));
            // The core drops what a call with failures puts out, so nothing is taken back here.
            out.end(&[], step.is_ok())?;
            match step {
                Ok(Step { keep: Some(keep), .. }) => {
                    if changed.len() <= slot {
                        changed.resize(slot + 1, None);
                    }
                    if let Some(cell) = changed.get_mut(slot) {
                        *cell = Some(keep);
                    }
                }
                Ok(_) => {}
                Err(reason) => outcome.failures.push(Failure { index: record.index(), reason }),
            }
        }
        out.emit(scope)?;
        (outcome.cells, outcome.values) = cells(&changed);
        Ok(outcome)
    }
}

fn emit(step: &Step, record: &Record<'_>, out: &mut Out) -> Result<(), String> {
    match &step.emit {
        Emit::Nothing => Ok(()),
        Emit::Record => out.keep(0, record),
        Emit::Value(value) => out.value(0, record, value.as_bytes()),
    }
}

fn decode(stored: &[u8]) -> Result<&str, CallError> {
    let text = stored.split_first().filter(|(encoding, _)| **encoding == ENCODING);
    let text = text.and_then(|(_, text)| std::str::from_utf8(text).ok());
    text.ok_or_else(|| {
        CallError::Permanent("what is remembered of the key was not written by this built-in".to_owned())
    })
}

fn cells(changed: &[Option<String>]) -> (Vec<u32>, Blobs) {
    let (mut cells, mut values) = (Vec::new(), Blobs::default());
    for (keep, slot) in changed.iter().zip(0..) {
        if let Some(keep) = keep {
            cells.push(slot);
            values.push(Some(&[&[ENCODING], keep.as_bytes()].concat()));
        }
    }
    (cells, values)
}
