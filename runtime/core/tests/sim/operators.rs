//! Two operators, told as plugins would be: a splitter, and a counter with state that expires and timers.

use std::collections::BTreeMap;
use std::panic::resume_unwind;

use wasmill_core::batch::{Blobs, encode_headers};
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

/// The header of all output that names the version of its operator.
pub const VERSION: &str = "version";

/// The output that records go to.
pub const OUT: &str = "out";

/// A version of an operator: what it says of itself, and how it signs its output. Those behind the first have an output
/// more, and outputs and states in another order.
#[derive(Clone)]
struct Made {
    version: u8,
    declaration: Declaration,
    headers: Vec<u8>,
    /// Whether it handles what others fail at.
    mended: bool,
}

impl Made {
    fn new(version: u8, role: Role, mut states: Vec<StateDeclaration>) -> Self {
        let mut outputs = vec![OutputDeclaration { name: OUT.into(), keeps_keys: role == Role::Process }];
        if version > 1 {
            outputs.push(OutputDeclaration { name: "aside".into(), keeps_keys: false });
            outputs.rotate_left(usize::from(version % 2));
            let count = states.len().max(1);
            states.rotate_left(usize::from(version) % count);
        }
        let number = version.to_string();
        let declaration = Declaration {
            name: "sim".into(),
            version: number.clone(),
            role,
            inputs: vec!["in".into()],
            outputs,
            states,
            metrics: Vec::new(),
        };
        let headers = encode_headers([(VERSION, Some(number.as_bytes()))]);
        Self { version, declaration, headers, mended: false }
    }

    /// The number of a state.
    fn state(&self, name: &str) -> u32 {
        self.declaration.states.iter().position(|state| state.name == name).unwrap() as u32
    }

    fn emit(&self, scope: &mut Scope, origin: u32, key: &[u8], value: &[u8], at: i64) -> Result<(), CallError> {
        let output = self.declaration.outputs.iter().position(|output| output.name == OUT).unwrap() as u32;
        let data = [key, value, &self.headers].concat();
        let mut from = 0;
        let mut span = |part: &[u8]| {
            let span = [from, part.len() as i32];
            from += span[1];
            span
        };
        let spans = [span(key), span(value), span(&self.headers)].concat();
        let emitted = Emitted { timestamps: &[at], spans: &spans, data: &data };
        Ok(scope.emit(output, emitted, &[origin])?)
    }
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
/// `kill` kills the process. One that begins with `later` cannot be split while the outside is away. A version that is
/// mended splits these like others.
pub struct Split(Made);

impl Split {
    pub fn new(version: u8) -> Self {
        Self(Made::new(version, Role::Transform, Vec::new()))
    }

    pub fn mended(version: u8) -> Self {
        Self(Made { mended: true, ..Self::new(version).0 })
    }
}

impl Operator for Split {
    fn declaration(&self) -> &Declaration {
        &self.0.declaration
    }

    fn call(&mut self, mut scope: Box<Scope>) -> (Box<Scope>, Result<Outcome, CallError>) {
        let call = scope.call().clone();
        let result = split(&self.0, &call, &mut scope);
        (scope, result)
    }

