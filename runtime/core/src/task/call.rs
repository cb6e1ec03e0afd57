//! The calls that a turn makes, and the records that they settle.

use std::sync::Arc;

use crate::batch::{Batch, Blobs};
use crate::flow::{Chunk, Flow};
use crate::operator::{Call, CallError, CallInfo, Domain, Entry, Failure, Operator, Origin, Outcome, Role, Slots};
use crate::record::Timestamp;
use crate::scope::{Armed, Measurement, Scope, too_long};
use crate::slots::Keys;
use crate::stage::OnError;
use crate::state::State;
use crate::task::blame::{Blame, Cause};
use crate::task::care::{self, Suspect};
use crate::task::letter::{self, Letter};
use crate::task::trial::{Place, Stop};
use crate::task::turn::{MAX_HELD, NO_ORIGIN, Turn};

/// Failed calls of several records in one turn of which each is made again in parts. They take time, and the epoch is
/// open: a turn with more of them is dropped, and made again behind a commit.
const MOST_NARROWED: u32 = 32;

/// Parts of a failed call. A call that fails costs a hundred times one that does not, since it ends the guest: many
/// parts find a record of 256 with three of them, where halves take nine.
const PARTS: usize = 16;

/// Records, or timers as records, that an operator is given.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    entry: Entry,
    records: Arc<Batch>,
    origins: Vec<u32>,
    ordinals: Vec<u32>,
}

impl Given {
    /// Records with their source records; `ordinals` tell those of one source record apart.
    pub(crate) fn records(records: Arc<Batch>, origins: Vec<u32>, ordinals: Vec<u32>) -> Self {
        Self { entry: Entry::Process, records, origins, ordinals }
    }

    /// Timers.
    pub(crate) fn timers(domain: Domain, records: Arc<Batch>) -> Self {
        let none = vec![NO_ORIGIN; records.len()];
        Self { entry: Entry::Timers(domain), origins: none.clone(), ordinals: none, records }
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    fn select(&self, indexes: &[usize]) -> Self {
        let pick = |column: &[u32]| indexes.iter().filter_map(|&index| column.get(index).copied()).collect();
        Self {
            entry: self.entry,
            records: Arc::new(self.records.select(indexes.iter().copied())),
            origins: pick(&self.origins),
            ordinals: pick(&self.ordinals),
        }
    }

    /// Some of them at a time, in order.
    fn parts(&self) -> impl DoubleEndedIterator<Item = Self> {
        let size = self.len().div_ceil(PARTS);
        let part = move |first: usize| self.select(&(first..self.len().min(first + size)).collect::<Vec<_>>());
        (0..self.len()).step_by(size).map(part)
    }

    /// Without those at some indexes, which are in order.
    fn without(self, indexes: &[usize]) -> Self {
        if indexes.is_empty() {
            return self;
        }
        let left: Vec<_> = (0..self.len()).filter(|index| indexes.binary_search(index).is_err()).collect();
        self.select(&left)
    }
}

impl Turn<'_> {
    /// Gives records to an operator, in as many calls as its limit asks for, and settles those that it cannot handle.
    pub(crate) fn give(&mut self, node: usize, input: u32, given: Given, outputs: &mut Vec<Flow>) -> Result<(), Stop> {
        self.memory.operators[node].counts.input += given.len() as u64;
        let given = self.set_aside(node, given)?;
        let limit = self.limit(node);
        if given.len() <= limit {
            return self.settle(node, input, given, outputs);
        }
        let indexes: Vec<_> = (0..given.len()).collect();
        for part in indexes.chunks(limit) {
            self.settle(node, input, given.select(part), outputs)?;
        }
        Ok(())
    }

    /// How many records a call of an operator may have.
    pub(crate) fn limit(&self, node: usize) -> usize {
        if self.watch.care().is_singly() { 1 } else { self.trial.limit(node) }
    }

    fn suspect(&self, node: usize, given: &Given, index: usize) -> Suspect {
        Suspect::new(node, care::code(self.stage), &self.place(given, index))
    }

    /// Says in the task's row which call is made next, where processes died on one that is not known.
    fn announce(&mut self, node: usize, given: &Given) -> Result<(), Stop> {
        if self.watch.care().is_singly() {
            let suspect = self.suspect(node, given, 0);
            (self.announce)(self.watch.announce(suspect)).map_err(Stop::Fault)?;
        }
        Ok(())
    }

