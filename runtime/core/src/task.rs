//! A stage at one partition: where it stands, and the turns it makes.

pub mod blame;
mod call;
pub mod care;
mod clock;
mod cut;
mod letter;
pub mod memory;
mod replace;
mod reset;
pub mod row;
pub(crate) mod trial;
pub mod turn;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::commit::{Guarantee, Terms};
use crate::operator::Operator;
use crate::port::{Fault, Fetched, Lease, Mark, Position, StoreError};
use crate::record::{Epoch, Now, Offset, TaskId, Timestamp};
use crate::row::Due;
use crate::stage::Stage;
use crate::state::{self, Size, State};
use crate::task::care::{Care, Watch};
use crate::task::cut::{Cut, Pending};
use crate::task::memory::{Counts, Memory};
use crate::task::row::TaskRow;
use crate::task::trial::{Stop, Trial};
use crate::task::turn::{Effects, MAX_DUE, Turn};
use crate::watermark::{self, millis};

/// What became of a turn.
#[derive(Debug)]
pub enum Turned {
    /// It went through.
    Done(Effects),
    /// It was dropped, and the next will be another one. Trying takes time: what was done before is to be committed
    /// first.
    Dropped(Dropped),
}

/// Why a turn was dropped.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Dropped {
    /// It is made again with fewer records.
    Smaller,
    /// A record took too long alone; it is left to the operator's policy from now on.
    Verdict {
        /// Index of the operator in the stage.
        node: usize,
        /// Why.
        reason: String,
    },
    /// It is made again after a pause.
    Paused {
        /// Index of the operator in the stage.
        node: usize,
        /// Why.
        reason: String,
    },
}

/// Commits what the row of a task is to say of the processes that had it.
pub type Announce<'a> = dyn FnMut(&Care) -> Result<(), Fault> + 'a;

/// A stage at one partition.
#[derive(Debug)]
pub struct Task {
    id: TaskId,
    lease: Lease,
    stage: Arc<Stage>,
    epoch: Epoch,
    guarantee: Guarantee,
    memory: Memory,
    committed: Memory,
    states: Vec<Option<Box<State>>>,
    pending: VecDeque<Pending>,
    trial: Trial,
    watch: Watch,
    dirty: bool,
    paused: Option<Timestamp>,
    ends: Vec<Option<Offset>>,
    seen: Vec<Timestamp>,
    told_at: Timestamp,
    records: u64,
}

impl Task {
    /// A task as the log and its stores have it. `states` has the rows of each operator that keeps some.
    pub fn new(
        id: TaskId,
        lease: Lease,
        stage: Arc<Stage>,
        row: &TaskRow,
        memory: Memory,
        states: Vec<Option<Box<State>>>,
        now: Timestamp,
    ) -> Self {
        let inputs = stage.inputs.len();
        Self {
            id,
            lease,
            stage,
            epoch: row.epoch,
            guarantee: row.guarantee,
            committed: memory.clone(),
            memory,
            states,
            pending: VecDeque::new(),
            trial: Trial::default(),
            watch: Watch::new(row.care),
            dirty: false,
            paused: row.care.is_suspicious().then(|| now.plus(millis(care::WAIT))),
            ends: vec![None; inputs],
            seen: vec![now; inputs],
            told_at: Timestamp::NONE,
            records: 0,
        }
    }

    /// Which task.
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// Its stage.
    pub fn stage(&self) -> &Arc<Stage> {
        &self.stage
    }

    /// The right that its row was read under.
    pub fn lease(&self) -> Lease {
        self.lease
    }

    /// The last committed epoch.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// What it remembers, as of its last commit.
    pub fn committed(&self) -> &Memory {
        &self.committed
    }

    /// Whether anything happened since its last commit.
    pub fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Whether a turn can be made without polling.
    pub fn has_work(&self) -> bool {
        self.memory.backlog || !self.pending.is_empty() || self.reached() > self.memory.watermark
    }

