//! A task with one operator, whose records are checked as they come out.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use wasmill::plugin::Placed;
use wasmill_core::batch::{Batch, Headers, Message};
use wasmill_core::flow::Flow;
use wasmill_core::operator::{Operator, Role};
use wasmill_core::port::{ChangelogId, Fetched, Found, Lease, Mark, Store, StoreError, Target};
use wasmill_core::record::{Now, Offset, TaskId, Timestamp};
use wasmill_core::scope::Limits;
use wasmill_core::stage::{Edge, Input, Node, OnError, Progress, Retry, Stage};
use wasmill_core::state::{self, State};
use wasmill_core::task::memory::Memory;
use wasmill_core::task::row::TaskRow;
use wasmill_core::task::{Task, Turned};
use wasmill_core::writes::Writes;

use super::script::{AHEAD, CLOCK, OUTPUT, RECORD, Record, are_headers};

/// Turns after which a script is taken for one without end.
const TURNS: usize = 60;

/// Where dead letters go.
const LETTERS: Target = Target(9);

/// What headers of dead letters and the rows of a few turns may come to beside what is limited.
const MORE: usize = 8 << 10;

pub struct World {
    task: Task,
    operators: Vec<Box<dyn Operator>>,
    clock: Timestamp,
    next: i64,
    came: Vec<Record>,
    letters: usize,
}

impl World {
    pub fn new(placed: &Placed) -> Self {
        let declaration = placed.declaration();
        let stage = Arc::new(stage(declaration.role));
        let mut memory = Memory::new(&stage, vec![Offset(0)]);
        let rows = (declaration.role == Role::Process).then(|| {
            let kept = state::number(&declaration.states, &mut memory.operators[0].states);
            Box::new(State::new(Box::new(Rows::default()), kept))
        });
        let clock = Timestamp(CLOCK);
        let task =
            Task::new(TaskId::default(), Lease::default(), stage, &TaskRow::default(), memory, vec![rows], clock);
        Self { task, operators: vec![Box::new(placed.instance())], clock, next: 0, came: Vec::new(), letters: 0 }
    }

    /// Gives records and makes turns until nothing is left to do; `false` if that has no end.
    pub fn give(&mut self, records: &[(&[u8], &[u8])]) -> bool {
        let mut batch = Batch::default();
        for (key, value) in records {
            batch.push(Message { key: Some(key), value: Some(value), headers: None, timestamp: Timestamp(1_000) });
        }
        let offsets: Vec<i64> = (self.next..).take(records.len()).collect();
        self.next += records.len() as i64;
        let next = Offset(self.next);
        let fetched = Fetched { records: batch, offsets, next, mark: Mark::NONE, ..Fetched::default() };
        self.task.accept(fetched, self.clock);
        for _ in 0..TURNS {
            self.clock = self.task.paused().map_or(self.clock, |until| until.max(self.clock));
            if !self.task.has_work() && !self.task.tick(Now::both(self.clock)).unwrap() {
                return true;
            }
            if let Turned::Done(effects) =
                self.task.turn(&mut self.operators, Now::both(self.clock), &mut |_| Ok(())).unwrap()
            {
                effects.outputs.iter().for_each(|(target, flow)| self.check(*target, flow));
            }
            assert!(
                self.task.bytes() < TURNS * 3 * super::LIMITS.written + MORE,
                "{} bytes of rows",
                self.task.bytes()
            );
        }
        false
    }

    /// What came out, by output and in order, and how many dead letters.
    pub fn take(&mut self) -> (Vec<Record>, usize) {
        self.came.sort_by_key(|record| record.0);
        (std::mem::take(&mut self.came), std::mem::take(&mut self.letters))
    }

    pub fn must_have_passed(&mut self, keys: &[&[u8]]) {
        let (came, letters) = self.take();
        let came: Vec<_> =
            came.iter().map(|(port, key, value, ..)| (*port, key.as_deref(), value.as_deref())).collect();
        let expected: Vec<_> = keys.iter().map(|&key| (0, Some(key), Some(&b"good"[..]))).collect();
        assert_eq!((came, letters), (expected, 0), "good records");
    }

