//! Two operators, told as plugins would be: a splitter, and a counter with state that expires and timers.

use std::collections::BTreeMap;
use std::panic::resume_unwind;

use wasmill_core::batch::{ABSENT, Blobs};
use wasmill_core::flow::Emitted;
use wasmill_core::operator::{
    Call, CallError, Declaration, Domain, Entry, Failure, Operator, Outcome, OutputDeclaration, Role, StateDeclaration,
    StateKind,
};
use wasmill_core::record::{Partition, Timestamp};
use wasmill_core::scope::Scope;

use crate::clock::outside;

/// Milliseconds after a word's event time at which its timer is due.
pub const TIMER: i64 = 5;

/// Milliseconds of processing time after which the timer of a word that begins with `t` is due.
pub const TICK: i64 = 40;

/// Milliseconds of event time after which a word that begins with `t` is forgotten.
pub const SHORT: i64 = 6;

/// Milliseconds after which a word is forgotten in the state with a time to live.
pub const TTL: i64 = 1_000_000;

fn declaration(role: Role, states: Vec<StateDeclaration>) -> Declaration {
    let outputs = vec![OutputDeclaration { name: "out".into(), keeps_keys: role == Role::Process }];
    Declaration {
        name: "sim".into(),
        version: "1".into(),
        role,
        inputs: vec!["in".into()],
        outputs,
        states,
        metrics: Vec::new(),
    }
}

fn emit(scope: &mut Scope, origin: u32, key: &[u8], value: &[u8], at: i64) -> Result<(), CallError> {
    let data = [key, value].concat();
    let spans = [0, key.len() as i32, key.len() as i32, value.len() as i32, 0, ABSENT];
    let emitted = Emitted { timestamps: &[at], spans: &spans, data: &data };
    Ok(scope.emit(0, emitted, &[origin])?)
}

/// What a process dies of.
pub struct Killed;

/// Whether what is outside cannot be reached: for a while, again and again.
fn is_away() -> bool {
    (outside() / 200) % 3 == 2
}

/// Ends the process in the middle of a call.
fn kill() -> ! {
    resume_unwind(Box::new(Killed))
}

/// Splits at spaces. `poison` fails the whole call, `slow` takes too long, `no` is a failure of its own record,
/// `kill` kills the process. One that begins with `later` cannot be split while the outside is away.
pub struct Split(Declaration);

impl Split {
    pub fn new() -> Self {
        Self(declaration(Role::Transform, Vec::new()))
    }
}

impl Operator for Split {
    fn declaration(&self) -> &Declaration {
        &self.0
    }

    fn call(&mut self, mut scope: Box<Scope>) -> (Box<Scope>, Result<Outcome, CallError>) {
        let call = scope.call().clone();
        let result = split(&call, &mut scope);
        (scope, result)
    }

    fn renew(&mut self) {}
}

fn split(call: &Call, scope: &mut Scope) -> Result<Outcome, CallError> {
    let mut outcome = Outcome::default();
    for (message, index) in call.records.iter().zip(0..) {
        match message.value.unwrap_or_default() {
            b"kill" => kill(),
            b"poison" => return Err(CallError::Permanent("poisoned".into())),
            line if line.starts_with(b"later") && is_away() => {
                return Err(CallError::Transient("away".into()));
            }
            b"slow" => return Err(CallError::Deadline("slow".into())),
            b"no" => outcome.failures.push(Failure { index, reason: "no".into() }),
            line => {
                for word in line.split(|&byte| byte == b' ') {
                    emit(scope, index, word, b"", message.timestamp.0)?;
                }
            }
        }
    }
    Ok(outcome)
}

/// Counts words, notes the host's time, which is another one each time that a call is made again, and sets a timer for
/// each word that tells its time. A word that begins with `x` fails after it wrote, and
/// `pox` fails the whole call after it wrote; `die` kills the process, as does the timer of `bomb`;
/// `never` waits for what never comes, and the timer of `dud` fails.
///
/// A word that begins with `t` also counts itself for a short time, tells what it knew of time then, and sets a timer in processing
/// time.
pub struct Count(Declaration, BTreeMap<Partition, Timestamp>);