    /// The watermark that the inputs allow. It is ahead of the task's where a turn that they began was dropped.
    fn reached(&self) -> Timestamp {
        watermark::least(self.memory.watermark, self.watermarks())
    }

    /// Whether nothing was done that is not committed, nothing waits, and nothing is to be told.
    pub fn is_quiet(&self) -> bool {
        !self.has_work() && !self.dirty && self.paused.is_none() && self.tell_at().is_none()
    }

    /// What became of the records that its operators were given, as of its last commit, in the order of the stage's
    /// nodes.
    pub fn counts(&self) -> impl Iterator<Item = Counts> {
        self.committed.operators.iter().map(|operator| operator.counts)
    }

    /// How much each of its operators remembers, as of its last commit, in the order of the stage's nodes; `None` for those
    /// that have no rows.
    pub fn sizes(&self) -> impl Iterator<Item = Option<Size>> {
        self.committed.operators.iter().zip(&self.states).map(|(operator, state)| state.as_ref().map(|_| operator.size))
    }

    /// Counts what the open epoch adds to what its operators remember, before it is sealed.
    pub(crate) fn measure(&mut self) -> Result<(), StoreError> {
        for (operator, state) in self.memory.operators.iter_mut().zip(&self.states) {
            if let Some(state) = state {
                operator.size = state.size(operator.size)?;
            }
        }
        Ok(())
    }

    /// Drops the records that wait, for as long as the task is paused.
    pub(crate) fn suspend(&mut self) {
        self.pending.clear();
        self.ends.fill(None);
    }

    /// Goes on if a pause is over. Answers where to read on then.
    pub(crate) fn resume(&mut self, now: Timestamp) -> Option<Vec<Position>> {
        self.paused.filter(|&until| until <= now)?;
        self.paused = None;
        Some(self.positions())
    }

    /// Until when no turn may be made.
    pub fn paused(&self) -> Option<Timestamp> {
        self.paused
    }

    /// Where its inputs are read to their end; `None` where records came since.
    pub fn ends(&self) -> &[Option<Offset>] {
        &self.ends
    }

    /// Source records taken in, in the life of this task in this process.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Bytes written in the open epoch.
    pub fn bytes(&self) -> usize {
        self.states.iter().flatten().map(|state| state.overlay().bytes()).sum()
    }

    /// Takes note of how many rows of an operator there are in fact.
    pub(crate) fn recount(&mut self, node: usize, size: Size) {
        for memory in [&mut self.memory, &mut self.committed] {
            memory.operators[node].size = size;
        }
    }

    /// The rows of its operators.
    pub(crate) fn states(&mut self) -> impl Iterator<Item = (usize, &mut State)> {
        self.states.iter_mut().enumerate().filter_map(|(node, state)| Some((node, state.as_deref_mut()?)))
    }

    /// Takes records that were polled.
    pub fn accept(&mut self, fetched: Fetched, now: Timestamp) {
        let input = fetched.input as usize;
        if let Some(end) = self.ends.get_mut(input) {
            *end = None;
        }
        if let Some(seen) = self.seen.get_mut(input) {
            *seen = now;
        }
        let Fetched { records, offsets, controls, next, mark, .. } = fetched;
        self.pending.push_back(Pending {
            input,
            records: Arc::new(records),
            offsets,
            controls,
            next,
            mark,
            at: 0,
            control: 0,
        });
    }

    /// Takes note that an input is read to its end.
    pub fn ended(&mut self, input: u32, next: Offset) {
        if let Some(end) = self.ends.get_mut(input as usize) {
            *end = Some(next);
        }
    }

    /// Whether the open epoch has as many turns as it may have after processes that had it died.
    pub(crate) fn is_due(&self) -> bool {
        self.watch.is_due()
    }

    /// What processes that had it died on.
    pub fn care(&self) -> &Care {
        self.watch.care()
    }