    fn renew(&mut self) {}
}

fn split(made: &Made, call: &Call, scope: &mut Scope) -> Result<Outcome, CallError> {
    let mut outcome = Outcome::default();
    for (message, index) in call.records.iter().zip(0..) {
        match message.value.unwrap_or_default() {
            b"kill" if !made.mended => kill(),
            b"poison" if !made.mended => return Err(CallError::Permanent("poisoned".into())),
            line if line.starts_with(b"later") && is_away() && !made.mended => {
                return Err(CallError::Transient("away".into()));
            }
            b"slow" if !made.mended => return Err(CallError::Deadline("slow".into())),
            b"no" if !made.mended => outcome.failures.push(Failure { index, reason: "no".into() }),
            line => {
                for word in line.split(|&byte| byte == b' ') {
                    made.emit(scope, index, word, b"", message.timestamp.0)?;
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
/// time. All versions but the first also count by version.
pub struct Count(Made, BTreeMap<Partition, Timestamp>);

impl Count {
    pub fn new(version: u8) -> Self {
        let state =
            |name: &str, kind, prefetch, ttl| StateDeclaration { name: name.into(), kind, prefetch, ttl, encoding: 1 };
        let mut states = vec![
            state("count", StateKind::Single, true, None),
            state("last", StateKind::Single, false, Some(TTL as u64)),
            state("when", StateKind::OrderedMap, false, None),
            state("short", StateKind::Single, false, Some(SHORT as u64)),
        ];
        if version > 1 {
            states.push(state("by", StateKind::OrderedMap, false, None));
        }
        Self(Made::new(version, Role::Process, states), BTreeMap::new())
    }
}

impl Operator for Count {
    fn declaration(&self) -> &Declaration {
        &self.0.declaration
    }

    fn call(&mut self, mut scope: Box<Scope>) -> (Box<Scope>, Result<Outcome, CallError>) {
        let call = scope.call().clone();
        let last = self.1.insert(call.info.partition, call.info.processing_time);
        assert!(last <= Some(call.info.processing_time), "processing time goes back");
        let result = match call.entry {
            Entry::Process => count(&self.0, &call, &mut scope),
            Entry::Timers(domain) => tell(&self.0, &call, domain, &mut scope),
        };
        (scope, result)
    }

    fn renew(&mut self) {
        self.1.clear();
    }
}

fn count(made: &Made, call: &Call, scope: &mut Scope) -> Result<Outcome, CallError> {
    let [last, when] = ["last", "when"].map(|name| made.state(name));
    let mut outcome = Outcome::default();
    let mut cells: Vec<Option<u8>> = call.slots.values.iter().map(|cell| cell.map(|cell| cell[1])).collect();
    for ((message, &slot), index) in call.records.iter().zip(&call.slots.slot_of).zip(0..) {
        let word = message.key.unwrap_or_default();
        let at = message.timestamp.0;
        let n = cells[slot as usize].unwrap_or(0) + 1;
        cells[slot as usize] = Some(n);
        scope.put(last, word, b"", &[1, n])?;
        scope.put(when, word, call.info.processing_time.0.to_string().as_bytes(), &[1])?;
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
            count_by_version(made, scope, word)?;
            made.emit(scope, index, word, n.to_string().as_bytes(), at)?;
            if word.starts_with(b"t") {
                short(made, call, scope, index, word, at)?;
            }
        }
    }
    let mut values = Blobs::default();
    for (slot, n) in cells.iter().enumerate() {
        outcome.cells.push(slot as u32);
        values.push(n.map(|n| [1, n, made.version]).as_ref().map(|cell| &cell[..]));
    }
    outcome.values = values;
    Ok(outcome)
}

/// Counts the words that this version handled.
fn count_by_version(made: &Made, scope: &mut Scope, word: &[u8]) -> Result<(), CallError> {
    if made.version > 1 {
        let (by, field) = (made.state("by"), made.version.to_string());
        let n = scope.get(by, word, field.as_bytes())?.map_or(0, |stored| stored[1]) + 1;
        scope.put(by, word, field.as_bytes(), &[1, n])?;
    }
    Ok(())
}

/// Counts what is not forgotten, and tells: the count, the watermark at which it was read, and when it was written.
fn short(made: &Made, call: &Call, scope: &mut Scope, index: u32, word: &[u8], at: i64) -> Result<(), CallError> {
    let state = made.state("short");
    let of_key = call.records.iter().filter(|record| record.key == Some(word)).map(|record| record.timestamp.0);
    let (read, written) = (call.info.watermark.0, of_key.max().unwrap_or(at).max(call.info.watermark.0));
    let n = scope.get(state, word, b"")?.map_or(0, |stored| stored[1]) + 1;
    scope.put(state, word, b"", &[1, n])?;
    scope.set_timer(Domain::ProcessingTime, word, at.to_string().as_bytes(), call.info.processing_time.plus(TICK))?;
    made.emit(scope, index, word, format!("short {n} {read} {written}").as_bytes(), at)
}

fn tell(made: &Made, call: &Call, domain: Domain, scope: &mut Scope) -> Result<Outcome, CallError> {
    for (timer, index) in call.records.iter().zip(0..) {
        if domain == Domain::ProcessingTime {
            assert!(timer.timestamp <= call.info.processing_time, "a timer fires before its time");
            let value = [b"tick ", timer.value.unwrap_or_default()].concat();
            made.emit(scope, index, timer.key.unwrap_or_default(), &value, timer.timestamp.0)?;
            continue;
        }
        if timer.key == Some(b"bomb") {
            kill();
        }
        if timer.key == Some(b"dud") {
            return Err(CallError::Permanent("dud".into()));
        }
        let value = [b"timer ", timer.value.unwrap_or_default()].concat();
        made.emit(scope, index, timer.key.unwrap_or_default(), &value, timer.timestamp.0)?;
    }
    Ok(Outcome::default())
}
