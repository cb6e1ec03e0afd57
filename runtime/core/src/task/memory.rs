//! What a task remembers beside the rows of its operators: kept with every epoch, read back when the task is acquired.

use crate::port::Mark;
use crate::record::{Epoch, Offset, Partition, TaskId, Timestamp};
use crate::stage::Stage;
use crate::state::Size;
use crate::task::blame::ByCause;
use crate::varint::{put, take, take_bytes};
use crate::watermark::{Progress, Told};

/// How many records an operator was given, and what became of them: what it was given is what it handled, what was late,
/// what went to dead letters, and what was skipped.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Records and timers that it was given.
    pub input: u64,
    /// Those that it handled, whatever it emitted for them.
    pub handled: u64,
    /// Records among those for which the call that handled them emitted nothing.
    pub filtered: u64,
    /// Records that came too late for it.
    pub late: u64,
    /// Records that it emitted.
    pub emitted: u64,
    /// Records that went to the dead-letter topic.
    pub dead_lettered: ByCause,
    /// Records left out by its policy.
    pub skipped: u64,
}

impl Counts {
    /// Adds those of another task.
    pub fn add(&mut self, other: &Self) {
        self.input += other.input;
        self.handled += other.handled;
        self.filtered += other.filtered;
        self.late += other.late;
        self.emitted += other.emitted;
        self.dead_lettered.add(&other.dead_lettered);
        self.skipped += other.skipped;
    }

    /// Whether it is known of every record what became of it.
    pub fn add_up(&self) -> bool {
        self.input == self.handled + self.late + self.dead_lettered.total() + self.skipped
    }
}

/// What a task remembers of one of its operators.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct OperatorMemory {
    /// The operator's name.
    pub operator: String,
    /// Number of the last call.
    pub sequence: u64,
    /// Records so far.
    pub counts: Counts,
    /// How much it remembers in its rows.
    pub size: Size,
    /// Names of its states; the index is the number in its rows.
    pub states: Vec<String>,
}

/// What a task remembers.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Memory {
    /// The next record of each input.
    pub next: Vec<Offset>,
    /// What they count in. Kept in the task's row only.
    pub marks: Vec<Mark>,
    /// What each input has told of event time.
    pub inputs: Vec<Progress>,
    /// The watermark.
    pub watermark: Timestamp,
    /// The watermark and idleness that were last told downstream.
    pub told: Told,
    /// Whether timers are left that were due at the last turn.
    pub backlog: bool,
    /// The host's clock at the last turn; it never goes back.
    pub clock: Timestamp,
    /// What is remembered of each operator.
    pub operators: Vec<OperatorMemory>,
}

impl Memory {
    /// What a new task remembers.
    pub fn new(stage: &Stage, next: Vec<Offset>) -> Self {
        let mut memory = Self { next, ..Self::default() };
        memory.adapt(stage);
        memory
    }

    /// Fits what was remembered to the stage as it is now: inputs by their index, operators by their name.
    pub fn adapt(&mut self, stage: &Stage) {
        self.next.resize(stage.inputs.len(), Offset::default());
        self.marks.resize(stage.inputs.len(), Mark::NONE);
        self.inputs.truncate(stage.inputs.len());
        for (index, input) in stage.inputs.iter().enumerate() {
            match self.inputs.get_mut(index) {
                Some(progress) => progress.adapt(&input.progress),
                None => self.inputs.push(Progress::new(&input.progress)),
            }
        }
        let mut known = std::mem::take(&mut self.operators);
        self.operators = stage
            .nodes
            .iter()
            .map(|node| match known.iter().position(|known| known.operator == node.operator) {
                Some(index) => known.swap_remove(index),
                None => OperatorMemory { operator: node.operator.clone(), ..OperatorMemory::default() },
            })
            .collect();
    }

    /// As bytes, with the epoch and the revision that it belongs to.
    pub fn encode(&self, epoch: Epoch, revision: u64) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64);
        let mut number = |number: u64| put(&mut bytes, number);
        [MEMORY, epoch.0, revision, self.watermark.0 as u64, self.told.watermark.0 as u64, u64::from(self.told.idle)]
            .into_iter()
            .for_each(&mut number);
        number(self.clock.0 as u64);
        number(u64::from(self.backlog));
        number(self.next.len() as u64);
        self.next.iter().for_each(|offset| number(offset.0 as u64));
        number(self.inputs.len() as u64);
        self.inputs.iter().for_each(|progress| put_progress(&mut bytes, progress));
        put(&mut bytes, self.operators.len() as u64);
        for operator in &self.operators {
            put_text(&mut bytes, &operator.operator);
            let Counts { input, handled, filtered, late, emitted, dead_lettered, skipped } = operator.counts;
            let counts = [operator.sequence, input, handled, filtered, late, emitted, skipped];
            counts.into_iter().for_each(|number| put(&mut bytes, number));
            dead_lettered.encode(&mut bytes);
            let Size { rows, timers } = operator.size;
            [rows, timers, operator.states.len() as u64].into_iter().for_each(|number| put(&mut bytes, number));
            operator.states.iter().for_each(|state| put_text(&mut bytes, state));
        }
        bytes
    }

    /// Reads what [`Memory::encode`] wrote; `None` if it did not.
    pub fn decode(mut bytes: &[u8]) -> Option<(Epoch, u64, Self)> {
        let from = &mut bytes;
        if take(from)? != MEMORY {
            return None;
        }
        let epoch = Epoch(take(from)?);
        let revision = take(from)?;
        let watermark = take_time(from)?;
        let told = Told { watermark: take_time(from)?, idle: take(from)? != 0 };
        let clock = take_time(from)?;
        let backlog = take(from)? != 0;
        let next = take_list(from, |from| Some(Offset(take(from)? as i64)))?;
        let inputs = take_list(from, take_progress)?;
        let operators = take_list(from, |from| {
            let operator = take_text(from)?;
            let sequence = take(from)?;
            let [input, handled, filtered] = [take(from)?, take(from)?, take(from)?];
            let [late, emitted, skipped] = [take(from)?, take(from)?, take(from)?];
            let dead_lettered = ByCause::decode(from)?;
            let counts = Counts { input, handled, filtered, late, emitted, dead_lettered, skipped };
            let size = Size { rows: take(from)?, timers: take(from)? };
            Some(OperatorMemory { operator, sequence, counts, size, states: take_list(from, take_text)? })
        })?;
        let marks = Vec::new();
        let memory = Self { next, marks, inputs, watermark, told, backlog, clock, operators };
        from.is_empty().then_some((epoch, revision, memory))
    }
}