    /// Makes a turn with the next records that wait. `announce` commits what the row is to say of a call before it is
    /// made, where that is asked for.
    pub fn turn(
        &mut self,
        operators: &mut [Box<dyn Operator>],
        now: Now,
        announce: &mut Announce<'_>,
    ) -> Result<Turned, Fault> {
        self.paused = self.paused.filter(|&until| until > now.steady);
        let mut limit = if self.care().is_singly() { 1 } else { usize::MAX };
        let mut timers = MAX_DUE;
        loop {
            let cut = self.cut(limit)?;
            let before = self.memory.clone();
            let marks: Vec<_> = self.states.iter().map(|state| state.as_ref().map(|state| state.mark())).collect();
            self.memory.clock = now.time.max(self.memory.clock);
            let turn = Turn {
                task: self.id,
                stage: &self.stage,
                operators,
                states: &mut self.states,
                memory: &mut self.memory,
                segment: &cut.segment,
                trial: &mut self.trial,
                narrowed: 0,
                held: 0,
                timers,
                fired: 0,
                watch: &mut self.watch,
                announce: &mut *announce,
                effects: Effects::default(),
            };
            let stop = match turn.run() {
                Ok(effects) => {
                    let called = given(&self.memory) > given(&before);
                    return Ok(Turned::Done(self.pass(cut, effects, called)));
                }
                Err(stop) => stop,
            };
            // Operators have been told this time.
            self.memory = Memory { clock: self.memory.clock, ..before };
            for (state, mark) in self.states.iter_mut().zip(marks) {
                if let (Some(state), Some(mark)) = (state, mark) {
                    state.undo(mark);
                }
            }
            self.trial.dropped();
            self.watch.dropped();
            match stop {
                Stop::Cut(records) => limit = records,
                Stop::Fewer(most) => timers = most,
                Stop::Fault(fault) => return Err(fault),
                stop => {
                    // The process lives: what was announced is not what it dies on.
                    if let Some(care) = self.watch.withdraw() {
                        announce(care)?;
                    }
                    return self.learn(stop, now.steady).map(Turned::Dropped);
                }
            }
        }
    }

    /// What a dropped turn teaches.
    fn learn(&mut self, stop: Stop, now: Timestamp) -> Result<Dropped, Fault> {
        match stop {
            Stop::Cut(_) | Stop::Fewer(_) => Ok(Dropped::Smaller),
            Stop::Failed { node, size, .. } => {
                self.trial.failed(node, size);
                Ok(Dropped::Smaller)
            }
            Stop::Slow { node, size, place, reason } => match self.trial.slow(node, size, place, reason.clone()) {
                true => Ok(Dropped::Verdict { node, reason }),
                false => Ok(Dropped::Smaller),
            },
            Stop::Transient { node, reason } => {
                let retry = self.stage.nodes[node].retry;
                if !self.trial.transient(node, retry.attempts) {
                    return Ok(Dropped::Smaller);
                }
                self.paused = Some(now.plus(millis(retry.backoff)));
                Ok(Dropped::Paused { node, reason })
            }
            Stop::Halt { operator, reason } => {
                Err(Fault::Fatal(format!("operator {operator} failed, and its policy is to stop: {reason}")))
            }
            Stop::Fault(fault) => Err(fault),
        }
    }

    fn pass(&mut self, cut: Cut, effects: Effects, called: bool) -> Effects {
        self.states.iter_mut().flatten().for_each(|state| state.settle());
        let Cut { segment, progress, next, at, control } = cut;
        let mut whole = true;
        if let (Some(pending), Some(progress)) = (self.pending.front_mut(), progress) {
            self.memory.inputs[segment.input] = progress;
            self.memory.next[segment.input] = next;
            (pending.at, pending.control) = (at, control);
            whole = at == pending.records.len() && control == pending.controls.len();
            if whole {
                self.memory.marks[segment.input] = pending.mark;
                self.pending.pop_front();
            }
        }
        self.memory.watermark = segment.after;
        self.records += segment.records.len() as u64;
        self.trial.passed(whole);
        self.watch.passed(segment.records.len(), called);
        self.memory.backlog = effects.backlog;
        self.dirty = true;
        effects
    }