impl Count {
    pub fn new() -> Self {
        let state =
            |name: &str, kind, prefetch, ttl| StateDeclaration { name: name.into(), kind, prefetch, ttl, encoding: 1 };
        Self(
            declaration(
                Role::Process,
                vec![
                    state("count", StateKind::Single, true, None),
                    state("last", StateKind::Single, false, Some(TTL as u64)),
                    state("when", StateKind::OrderedMap, false, None),
                    state("short", StateKind::Single, false, Some(SHORT as u64)),
                ],
            ),
            BTreeMap::new(),
        )
    }
}

impl Operator for Count {
    fn declaration(&self) -> &Declaration {
        &self.0
    }

    fn call(&mut self, mut scope: Box<Scope>) -> (Box<Scope>, Result<Outcome, CallError>) {
        let call = scope.call().clone();
        let last = self.1.insert(call.info.partition, call.info.processing_time);
        assert!(last <= Some(call.info.processing_time), "processing time goes back");
        let result = match call.entry {
            Entry::Process => count(&call, &mut scope),
            Entry::Timers(domain) => tell(&call, domain, &mut scope),
        };
        (scope, result)
    }

    fn renew(&mut self) {
        self.1.clear();
    }
}

fn count(call: &Call, scope: &mut Scope) -> Result<Outcome, CallError> {
    let mut outcome = Outcome::default();
    let mut cells: Vec<Option<u8>> = call.slots.values.iter().map(|cell| cell.map(|cell| cell[1])).collect();
    for ((message, &slot), index) in call.records.iter().zip(&call.slots.slot_of).zip(0..) {
        let word = message.key.unwrap_or_default();
        let at = message.timestamp.0;
        let n = cells[slot as usize].unwrap_or(0) + 1;
        cells[slot as usize] = Some(n);
        scope.put(1, word, b"", &[1, n])?;
        scope.put(2, word, call.info.processing_time.0.to_string().as_bytes(), &[1])?;
        let name = at.to_string();
        scope.set_timer(Domain::EventTime, word, name.as_bytes(), Timestamp(at + TIMER))?;
        if word == b"die" {
            kill();
        }
        if word == b"never" {
            return Err(CallError::Transient("never".into()));
        }
        if word == b"pox" {
            return Err(CallError::Permanent("pox".into()));
        }
        if word.starts_with(b"x") {
            outcome.failures.push(Failure { index, reason: "x".into() });
        } else {
            emit(scope, index, word, n.to_string().as_bytes(), at)?;
            if word.starts_with(b"t") {
                short(call, scope, index, word, at)?;
            }
        }
    }
    let mut values = Blobs::default();
    for (slot, n) in cells.iter().enumerate() {
        outcome.cells.push(slot as u32);
        values.push(n.map(|n| [1, n]).as_ref().map(|cell| &cell[..]));
    }
    outcome.values = values;
    Ok(outcome)
}

/// Counts what is not forgotten, and tells: the count, the watermark at which it was read, and when it was written.
fn short(call: &Call, scope: &mut Scope, index: u32, word: &[u8], at: i64) -> Result<(), CallError> {
    let of_key = call.records.iter().filter(|record| record.key == Some(word)).map(|record| record.timestamp.0);
    let (read, written) = (call.info.watermark.0, of_key.max().unwrap_or(at).max(call.info.watermark.0));
    let n = scope.get(3, word, b"")?.map_or(0, |stored| stored[1]) + 1;
    scope.put(3, word, b"", &[1, n])?;
    scope.set_timer(Domain::ProcessingTime, word, at.to_string().as_bytes(), call.info.processing_time.plus(TICK))?;
    emit(scope, index, word, format!("short {n} {read} {written}").as_bytes(), at)
}

fn tell(call: &Call, domain: Domain, scope: &mut Scope) -> Result<Outcome, CallError> {
    for (timer, index) in call.records.iter().zip(0..) {
        if domain == Domain::ProcessingTime {
            assert!(timer.timestamp <= call.info.processing_time, "a timer fires before its time");
            let value = [b"tick ", timer.value.unwrap_or_default()].concat();
            emit(scope, index, timer.key.unwrap_or_default(), &value, timer.timestamp.0)?;
            continue;
        }
        if timer.key == Some(b"bomb") {
            kill();
        }
        if timer.key == Some(b"dud") {
            return Err(CallError::Permanent("dud".into()));
        }
        let value = [b"timer ", timer.value.unwrap_or_default()].concat();
        emit(scope, index, timer.key.unwrap_or_default(), &value, timer.timestamp.0)?;
    }
    Ok(Outcome::default())
}
