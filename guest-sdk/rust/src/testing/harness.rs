use std::collections::BTreeSet;
use std::fmt;

use super::columns;
use super::imports::{Call, Effects, during, take_log};
use super::observed::{Failed, Line, Pending};
use crate::bindings::operator::exports::wasmill::plugin::lifecycle::OperatorInfo;
use crate::bindings::operator::wasmill::plugin::types::{
    Batch, Blobs, CallInfo, Error as CallError, Failure, KeyedOutcome, Slots,
};
use crate::guest::{Processor, Transformer};
use crate::{Domain, Error, Message, Open, Process, Result, Setup, Timestamp, Transform, Value};

/// An operator, and the host around it. Made by [`transform`] or [`process`].
///
/// A test that asks for an output, a state or a metric by a name that the operator did not declare panics, as does an
/// operator that breaks the contract with the host.
pub struct Harness<O> {
    operator: O,
    settings: String,
    info: OperatorInfo,
    effects: Effects,
    failures: Vec<Failed>,
    log: Vec<Line>,
    input: u32,
    sequence: u64,
    offset: i64,
    watermark: Timestamp,
    processing_time: Timestamp,
}

/// Opens a stateless operator with its settings, a JSON object.
pub fn transform<T: Transform>(settings: &str) -> Result<Harness<Transformer<T>>> {
    Harness::open(settings)
}

/// Opens a keyed operator with its settings, a JSON object.
pub fn process<T: Process>(settings: &str) -> Result<Harness<Processor<T>>> {
    Harness::open(settings)
}

/// What a call brings: records, or timers of a domain.
#[derive(Clone, Copy, Debug)]
#[doc(hidden)]
pub enum Kind {
    /// Records.
    Records,
    /// Timers.
    Timers(Domain),
}

/// An operator that a harness can drive: one made of [`Transform`] or of [`Process`].
pub trait Operator: Open {
    /// Whether it works by key.
    #[doc(hidden)]
    const KEYED: bool;

    #[doc(hidden)]
    fn call(&mut self, kind: Kind, info: CallInfo, batch: &Batch, slots: &Slots) -> Result<KeyedOutcome, CallError>;
}

impl<T: Transform> Operator for Transformer<T> {
    const KEYED: bool = false;

    fn call(&mut self, _: Kind, info: CallInfo, batch: &Batch, _: &Slots) -> Result<KeyedOutcome, CallError> {
        let failures = self.process(info, batch)?.failures;
        Ok(KeyedOutcome { failures, cells: Vec::new(), values: Blobs { spans: Vec::new(), data: Vec::new() } })
    }
}

impl<T: Process> Operator for Processor<T> {
    const KEYED: bool = true;

    fn call(&mut self, kind: Kind, info: CallInfo, batch: &Batch, slots: &Slots) -> Result<KeyedOutcome, CallError> {
        match kind {
            Kind::Records => self.process(info, batch, slots),
            Kind::Timers(domain) => self.on_timers(info, domain.into(), batch, slots),
        }
    }
}

impl<O: Operator> Harness<O> {
    fn open(settings: &str) -> Result<Self> {
        let mut setup = Setup::new(settings);
        let operator = O::open(&mut setup)?;
        Ok(Self {
            operator,
            settings: settings.to_owned(),
            info: setup.finish("test", "0.0.0")?,
            effects: Effects::default(),
            failures: Vec::new(),
            log: take_log(),
            input: 0,
            sequence: 0,
            offset: 0,
            watermark: Timestamp::NONE,
            processing_time: Timestamp::from_millis(0),
        })
    }

    /// Replaces the instance by a new one, as the host may between any two calls: what lasts is what is in state.
    pub fn reopen(&mut self) -> Result<()> {
        self.operator = O::open(&mut Setup::new(&self.settings))?;
        self.log.extend(take_log());
        Ok(())
    }