    fn watermarks(&self) -> impl Iterator<Item = Option<Timestamp>> {
        self.memory.inputs.iter().zip(&self.stage.inputs).map(|(progress, input)| progress.watermark(&input.progress))
    }

    /// The earliest watermark with which something comes due.
    fn earliest(&mut self) -> Result<Option<Timestamp>, Fault> {
        let mut earliest = None;
        for state in self.states.iter_mut().flatten() {
            for due in [Due::Event, Due::Expiry] {
                earliest = earliest.into_iter().chain(state.earliest(due)?).min();
            }
        }
        Ok(earliest)
    }

    /// The row that the open epoch commits.
    pub fn seal(&self, owner: &str, terms: &Terms) -> TaskRow {
        let row = self.row(&self.memory, self.epoch.next(), owner, terms.revision);
        TaskRow { guarantee: terms.guarantee, care: self.watch.sealed(), ..row }
    }

    /// The committed row, once more, without an owner: nobody has anything open for the task.
    pub fn release(&self, revision: u64) -> TaskRow {
        TaskRow { care: self.care().released(), ..self.stands("", revision) }
    }

    /// The committed row, once more.
    pub(crate) fn stands(&self, owner: &str, revision: u64) -> TaskRow {
        self.row(&self.committed, self.epoch, owner, revision)
    }

    fn row(&self, memory: &Memory, epoch: Epoch, owner: &str, revision: u64) -> TaskRow {
        let encoded = if self.stage.home().is_some() { Vec::new() } else { memory.encode(epoch, revision) };
        TaskRow {
            epoch,
            owner: owner.to_owned(),
            care: *self.care(),
            revision,
            guarantee: self.guarantee,
            next: memory.next.clone(),
            marks: memory.marks.clone(),
            watermark: memory.watermark,
            memory: encoded,
        }
    }

    /// What the open epoch's meta record says.
    pub fn meta(&self, revision: u64) -> Vec<u8> {
        self.memory.encode(self.epoch.next(), revision)
    }

    /// Takes note that the open epoch is committed.
    pub fn advance(&mut self, guarantee: Guarantee) {
        self.epoch = self.epoch.next();
        self.guarantee = guarantee;
        self.committed = self.memory.clone();
        self.trial.committed();
        self.watch.committed();
        self.dirty = false;
    }

    /// Goes back to the last commit. Answers where to read on.
    pub fn rewind(&mut self) -> Vec<Position> {
        self.memory = self.committed.clone();
        self.states.iter_mut().flatten().for_each(|state| state.drop_epoch());
        self.pending.clear();
        self.trial.aborted();
        self.watch.aborted();
        self.ends.fill(None);
        (self.dirty, self.paused) = (false, None);
        self.positions()
    }

    /// Closes its stores. What it learnt about failing records is left, for when the task is built anew.
    pub(crate) fn into_verdicts(self) -> Trial {
        self.trial
    }

    /// Takes over what was learnt about failing records before the task was built anew.
    pub(crate) fn keep_verdicts(&mut self, verdicts: Trial) {
        self.trial = verdicts;
        self.trial.aborted();
    }

    /// Where its inputs are read from, as of its last commit.
    pub fn positions(&self) -> Vec<Position> {
        let mark = |input: u32| self.committed.marks.get(input as usize).copied().unwrap_or(Mark::NONE);
        let next = self.committed.next.iter().zip(0..);
        next.map(|(&next, input)| Position { input, next, mark: mark(input) }).collect()
    }
}

/// How many records and timers operators were given.
fn given(memory: &Memory) -> u64 {
    memory.operators.iter().map(|operator| operator.counts.input).sum()
}

/// Numbers the states of a stage's operators in a task's memory.
pub(crate) fn number_states(memory: &mut Memory, operators: &[Box<dyn Operator>], node: usize) -> Arc<[state::Kept]> {
    state::number(&operators[node].declaration().states, &mut memory.operators[node].states)
}