    /// Why a record is known to be at fault, and after how many attempts.
    fn verdict(&mut self, node: usize, given: &Given, index: usize) -> Option<(Blame, u32)> {
        if self.watch.has_verdict()
            && let Some((reason, deaths)) = self.watch.verdict(self.suspect(node, given, index))
        {
            self.effects.verdicts.push((node, reason.clone()));
            return Some((Blame::new(Cause::Death, reason), deaths));
        }
        if !self.trial.has_verdicts() {
            return None;
        }
        let (blame, attempts) = self.trial.verdict(node, &self.place(given, index))?;
        Some((blame.clone(), attempts))
    }

    /// Settles what needs no call: records without a key, or with one that the store does not take, where one is needed,
    /// and those already known to be at fault.
    fn set_aside(&mut self, node: usize, given: Given) -> Result<Given, Stop> {
        let (keyed, longest) = (self.states[node].is_some(), self.stage.nodes[node].limits.name);
        let mut aside = Vec::new();
        for index in 0..given.len() {
            let unfit =
                if keyed { given.records.get(index).and_then(|record| unfit(record.key, longest)) } else { None };
            match self.verdict(node, &given, index) {
                Some((blame, attempts)) => aside.push((index, blame, attempts)),
                None => aside.extend(unfit.map(|reason| (index, Blame::new(Cause::Key, reason), 1))),
            }
        }
        for (index, blame, attempts) in &aside {
            self.reject(node, &given, *index, blame, *attempts)?;
        }
        let indexes: Vec<_> = aside.iter().map(|&(index, ..)| index).collect();
        Ok(given.without(&indexes))
    }

    /// Calls until each record is either handled, rejected by the operator, or found to be the one that calls fail of.
    fn settle(&mut self, node: usize, input: u32, given: Given, outputs: &mut Vec<Flow>) -> Result<(), Stop> {
        let mut waiting = vec![given];
        while let Some(given) = waiting.pop() {
            if given.len() == 0 {
                continue;
            }
            match self.attempt(node, input, &given, outputs) {
                Ok((failures, effective)) => {
                    let mut failed = Vec::with_capacity(failures.len());
                    for Failure { index, reason } in failures {
                        failed.push(index as usize);
                        self.reject(node, &given, index as usize, &Blame::new(Cause::Failure, reason), 1)?;
                    }
                    if !effective {
                        failed.sort_unstable();
                        waiting.push(given.without(&failed));
                    }
                }
                Err(Stop::Failed { size: 1, place, blame, .. }) => {
                    let attempts = self.trial.convict(node, place, blame.clone());
                    self.effects.verdicts.push((node, blame.reason.clone()));
                    self.reject(node, &given, 0, &blame, attempts)?;
                }
                Err(Stop::Failed { .. }) if self.narrowed < MOST_NARROWED => {
                    self.narrowed += 1;
                    waiting.extend(given.parts().rev());
                }
                Err(stop) => return Err(stop),
            }
        }
        Ok(())
    }

    /// Makes one call. Answers the records that the operator could not handle, and whether the call's effects hold:
    /// those of a keyed call with failures do not, nor those of one that emits for a record that it fails. A call that
    /// fails leaves nothing.
    fn attempt(
        &mut self,
        node: usize,
        input: u32,
        given: &Given,
        outputs: &mut Vec<Flow>,
    ) -> Result<(Vec<Failure>, bool), Stop> {
        self.check_held(given)?;
        self.announce(node, given)?;
        let mark = self.states[node].as_ref().map(|state| state.mark());
        let marks: Vec<_> = outputs.iter().map(Flow::mark).collect();
        let scope = self.scope(node, input, given, std::mem::take(outputs))?;
        let (scope, result) = self.operators[node].call(Box::new(scope));
        let (result, left) = finish(scope, result, self.operators[node].as_ref());
        let Left { parts: (state, flows, armed, measurements), emitters, emitted } = left;
        self.states[node] = state;
        *outputs = flows;
        match result {
            Ok((failures, true)) => {
                let remembered = &mut self.memory.operators[node];
                remembered.sequence += 1;
                self.held += emitted;
                let handled = given.len() - failures.len();
                remembered.counts.handled += handled as u64;
                if given.entry == Entry::Process {
                    // None of those that failed has output where the call's effects hold.
                    remembered.counts.filtered += (handled - emitters) as u64;
                }
                self.effects.measurements.extend(measurements.into_iter().map(|value| (node, value)));
                self.check_armed(given, &armed)?;
                Ok((failures, true))
            }
            undone => {
                if let (Some(state), Some(mark)) = (self.states[node].as_deref_mut(), mark) {
                    state.undo(mark);
                }
                outputs.iter_mut().zip(marks).for_each(|(flow, mark)| flow.undo(mark));
                undone.map_err(|error| self.stopped(node, given, error))
            }
        }
    }

