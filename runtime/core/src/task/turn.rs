//! One turn: some records of one input, and what comes due behind them, through all operators of the stage.

use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;

use crate::batch::{Batch, Message};
use crate::flow::{Chunk, Flow};
use crate::operator::{Domain, Operator};
use crate::port::{Fault, Target};
use crate::record::{TaskId, Timestamp};
use crate::row::Due;
use crate::scope::Measurement;
use crate::stage::{Edge, Stage};
use crate::state::{Fired, State};
use crate::task::Announce;
use crate::task::call::Given;
use crate::task::care::Watch;
use crate::task::memory::Memory;
use crate::task::trial::{Stop, Trial};

/// The source record of what a timer emits: none.
pub(crate) const NO_ORIGIN: u32 = u32::MAX;

/// Timers that are fired in one turn, and rows that expire in it, at most.
pub const MAX_DUE: usize = 50_000;

/// Bytes of output that a turn may hold when another call is made, about. One that holds more is made with fewer records
/// or timers, so that it never has more than this and what one call may emit. Only a turn of a single record or timer,
/// which cannot be made with fewer, may hold whatever its operators make of it.
pub const MAX_HELD: usize = 64 << 20;

/// Timers in one call, at most.
const MAX_TIMERS_IN_CALL: usize = 256;

/// Some records of one input, and how far event time comes with them.
#[derive(Debug)]
pub(crate) struct Segment {
    /// Index of the input.
    pub input: usize,
    /// The records; there may be none.
    pub records: Arc<Batch>,
    /// Their offsets.
    pub offsets: Vec<i64>,
    /// The watermark just before each of them.
    pub watermarks: Vec<i64>,
    /// The watermark before the first.
    pub before: Timestamp,
    /// The watermark behind the last.
    pub after: Timestamp,
}

impl Segment {
    /// Offset and watermark that something inherits from its source record.
    pub(crate) fn place(&self, origin: u32) -> (i64, i64) {
        let last = self.watermarks.last().copied().unwrap_or(self.before.0);
        let at = |column: &[i64], otherwise| column.get(origin as usize).copied().unwrap_or(otherwise);
        (at(&self.offsets, -1), at(&self.watermarks, last))
    }
}

/// What a turn leaves beside rows.
#[derive(Debug, Default)]
pub struct Effects {
    /// Records for topics, in order.
    pub outputs: Vec<(Target, Rc<Flow>)>,
    /// Values of the operators' own metrics, with the index of the node.
    pub measurements: Vec<(usize, Measurement)>,
    /// Records that were found to be at fault: the index of the node, and why.
    pub verdicts: Vec<(usize, String)>,
    /// Whether timers are left that are due.
    pub backlog: bool,
}

/// A turn under way.
pub(crate) struct Turn<'a> {
    pub task: TaskId,
    pub stage: &'a Stage,
    pub operators: &'a mut [Box<dyn Operator>],
    pub states: &'a mut [Option<Box<State>>],
    pub memory: &'a mut Memory,
    pub segment: &'a Segment,
    pub trial: &'a mut Trial,
    /// Failed calls that were made again in parts.
    pub narrowed: u32,
    /// Bytes of output that are sent when the turn is over, or that an operator has still to be given.
    pub held: usize,
    /// Timers that may still be fired.
    pub timers: usize,
    /// Timers that were.
    pub fired: usize,
    pub watch: &'a mut Watch,
    pub announce: &'a mut Announce<'a>,
    pub effects: Effects,
}

type Inbox = Vec<(u32, Rc<Flow>)>;

