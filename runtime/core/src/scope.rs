//! What one call may touch, and what it leaves.

mod limits;

use std::sync::Arc;

use thiserror::Error;

use crate::batch::Blobs;
use crate::flow::{Emitted, Flow};
use crate::operator::{Call, CallError, CallInfo, Domain, Entry, Failure, Origin, Slots};
use crate::port::{Fault, StoreError};
use crate::record::Timestamp;
use crate::slots::Keys;
use crate::state::{self, Kept, Range, State};

pub use self::limits::Limits;
pub(crate) use self::limits::{Times, is_time, too_long};

/// Fields that one range may delete.
pub const MAX_DELETED: usize = 50_000;

/// Why a call of an import is not answered.
#[derive(Clone, Debug, Error, Eq, PartialEq)]
pub enum Refusal {
    /// The guest asks for what it may not have; the call ends.
    #[error("{0}")]
    Violation(String),
    /// The host cannot answer; the guest is not at fault.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Fault(error.into())
    }
}

impl From<Refusal> for CallError {
    /// For an operator of the host's own, which asks for itself.
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Violation(reason) => Self::Limit(reason),
            Refusal::Fault(fault) => Self::Fault(fault),
        }
    }
}

fn violation<T>(reason: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Violation(reason.into()))
}

/// A value of one of the operator's own metrics.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Measurement {
    /// Adds to a counter.
    Add(u32, u64),
    /// Sets a gauge.
    Set(u32, f64),
    /// Adds a value to a histogram.
    Observe(u32, f64),
}

/// An event timer that the call set.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Armed {
    /// The first record of its key in the call.
    pub record: u32,
    /// When it is due.
    pub at: Timestamp,
}

/// The records of a call that have output.
#[derive(Debug, Default)]
struct Emitters {
    all: bool,
    some: Vec<u32>,
}

/// What one call may touch, and what it leaves: its records, the rows behind it, its output.
#[derive(Debug)]
pub struct Scope {
    call: Arc<Call>,
    origins: Vec<u32>,
    keys: Keys,
    state: Option<Box<State>>,
    outputs: Vec<Flow>,
    limits: Limits,
    /// What the output takes in memory.
    emitted: usize,
    emitters: Emitters,
    armed: Vec<Armed>,
    measurements: Vec<Measurement>,
}

impl Scope {
    /// The scope of a call. `origins` has the source record of each of its records; `outputs` has a flow for each of
    /// the operator's outputs, to which the call adds.
    pub fn new(
        call: Call,
        origins: Vec<u32>,
        keys: Keys,
        state: Option<Box<State>>,
        outputs: Vec<Flow>,
        limits: Limits,
    ) -> Self {
        Self {
            call: Arc::new(call),
            origins,
            keys,
            state,
            outputs,
            limits,
            emitted: 0,
            emitters: Emitters::default(),
            armed: Vec::new(),
            measurements: Vec::new(),
        }
    }

    /// A scope without rows, for an operator that is called outside a task.
    pub fn detached(call: Call, outputs: usize) -> Self {
        let origins = (0..call.records.len() as u32).collect();
        Self::new(call, origins, Keys::default(), None, vec![Flow::default(); outputs], Limits::default())
    }

    /// The call.
    pub fn call(&self) -> &Arc<Call> {
        &self.call
    }

    /// What the call may leave at most.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Bytes that the call has emitted so far.
    pub fn emitted(&self) -> usize {
        self.emitted
    }

    /// Takes the scope apart: rows, outputs, and what else the call left.
    pub fn into_parts(self) -> (Option<Box<State>>, Vec<Flow>, Vec<Armed>, Vec<Measurement>) {
        (self.state, self.outputs, self.armed, self.measurements)
    }