/// The version of what tasks remember.
const MEMORY: u64 = 2;

/// The version of how far a store has come.
const VERSION: u64 = 1;

fn put_progress(bytes: &mut Vec<u8>, progress: &Progress) {
    match progress {
        Progress::Records { greatest, idle } => {
            [0, greatest.0 as u64, u64::from(*idle)].into_iter().for_each(|number| put(bytes, number));
        }
        Progress::Controls(upstream) => {
            put(bytes, 1);
            put(bytes, upstream.len() as u64);
            for (task, told) in upstream {
                let numbers = [u64::from(task.stage), u64::from(task.partition.0), told.watermark.0 as u64];
                numbers.into_iter().chain([u64::from(told.idle)]).for_each(|number| put(bytes, number));
            }
        }
    }
}

fn take_progress(from: &mut &[u8]) -> Option<Progress> {
    match take(from)? {
        0 => Some(Progress::Records { greatest: take_time(from)?, idle: take(from)? != 0 }),
        1 => {
            let upstream = take_list(from, |from| {
                let stage = u16::try_from(take(from)?).ok()?;
                let partition = Partition(u32::try_from(take(from)?).ok()?);
                let told = Told { watermark: take_time(from)?, idle: take(from)? != 0 };
                Some((TaskId { stage, partition }, told))
            })?;
            Some(Progress::Controls(upstream.into_iter().collect()))
        }
        _ => None,
    }
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    put(bytes, text.len() as u64);
    bytes.extend_from_slice(text.as_bytes());
}

fn take_text(from: &mut &[u8]) -> Option<String> {
    String::from_utf8(take_bytes(from)?.to_vec()).ok()
}

fn take_time(from: &mut &[u8]) -> Option<Timestamp> {
    Some(Timestamp(take(from)? as i64))
}

fn take_list<T>(from: &mut &[u8], mut one: impl FnMut(&mut &[u8]) -> Option<T>) -> Option<Vec<T>> {
    let count = usize::try_from(take(from)?).ok().filter(|&count| count <= from.len())?;
    (0..count).map(|_| one(from)).collect()
}

/// How far a store has come: where its changelog goes on behind what it holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Local {
    /// The changelog's identity.
    pub identity: String,
    /// The next record of the changelog to read.
    pub next: Offset,
    /// The epoch of the last that was applied; none while the changelog is being read and its rows are not whole.
    pub epoch: Option<Epoch>,
}

impl Local {
    /// The row of a store that holds it. It is not in the changelog.
    pub const ROW: [u8; 2] = [0, 1];

    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let epoch = self.epoch.map_or(0, |epoch| epoch.0 + 1);
        [VERSION, self.next.0 as u64, epoch].into_iter().for_each(|number| put(&mut bytes, number));
        put_text(&mut bytes, &self.identity);
        bytes
    }

    /// Reads what [`Local::encode`] wrote; `None` if it did not.
    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        let from = &mut bytes;
        if take(from)? != VERSION {
            return None;
        }
        let (next, epoch) = (Offset(take(from)? as i64), take(from)?.checked_sub(1).map(Epoch));
        let identity = take_text(from)?;
        from.is_empty().then_some(Self { identity, next, epoch })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::blame::Cause;

    #[test]
    fn memory_comes_back_and_a_cut_one_does_not() {
        let task = TaskId { stage: 3, partition: Partition(7) };
        let told = Told { watermark: Timestamp(-1), idle: true };
        let mut dead_lettered = ByCause::default();
        [Cause::Failure, Cause::Death, Cause::Death].into_iter().for_each(|cause| dead_lettered.bump(cause));
        let memory = Memory {
            next: vec![Offset(5), Offset(1 << 50)],
            marks: Vec::new(),
            inputs: vec![
                Progress::Records { greatest: Timestamp::NONE, idle: false },
                Progress::Controls([(task, told)].into()),
            ],
            watermark: Timestamp(1_700_000_000_000),
            told,
            backlog: true,
            clock: Timestamp(5),
            operators: vec![OperatorMemory {
                operator: "count".into(),
                sequence: 9,
                counts: Counts { input: 8, handled: 1, filtered: 1, late: 0, emitted: 2, dead_lettered, skipped: 4 },
                size: Size { rows: 300, timers: 5 },
                states: vec!["seen".into()],
            }],
        };
        let bytes = memory.encode(Epoch(4), 2);
        assert_eq!(Memory::decode(&bytes), Some((Epoch(4), 2, memory)));
        for cut in 0..bytes.len() {
            assert_eq!(Memory::decode(&bytes[..cut]), None, "{cut}");
        }
        let local = Local { identity: "c/t".into(), next: Offset(3), epoch: Some(Epoch(2)) };
        assert_eq!(Local::decode(&local.encode()), Some(local));
    }
}