    fn scope(&mut self, node: usize, input: u32, given: &Given, outputs: Vec<Flow>) -> Result<Scope, Stop> {
        let first = given.origins.first().copied().unwrap_or(NO_ORIGIN);
        let watermark = match given.entry {
            Entry::Process => Timestamp(self.segment.place(first).1),
            Entry::Timers(_) => self.segment.after,
        };
        let (offsets, watermarks) = given.origins.iter().map(|&origin| self.segment.place(origin)).unzip();
        let info = CallInfo {
            input,
            partition: self.task.partition,
            sequence: self.memory.operators[node].sequence + 1,
            watermark,
            processing_time: self.memory.clock,
        };
        let (keys, slots) = match self.states[node].as_deref_mut() {
            Some(state) => prefetch(self.operators[node].as_ref(), state, given, watermark)?,
            None => (Keys::default(), Slots::default()),
        };
        let topic = self.stage.inputs.get(self.segment.input).map(|input| input.topic.clone()).unwrap_or_default();
        let origin = Origin { topic, offsets, watermarks };
        let call = Call { entry: given.entry, info, records: given.records.clone(), slots, origin };
        let state = self.states[node].take();
        Ok(Scope::new(call, given.origins.clone(), keys, state, outputs, self.stage.nodes[node].limits))
    }

    /// A turn that holds too much output is made with less: its timers wait until its records are done. Of records it is
    /// made with half, or with those before the ones that are given now, whose output had room, if they are more; of
    /// timers with half of those that were fired.
    fn check_held(&self, given: &Given) -> Result<(), Stop> {
        let records = self.segment.records.len();
        let first = given.origins.first().map_or(0, |&origin| origin as usize);
        let fewer = first.max(records.div_ceil(2));
        match self.fired {
            _ if self.held <= MAX_HELD => Ok(()),
            0 if fewer < records => Err(Stop::Cut(fewer)),
            1.. if records > 0 => Err(Stop::Fewer(0)),
            2.. => Err(Stop::Fewer(self.fired / 2)),
            _ => Ok(()),
        }
    }

    /// A timer that is due before the last record of the turn must fire before that record: the turn is made shorter.
    fn check_armed(&self, given: &Given, armed: &[Armed]) -> Result<(), Stop> {
        let cut = armed.iter().filter_map(|armed| {
            let first = *given.origins.get(armed.record as usize)? as usize;
            let behind = self.segment.watermarks.get(first + 1..)?;
            Some(first + 1 + behind.iter().position(|&watermark| watermark >= armed.at.0)?)
        });
        match cut.min() {
            Some(records) => Err(Stop::Cut(records)),
            None => Ok(()),
        }
    }

    fn stopped(&self, node: usize, given: &Given, error: CallError) -> Stop {
        let size = given.len();
        let place = self.place(given, 0);
        let (cause, reason) = match error {
            CallError::Transient(reason) if !self.trial.is_given_up(node) => return Stop::Transient { node, reason },
            CallError::Deadline(reason) => return Stop::Slow { node, size, place, reason },
            CallError::Fault(fault) => return Stop::Fault(fault),
            CallError::Transient(reason) => (Cause::Transient, reason),
            CallError::Permanent(reason) => (Cause::Failure, reason),
            CallError::Trap(reason) => (Cause::Trap, reason),
            CallError::Limit(reason) => (Cause::Limit, reason),
        };
        Stop::Failed { node, size, place, blame: Blame { cause, reason } }
    }