    /// Takes output from the guest; see `wasmill:plugin/output.emit`.
    pub fn emit(&mut self, port: u32, emitted: Emitted<'_>, origins: &[u32]) -> Result<(), Refusal> {
        let records = self.call.records.len();
        let count = emitted.timestamps.len();
        if origins.is_empty() && count != records && count != 0 {
            return violation(format!(
                "output.emit without origins must have one record for each of the {records} of the call, not {count}"
            ));
        }
        if !origins.is_empty() && origins.len() != count {
            return violation(format!("output.emit has {count} records and {} origins", origins.len()));
        }
        if !origins.is_sorted() || origins.last().is_some_and(|&last| last as usize >= records) {
            return violation(format!("output.emit needs origins that never fall and are below {records}"));
        }
        self.emitted = self.limits.check_sizes(&emitted, self.emitted)?;
        self.limits.check_times(emitted.timestamps, self.call.info.processing_time)?;
        self.emitters.all |= origins.is_empty() && count > 0;
        self.emitters.some.extend_from_slice(origins);
        let of = &self.origins;
        let origin = |index: usize| {
            let record = origins.get(index).map_or(index, |&origin| origin as usize);
            of.get(record).copied().unwrap_or_default()
        };
        let Some(flow) = self.outputs.get_mut(port as usize) else {
            return violation(format!("output.emit: there is no output {port}, only {}", self.outputs.len()));
        };
        match flow.emit(emitted, &self.call.records, origin) {
            Ok(()) => Ok(()),
            Err(malformed) => violation(format!("output.emit: {malformed}")),
        }
    }

    /// Whether a record that failed has output.
    pub(crate) fn has_output_of(&self, failures: &[Failure]) -> bool {
        let failed = self.among(failures.iter().map(|failure| failure.index));
        let emitted = |&record: &u32| failed.get(record as usize).copied().unwrap_or(false);
        !failures.is_empty() && (self.emitters.all || self.emitters.some.iter().any(emitted))
    }

    /// How many of the call's records have output.
    pub(crate) fn emitters(&self) -> usize {
        if self.emitters.all {
            return self.call.records.len();
        }
        self.among(self.emitters.some.iter().copied()).into_iter().filter(|&emitted| emitted).count()
    }

    /// For each record of the call whether it is among some.
    fn among(&self, some: impl Iterator<Item = u32>) -> Vec<bool> {
        let mut among = vec![false; self.call.records.len()];
        for index in some {
            if let Some(among) = among.get_mut(index as usize) {
                *among = true;
            }
        }
        among
    }

    /// Reads a value, its encoding byte first.
    pub fn get(&mut self, state: u32, key: &[u8], field: &[u8]) -> Result<Option<Vec<u8>>, Refusal> {
        self.check(state, key, field)?;
        let watermark = self.call.info.watermark;
        Ok(self.rows()?.value(state as usize, key, field, watermark)?.map(<[u8]>::to_vec))
    }

    /// Writes a value, its encoding byte first.
    pub fn put(&mut self, state: u32, key: &[u8], field: &[u8], value: &[u8]) -> Result<(), Refusal> {
        if value.is_empty() {
            return violation("a stored value begins with the byte of its encoding, this one is empty");
        }
        self.limits.check_row(key.len() + field.len(), value.len())?;
        self.write(state, key, field, Some(value))
    }

    /// Deletes a value.
    pub fn delete(&mut self, state: u32, key: &[u8], field: &[u8]) -> Result<(), Refusal> {
        self.write(state, key, field, None)
    }

    fn write(&mut self, state: u32, key: &[u8], field: &[u8], value: Option<&[u8]>) -> Result<(), Refusal> {
        let slot = self.check(state, key, field)?;
        let written = self.written(slot);
        Ok(self.rows()?.put(state as usize, key, field, value, written)?)
    }

    /// Writes the cells that the call changed. `states` has the prefetched states in the order of a slot's cells.
    pub(crate) fn write_cells(&mut self, states: &[u32], cells: &[u32], values: &Blobs) -> Result<(), CallError> {
        let call = self.call.clone();
        for (index, &cell) in cells.iter().enumerate() {
            let (slot, state) = (cell as usize / states.len().max(1), cell as usize % states.len().max(1));
            let record = self.keys.slots().get(slot).and_then(|slot| call.records.get(slot.first as usize));
            let (Some(record), Some(&state)) = (record, states.get(state)) else {
                return Err(CallError::Limit(format!("the call changed cell {cell}, which it was not given")));
            };
            let (key, value) = (record.key.unwrap_or_default(), values.get(index));
            if value.is_some_and(<[u8]>::is_empty) {
                let reason = format!("the call changed cell {cell} to a value without its encoding's byte");
                return Err(CallError::Limit(reason));
            }
            self.limits.check_row(key.len(), value.map_or(0, <[u8]>::len))?;
            let written = self.written(slot as u32);
            let Some(rows) = self.state.as_deref_mut() else { break };
            rows.put(state as usize, key, b"", value, written).map_err(Fault::from)?;
        }
        Ok(())
    }