    /// Gives records to the operator by its first input, in one call; then fires the timers that are due. In a keyed
    /// operator a record without a key fails.
    ///
    /// A transient or permanent error is returned, and the call has no effects.
    pub fn send<'m>(&mut self, records: impl IntoIterator<Item = Message<'m>>) -> Result<()> {
        self.input = 0;
        self.call_with_records(records.into_iter().map(Message::into_owned).collect())
    }

    /// Gives records to the operator by a named input, as [`send`](Harness::send) does.
    pub fn send_to<'m>(&mut self, input: &str, records: impl IntoIterator<Item = Message<'m>>) -> Result<()> {
        self.input = index("input", input, self.info.inputs.iter().map(String::as_str));
        self.call_with_records(records.into_iter().map(Message::into_owned).collect())
    }

    /// Moves the watermark on and fires the event-time timers that are due, in order of time, key and name. One that they
    /// set at or before the watermark fires after the next records, or when time is moved again. A watermark never moves
    /// back.
    pub fn advance_watermark(&mut self, to: Timestamp) -> Result<()> {
        self.watermark = self.watermark.max(to);
        self.fire(Domain::EventTime, self.watermark)
    }

    /// Moves the host's clock on and fires the processing-time timers that are due, in order of time, key and name. The
    /// clock begins at 0 and never moves back.
    pub fn advance_processing_time(&mut self, to: Timestamp) -> Result<()> {
        self.processing_time = self.processing_time.max(to);
        self.fire(Domain::ProcessingTime, self.processing_time)
    }

    /// Takes what was emitted to an output since it was last taken. The main one is `main`.
    pub fn take(&mut self, output: &str) -> Vec<Message<'static>> {
        let port = index("output", output, self.info.outputs.iter().map(|output| output.name.as_str()));
        self.effects.outputs.remove(&port).unwrap_or_default()
    }

    /// The records that the operator could not handle.
    pub fn failures(&self) -> &[Failed] {
        &self.failures
    }

    /// The lines of the log, those of calls without effects too.
    pub fn log(&self) -> &[Line] {
        &self.log
    }

    /// The value of a key in a state with one value for each key. A value in an older encoding is an error.
    pub fn state<T: Value>(&self, name: &str, key: impl AsRef<[u8]>) -> Result<Option<T>> {
        let state = self.state_index(name);
        self.effects.store.get(state, key.as_ref(), &[]).map(|stored| self.decode(state, stored)).transpose()
    }

    /// The fields and values of a key in an ordered map, in order. A value in an older encoding is an error.
    pub fn map<T: Value>(&self, name: &str, key: impl AsRef<[u8]>) -> Result<Vec<(Vec<u8>, T)>> {
        let state = self.state_index(name);
        let entries = self.effects.store.scan(state, key.as_ref(), &[], None);
        entries.into_iter().map(|(field, stored)| Ok((field.to_vec(), self.decode(state, stored)?))).collect()
    }

    /// Stores a value as an operator with another encoding did, to test how it is read.
    pub fn store(&mut self, name: &str, key: impl AsRef<[u8]>, encoding: u8, value: &impl Value) -> Result<()> {
        let state = self.state_index(name);
        let mut stored = vec![encoding];
        value.encode(&mut stored)?;
        self.effects.store.put(state, key.as_ref(), &[], Some(&stored), self.watermark);
        Ok(())
    }

    /// The timers that are set, by domain and in the order in which they fire.
    pub fn timers(&self) -> Vec<Pending> {
        self.effects.timers.iter().cloned().collect()
    }

    /// The sum of a counter.
    pub fn counter(&self, name: &str) -> u64 {
        self.effects.counters.get(&self.metric_index(name)).copied().unwrap_or_default()
    }

    /// The number that a gauge was last set to, if it was.
    pub fn gauge(&self, name: &str) -> Option<f64> {
        self.effects.gauges.get(&self.metric_index(name)).copied()
    }

    /// The observations of a histogram, in order.
    pub fn observations(&self, name: &str) -> &[f64] {
        self.effects.observations.get(&self.metric_index(name)).map_or(&[], Vec::as_slice)
    }

    fn state_index(&self, name: &str) -> u32 {
        index("state", name, self.info.states.iter().map(|state| state.name.as_str()))
    }

    fn metric_index(&self, name: &str) -> u32 {
        index("metric", name, self.info.metrics.iter().map(|metric| metric.name.as_str()))
    }

    fn decode<T: Value>(&self, state: u32, stored: &[u8]) -> Result<T> {
        let decl = &self.info.states[state as usize];
        match stored.split_first() {
            Some((encoding, bytes)) if *encoding == decl.encoding => T::decode(bytes),
            _ => Err(Error::Permanent(format!("read state `{}`: not in encoding {}", decl.name, decl.encoding))),
        }
    }

    fn call_with_records(&mut self, records: Vec<Message<'static>>) -> Result<()> {
        let (keyed, keyless) = records.into_iter().partition::<Vec<_>, _>(|record| !O::KEYED || record.key.is_some());
        let no_key = |record| Failed { record, reason: "the record has no key".to_owned() };
        self.call(Kind::Records, keyed)?;
        self.failures.extend(keyless.into_iter().map(no_key));
        self.fire(Domain::EventTime, self.watermark)?;
        self.fire(Domain::ProcessingTime, self.processing_time)
    }

    fn fire(&mut self, domain: Domain, now: Timestamp) -> Result<()> {
        // One at a time: a timer may cancel or move a later one.
        for timer in self.effects.timers.due(domain, now) {
            if !self.effects.timers.take(&timer) {
                continue;
            }
            let record = Message::new(&timer.name, timer.at).with_key(&timer.key).into_owned();
            if let Err(error) = self.call(Kind::Timers(domain), vec![record]) {
                self.effects.timers.set(timer);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Makes one call, again without the records that failed if it is keyed, until its effects can stay.
    fn call(&mut self, kind: Kind, mut records: Vec<Message<'static>>) -> Result<()> {
        self.effects.store.expire(&self.info.states, self.watermark);
        let mut failures = Vec::new();
        let next_offset = self.offset + records.len() as i64;
        let mut offsets: Vec<i64> = (self.offset..next_offset).collect();
        while !records.is_empty() {
            let (failed, effects) = self.attempt(kind, &records, &offsets)?;
            let indexes: BTreeSet<usize> = failed.iter().map(|failure| failure.index as usize).collect();
            assert_eq!(indexes.len(), failed.len(), "a record fails at most once");
            assert!(indexes.last().is_none_or(|last| *last < records.len()), "what fails is a record of the call");
            failures.extend(
                failed
                    .into_iter()
                    .map(|failure| Failed { record: records[failure.index as usize].clone(), reason: failure.reason }),
            );
            if !O::KEYED || indexes.is_empty() {
                let emitted = |origin: &u32| indexes.contains(&(*origin as usize));
                assert!(!effects.origins.iter().any(emitted), "a record that fails emits nothing");
                self.effects = Effects { origins: Vec::new(), ..effects };
                break;
            }
            let without_failed = |index: usize| !indexes.contains(&index);
            records = keep(records, without_failed);
            offsets = keep(offsets, without_failed);
        }
        self.offset = next_offset;
        self.failures.extend(failures);
        self.sequence += 1;
        Ok(())
    }

    fn attempt(&mut self, kind: Kind, records: &[Message<'_>], offsets: &[i64]) -> Result<(Vec<Failure>, Effects)> {
        let batch = columns::batch(records);
        let (slots, keys) = self.slots(records);
        let event_time = |record: &Message<'_>| match kind {
            Kind::Timers(Domain::ProcessingTime) => Timestamp::NONE,
            Kind::Records | Kind::Timers(Domain::EventTime) => record.timestamp,
        };
        let of_call = records.iter().map(|record| (record.key().unwrap_or_default().to_vec(), event_time(record)));
        let call = Call {
            info: self.info.clone(),
            input: batch.data.clone(),
            records: of_call.collect(),
            offsets: offsets.to_vec(),
            watermark: self.watermark,
            effects: self.effects.clone(),
        };
        let info = CallInfo {
            input: self.input,
            partition: 0,
            sequence: self.sequence,
            watermark: self.watermark.as_millis(),
            processing_time: self.processing_time.as_millis(),
        };
        // Columns that the operator was given stay where they are during the call, as in a component's memory.
        let (outcome, mut call) = during(call, || self.operator.call(kind, info, &batch, &slots));
        self.log.extend(take_log());
        let outcome = outcome.map_err(|error| match error {
            CallError::Transient(reason) => Error::Transient(reason),
            CallError::Permanent(reason) => Error::Permanent(reason),
        })?;
        self.store_cells(&mut call, &keys, &outcome);
        Ok((outcome.failures, call.effects))
    }

    /// The prefetched state of each distinct key, and the keys.
    fn slots(&self, records: &[Message<'_>]) -> (Slots, Vec<Vec<u8>>) {
        let mut keys: Vec<Vec<u8>> = Vec::new();
        let mut slot_of = Vec::new();
        for key in records.iter().map(|record| record.key().unwrap_or_default()) {
            let slot = keys.iter().position(|other| other == key).unwrap_or_else(|| {
                keys.push(key.to_vec());
                keys.len() - 1
            });
            slot_of.push(slot as u32);
        }
        let states = self.prefetched();
        let of_key = |key| states.iter().map(move |state| self.effects.store.get(*state, key, &[]));
        let values = columns::blobs(keys.iter().flat_map(|key| of_key(key.as_slice())));
        (Slots { slot_of, values }, keys)
    }

    fn prefetched(&self) -> Vec<u32> {
        let states = self.info.states.iter().enumerate().filter(|(_, state)| state.prefetch);
        states.map(|(index, _)| index as u32).collect()
    }

    fn store_cells(&self, call: &mut Call, keys: &[Vec<u8>], outcome: &KeyedOutcome) {
        let states = self.prefetched();
        let values = columns::parts(&outcome.values);
        assert_eq!(values.len(), outcome.cells.len(), "every changed cell has a value");
        let mut changed = BTreeSet::new();
        for (cell, value) in outcome.cells.iter().zip(values) {
            assert!((*cell as usize) < keys.len() * states.len(), "cell {cell} is one of the call");
            assert!(changed.insert(cell), "cell {cell} changes once");
            let key = &keys[*cell as usize / states.len()];
            let written = call.written(key);
            call.effects.store.put(states[*cell as usize % states.len()], key, &[], value, written);
        }
    }
}

impl<O> fmt::Debug for Harness<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Harness")
            .field("effects", &self.effects)
            .field("failures", &self.failures)
            .finish_non_exhaustive()
    }
}

fn index<'a>(noun: &str, name: &str, mut names: impl Iterator<Item = &'a str>) -> u32 {
    let found = names.position(|other| other == name);
    assert!(found.is_some(), "the operator declares no {noun} `{name}`");
    found.unwrap_or_default() as u32
}

fn keep<T>(list: Vec<T>, keep: impl Fn(usize) -> bool) -> Vec<T> {
    list.into_iter().enumerate().filter(|(index, _)| keep(*index)).map(|(_, item)| item).collect()
}