    fn place(&self, given: &Given, index: usize) -> Place {
        let record = given.records.get(index);
        let bytes = |part: Option<&[u8]>| part.unwrap_or_default().to_vec();
        if let (Entry::Timers(domain), Some(timer)) = (given.entry, record) {
            return Place::Timer { domain, at: timer.timestamp, key: bytes(timer.key), name: bytes(timer.value) };
        }
        let origin = given.origins.get(index).copied().unwrap_or(NO_ORIGIN);
        let ordinal = given.ordinals.get(index).copied().unwrap_or_default();
        Place::Record { input: self.segment.input, offset: self.segment.place(origin).0, ordinal }
    }

    /// Does with a record that the operator cannot handle what its policy says.
    fn reject(&mut self, node: usize, given: &Given, index: usize, blame: &Blame, attempts: u32) -> Result<(), Stop> {
        self.check_held(given)?;
        let shape = &self.stage.nodes[node];
        let Some(message) = given.records.get(index) else { return Ok(()) };
        let counts = &mut self.memory.operators[node].counts;
        match shape.on_error {
            OnError::Skip => counts.skipped += 1,
            OnError::Stop => {
                return Err(Stop::Halt { operator: shape.operator.clone(), reason: blame.reason.clone() });
            }
            OnError::DeadLetter(target) => {
                counts.dead_lettered.bump(blame.cause);
                let origin = given.origins.get(index).copied().unwrap_or(NO_ORIGIN);
                let letter = Letter {
                    topic: self.stage.inputs.get(self.segment.input).map_or("", |input| &input.topic),
                    partition: self.task.partition,
                    offset: (origin != NO_ORIGIN).then(|| self.segment.place(origin).0),
                    operator: &shape.operator,
                    plugin: &shape.plugin,
                    reason: &blame.reason,
                    attempts,
                    limit: shape.limits.record,
                    times: shape.limits.times(self.memory.clock),
                };
                let mut flow = Flow::default();
                letter::write(&mut flow, origin, message, &letter);
                self.held += flow.chunks().iter().map(Chunk::bytes).sum::<usize>();
                self.effects.outputs.push((target, flow.into()));
            }
        }
        Ok(())
    }
}

/// Why nothing can be kept under a record's key, if that is so.
fn unfit(key: Option<&[u8]>, longest: usize) -> Option<String> {
    match key {
        None => Some("the record has no key".to_owned()),
        Some(key) => (key.len() > longest).then(|| too_long(key.len(), longest)),
    }
}

/// Reads what a call gets in slots.
fn prefetch(
    operator: &dyn Operator,
    state: &mut State,
    given: &Given,
    watermark: Timestamp,
) -> Result<(Keys, Slots), Stop> {
    let keys = Keys::of(&given.records);
    let mut values = Blobs::default();
    let states: Vec<_> = operator.declaration().prefetched().collect();
    let key = |first: u32| given.records.get(first as usize).and_then(|record| record.key).unwrap_or_default();
    let distinct = keys.slots().iter().map(|slot| key(slot.first));
    state.values(&states, distinct, watermark, &mut |value| values.push(value))?;
    let slots = Slots { slot_of: keys.slot_of().to_vec(), values };
    Ok((keys, slots))
}

/// What a call leaves.
struct Left {
    /// Its scope, taken apart.
    parts: (Option<Box<State>>, Vec<Flow>, Vec<Armed>, Vec<Measurement>),
    /// How many of its records have output.
    emitters: usize,
    /// Bytes of it.
    emitted: usize,
}

/// Writes the cells that a call changed, and takes its scope apart. Answers the records that failed, and whether the
/// call's effects hold.
fn finish(
    scope: Box<Scope>,
    result: Result<Outcome, CallError>,
    operator: &dyn Operator,
) -> (Result<(Vec<Failure>, bool), CallError>, Left) {
    let mut scope = *scope;
    let result = result.and_then(|outcome| {
        let failures = outcome.failures;
        if failures.is_empty() {
            let states: Vec<_> = operator.declaration().prefetched().collect();
            scope.write_cells(&states, &outcome.cells, &outcome.values)?;
        }
        let holds = match operator.declaration().role {
            Role::Transform => !scope.has_output_of(&failures),
            Role::Process => failures.is_empty(),
        };
        Ok((failures, holds))
    });
    let (emitters, emitted) = (scope.emitters(), scope.emitted());
    (result, Left { parts: scope.into_parts(), emitters, emitted })
}