    /// When what this call writes under a slot's key counts as written.
    pub(crate) fn written(&self, slot: u32) -> Timestamp {
        let greatest = self.keys.slots().get(slot as usize).map_or(Timestamp::NONE, |slot| slot.greatest);
        greatest.max(self.call.info.watermark)
    }

    /// Fields and values of a map.
    pub fn scan(&self, state: u32, key: &[u8], range: &Range<'_>) -> Result<Blobs, Refusal> {
        let (rows, room) = (self.map(state, key, range.start)?, self.limits.output);
        match rows.scan(state as usize, key, range, self.call.info.watermark, room)? {
            Some(found) => Ok(state::pairs(&found)),
            None => violation(format!("state.scan finds more than {room} bytes: ask for fewer fields at a time")),
        }
    }

    /// Deletes the fields of a range.
    pub fn delete_range(&mut self, state: u32, key: &[u8], range: &Range<'_>) -> Result<(), Refusal> {
        self.map(state, key, range.start)?;
        let room = self.limits.output;
        if self.rows()?.delete_range(state as usize, key, range, room)? {
            return Ok(());
        }
        violation(format!("state.delete-range would write more than {room} bytes: delete fewer fields at a time"))
    }

    /// Sets a timer, or moves it.
    pub fn set_timer(&mut self, domain: Domain, key: &[u8], name: &[u8], at: Timestamp) -> Result<(), Refusal> {
        let slot = self.slot(key)?;
        if !at.is_some() {
            return self.cancel_timer(domain, key, name);
        }
        self.limits.check_row(key.len() + name.len(), 0)?;
        if domain == Domain::EventTime {
            let record = self.keys.slots().get(slot as usize).map_or(0, |slot| slot.first);
            self.armed.push(Armed { record, at });
        }
        Ok(self.rows()?.set_timer(domain, key, name, at)?)
    }

    /// Cancels a timer.
    pub fn cancel_timer(&mut self, domain: Domain, key: &[u8], name: &[u8]) -> Result<(), Refusal> {
        self.slot(key)?;
        Ok(self.rows()?.cancel_timer(domain, key, name)?)
    }

    /// Notes a value of a metric.
    pub fn measure(&mut self, measurement: Measurement) {
        self.measurements.push(measurement);
    }

    fn rows(&mut self) -> Result<&mut State, Refusal> {
        self.state.as_deref_mut().ok_or_else(|| Refusal::Violation("this operator keeps no state".into()))
    }

    fn slot(&self, key: &[u8]) -> Result<u32, Refusal> {
        let slot = self.keys.slot(&self.call.records, key);
        slot.ok_or_else(|| Refusal::Violation("state and timers belong to a key of the call's records".into()))
    }

    fn kept(&self, state: u32) -> Result<(&State, &Kept), Refusal> {
        let Some(rows) = self.state.as_deref() else { return violation("this operator keeps no state") };
        let kept = rows.kept().get(state as usize);
        let kept = kept.ok_or_else(|| Refusal::Violation(format!("there is no state {state}")))?;
        Ok((rows, kept))
    }

    /// Whether the call may read and write there. Answers the slot of the key.
    fn check(&self, state: u32, key: &[u8], field: &[u8]) -> Result<u32, Refusal> {
        let (_, kept) = self.kept(state)?;
        if kept.declaration.prefetch {
            return violation(format!(
                "state `{}` is prefetched, so it is read and written in slots",
                kept.declaration.name
            ));
        }
        self.limits.check_name(key.len() + field.len())?;
        if !kept.is_map() && !field.is_empty() {
            return violation(format!("state `{}` is no map, so it has no fields", kept.declaration.name));
        }
        self.slot(key)
    }

    fn map(&self, state: u32, key: &[u8], start: &[u8]) -> Result<&State, Refusal> {
        let (rows, kept) = self.kept(state)?;
        self.check(state, key, if kept.is_map() { start } else { b"" })?;
        if kept.is_map() { Ok(rows) } else { violation(format!("state {state} is no map")) }
    }
}

impl Default for Scope {
    /// A scope of no call, to stand in while the real one is elsewhere.
    fn default() -> Self {
        let call = Call {
            entry: Entry::Process,
            info: CallInfo::default(),
            records: Arc::default(),
            slots: Slots::default(),
            origin: Origin::default(),
        };
        Self::detached(call, 0)
    }
}