impl Turn<'_> {
    /// Takes the records through all operators, each followed by what comes due behind them.
    pub(crate) fn run(mut self) -> Result<Effects, Stop> {
        let mut inboxes: Vec<Inbox> = vec![Inbox::new(); self.stage.nodes.len()];
        let stage = self.stage;
        if !self.segment.records.is_empty() {
            let origins = (0..self.segment.records.len() as u32).collect();
            let source = Flow::of(Chunk { records: self.segment.records.clone(), origins });
            let edges = stage.inputs.get(self.segment.input).map_or(&[][..], |input| &input.edges);
            self.route(&mut inboxes, edges, source);
        }
        for (node, shape) in stage.nodes.iter().enumerate() {
            self.held = self.holds(&inboxes);
            let inbox = inboxes.get_mut(node).map(std::mem::take).unwrap_or_default();
            let outputs = self.node(node, inbox)?;
            for (edges, flow) in shape.outputs.iter().zip(outputs) {
                self.memory.operators[node].counts.emitted += flow.len() as u64;
                self.route(&mut inboxes, edges, flow);
            }
        }
        Ok(self.effects)
    }

    /// Bytes of all output but what has been through all its operators. Records of the source are held whatever comes.
    fn holds(&self, inboxes: &[Inbox]) -> usize {
        let waiting = inboxes.iter().flatten().map(|(_, flow)| flow);
        let flows = self.effects.outputs.iter().map(|(_, flow)| flow).chain(waiting);
        let chunks = flows.flat_map(|flow| flow.chunks());
        chunks.filter(|chunk| !Arc::ptr_eq(&chunk.records, &self.segment.records)).map(Chunk::bytes).sum()
    }

    fn route(&mut self, inboxes: &mut [Inbox], edges: &[Edge], flow: Flow) {
        if flow.is_empty() {
            return;
        }
        let flow = Rc::new(flow);
        for edge in edges {
            match *edge {
                Edge::Node { node, input } => inboxes[node].push((input, flow.clone())),
                Edge::Target(target) => self.effects.outputs.push((target, flow.clone())),
            }
        }
    }

    fn node(&mut self, node: usize, inbox: Inbox) -> Result<Vec<Flow>, Stop> {
        let mut outputs = vec![Flow::default(); self.stage.nodes[node].outputs.len()];
        let mut ordinals = Ordinals::default();
        for (input, flow) in arrange(inbox) {
            for chunk in flow.chunks() {
                let ordinals = ordinals.of(&chunk.origins);
                let given = Given::records(chunk.records.clone(), chunk.origins.clone(), ordinals);
                self.give(node, input, given, &mut outputs)?;
            }
        }
        if self.states[node].is_some() {
            self.expire(node)?;
            for domain in [Domain::EventTime, Domain::ProcessingTime] {
                self.fire(node, domain, &mut outputs)?;
            }
        }
        Ok(outputs)
    }

    fn state(&mut self, node: usize) -> Result<&mut State, Stop> {
        let name = &self.stage.nodes[node].operator;
        let missing = || Stop::Fault(Fault::Fatal(format!("operator {name} has no rows")));
        self.states[node].as_deref_mut().ok_or_else(missing)
    }

    /// Deletes the rows whose time to live is over. What was written in this turn and is over before its end makes
    /// it shorter.
    fn expire(&mut self, node: usize) -> Result<(), Stop> {
        let (segment, after) = (self.segment, self.segment.after);
        let state = self.state(node)?;
        let earliest = state.earliest(Due::Expiry)?;
        if let Some(earliest) = earliest
            && let Some(cut) = segment.watermarks.iter().skip(1).position(|&watermark| watermark >= earliest.0)
        {
            return Err(Stop::Cut(cut + 1));
        }
        if !after.is_some() {
            return Ok(());
        }
        let due = state.due(Due::Expiry, after, MAX_DUE)?;
        let more = state.has_due(Due::Expiry, after);
        for row in due {
            state.expire(&row, after)?;
        }
        self.effects.backlog |= more;
        Ok(())
    }

    fn fire(&mut self, node: usize, domain: Domain, outputs: &mut Vec<Flow>) -> Result<(), Stop> {
        let now = match domain {
            Domain::EventTime => self.segment.after,
            Domain::ProcessingTime => self.memory.clock,
        };
        if !now.is_some() {
            return Ok(());
        }
        let singly = self.watch.care().is_singly();
        let most = if singly { self.timers.min(1) } else { self.timers };
        let state = self.state(node)?;
        let due = state.due(domain.into(), now, most)?;
        let more = state.has_due(domain.into(), now);
        self.effects.backlog |= more;
        // With what waits for the next turn all timers downstream do, which are to get what it emits first.
        self.timers = if more { 0 } else { self.timers.saturating_sub(due.len()) };
        let mut left = due.as_slice();
        while !left.is_empty() {
            let (batch, rest) = self.still_set(node, domain, left)?;
            left = rest;
            if let Some(given) = batch {
                self.fired += given.len();
                self.give(node, 0, given, outputs)?;
            }
        }
        Ok(())
    }

    /// The next timers to fire in one call: no two of one key, so that none can cancel or move another one of them.
    fn still_set<'f>(
        &mut self,
        node: usize,
        domain: Domain,
        due: &'f [Fired],
    ) -> Result<(Option<Given>, &'f [Fired]), Stop> {
        let limit = self.limit(node).min(MAX_TIMERS_IN_CALL);
        let state = self.state(node)?;
        let mut batch = Batch::default();
        let mut keys = HashSet::<&[u8]>::new();
        let mut taken = 0;
        for fired in due {
            if batch.len() == limit || keys.contains(fired.key.as_slice()) {
                break;
            }
            taken += 1;
            if state.timer(domain, &fired.key, &fired.name)? != Some(fired.at) {
                continue;
            }
            state.take_timer(domain, fired);
            keys.insert(&fired.key);
            let (key, value) = (Some(fired.key.as_slice()), Some(fired.name.as_slice()));
            batch.push(Message { key, value, headers: None, timestamp: fired.at });
        }
        let given = (!batch.is_empty()).then(|| Given::timers(domain, Arc::new(batch)));
        Ok((given, due.get(taken..).unwrap_or_default()))
    }
}

/// Numbers the records that come from one source record, in the order in which an operator is given them.
#[derive(Debug, Default)]
struct Ordinals {
    last: Option<u32>,
    next: u32,
}

impl Ordinals {
    fn of(&mut self, origins: &[u32]) -> Vec<u32> {
        let mut one = |&origin: &u32| {
            self.next = if self.last == Some(origin) { self.next + 1 } else { 0 };
            self.last = Some(origin);
            self.next
        };
        origins.iter().map(&mut one).collect()
    }
}

/// The flows of an inbox in the order in which their source records came, however they were batched: what one operator
/// gets from several sides does not depend on where a turn ends.
fn arrange(inbox: Inbox) -> Inbox {
    if inbox.len() < 2 {
        return inbox;
    }
    let mut records: Vec<_> = inbox
        .iter()
        .flat_map(|(input, flow)| flow.iter().map(move |(origin, message)| (origin, *input, message)))
        .collect();
    records.sort_by_key(|&(origin, input, _)| (origin, input));
    let mut arranged: Vec<(u32, Flow)> = Vec::new();
    for (origin, input, message) in records {
        match arranged.last_mut() {
            Some((last, flow)) if *last == input => flow.push(origin, message),
            _ => {
                let mut flow = Flow::default();
                flow.push(origin, message);
                arranged.push((input, flow));
            }
        }
    }
    arranged.into_iter().map(|(input, flow)| (input, Rc::new(flow))).collect()
}

#[cfg(test)]
mod tests;