    pub fn renew(&mut self) {
        self.operators.iter_mut().for_each(|operator| operator.renew());
    }

    fn check(&mut self, target: Target, flow: &Flow) {
        let is_letter = target == LETTERS;
        let most = if is_letter { RECORD + MORE } else { RECORD };
        let all: usize = flow.chunks().iter().map(|chunk| chunk.records.bytes()).sum();
        assert!(all <= (OUTPUT + MORE) * 3, "{all} bytes come of one turn");
        for chunk in flow.chunks() {
            let bytes = chunk.records.bytes() as i64;
            for span in chunk.records.spans().chunks(2) {
                let (at, length) = (i64::from(span[0]), i64::from(span[1]));
                assert!(length == -1 || (at >= 0 && length >= 0 && at + length <= bytes), "a span leaves the data");
            }
            assert_eq!(chunk.origins.len(), chunk.records.len());
        }
        for (origin, message) in flow.iter() {
            let at = message.timestamp;
            assert!(!at.is_some() || (0..=self.clock.0 + AHEAD).contains(&at.0), "an event time of {}", at.0);
            assert!(message.size() <= most, "a record of {} bytes", message.size());
            assert!(message.headers.is_none_or(are_headers), "headers that are none");
            assert!(origin == u32::MAX || origin < 3, "a source record that is none: {origin}");
            let part = |part: Option<&[u8]>| part.map(<[u8]>::to_vec);
            if is_letter {
                let names: Vec<_> = Headers::new(message.headers.unwrap()).map(|(name, _)| name).collect();
                assert!(names.contains(&"wasmill-error-reason"), "{names:?}");
                self.letters += 1;
            } else {
                let (key, value, headers) = (part(message.key), part(message.value), part(message.headers));
                self.came.push((i32::from(target.0), key, value, headers, at.0));
            }
        }
    }
}

fn stage(role: Role) -> Stage {
    let forever = Duration::from_secs(1 << 30);
    let node = Node {
        operator: "replay".into(),
        plugin: "sha256:0".into(),
        changelog: (role == Role::Process).then_some(ChangelogId(0)),
        outputs: vec![vec![Edge::Target(Target(0))], vec![Edge::Target(Target(1))]],
        on_error: OnError::DeadLetter(LETTERS),
        retry: Retry { attempts: 1, backoff: Duration::ZERO },
        limits: Limits {
            output: OUTPUT,
            record: RECORD,
            ahead: Duration::from_millis(AHEAD as u64),
            ..Limits::default()
        },
    };
    let input = Input {
        topic: "scripts".into(),
        progress: Progress::Records { out_of_order: Duration::ZERO, idle_after: forever },
        edges: vec![Edge::Node { node: 0, input: 0 }],
    };
    Stage { name: "scripts".into(), inputs: vec![input], nodes: vec![node], repartitions: Vec::new() }
}

/// Rows in memory.
#[derive(Debug, Default)]
struct Rows(BTreeMap<Vec<u8>, Vec<u8>>);

impl Store for Rows {
    fn get(&self, row: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.get(row).cloned())
    }

    fn get_many(&self, rows: &[&[u8]], visit: &mut Found<'_>) -> Result<(), StoreError> {
        rows.iter().for_each(|&row| visit(row, self.0.get(row).map(Vec::as_slice)));
        Ok(())
    }

    fn scan(&self, from: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StoreError> {
        let rows = self.0.range::<[u8], _>((Bound::Included(from), Bound::Unbounded));
        let _ = { rows }.all(|(row, value)| visit(row, value));
        Ok(())
    }

    fn apply(&mut self, writes: Arc<Writes>) -> Result<(), StoreError> {
        for (row, value) in writes.iter() {
            match value {
                Some(value) => self.0.insert(row.to_vec(), value.to_vec()),
                None => self.0.remove(row),
            };
        }
        Ok(())
    }

    fn clear(&mut self) -> Result<(), StoreError> {
        self.0.clear();
        Ok(())
    }
}
