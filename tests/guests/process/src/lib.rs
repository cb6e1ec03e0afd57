//! A processor that misbehaves in the way that its settings name, `{"does": "spins"}`: always, or only when a record of
//! the call has the value that they name too, `{"at": "poison", "does": "spins"}`, and counts otherwise.

mod emits;
mod reaches;
mod returns;
mod takes;
mod timed;

use std::sync::OnceLock;

wit_bindgen::generate!({ path: "../../../wit", world: "process" });
export!(Guest);

use exports::wasmill::plugin::lifecycle::{self, OperatorInfo, OutputDecl, StateDecl, StateKind};
use exports::wasmill::plugin::lifecycle::{MetricDecl, MetricKind};
use exports::wasmill::plugin::processor;
use wasmill::plugin::logging::{self, Level};
use wasmill::plugin::timers::Domain;
use wasmill::plugin::types::{Batch, Blobs, CallInfo, Error, KeyedOutcome, Slots};

/// What a call has to work with.
pub struct Call {
    pub records: Batch,
    pub slots: Slots,
}

impl Call {
    pub fn len(&self) -> usize {
        self.records.timestamps.len()
    }

    pub fn key(&self, record: usize) -> &[u8] {
        self.part(record, 0)
    }

    pub fn value(&self, record: usize) -> &[u8] {
        self.part(record, 2)
    }

    /// The first record with a value.
    pub fn find(&self, value: &str) -> Option<usize> {
        (0..self.len()).find(|&record| self.value(record) == value.as_bytes())
    }

    fn part(&self, record: usize, part: usize) -> &[u8] {
        let [at, length] = [0, 1].map(|n| self.records.spans[record * 6 + part + n]);
        if length < 0 { b"" } else { &self.records.data[at as usize..][..length as usize] }
    }
}

/// No failure and no change.
pub fn nothing() -> Result<KeyedOutcome, Error> {
    Ok(KeyedOutcome { failures: vec![], cells: vec![], values: Blobs { spans: vec![], data: vec![] } })
}

struct Guest;

static DOES: OnceLock<String> = OnceLock::new();
static AT: OnceLock<String> = OnceLock::new();

impl lifecycle::Guest for Guest {
    fn describe(settings: String) -> Result<OperatorInfo, Error> {
        let does = does(&settings);
        match does {
            "describes-nothing" => return Err(Error::Permanent("a setting is missing".into())),
            "describes-for-ever" => takes::spins(),
            "describes-with-output" => emits::one(0, &[0, -1, 0, -1, 0, -1], b""),
            _ => {}
        }
        let state = |name: &str, kind, prefetch| StateDecl {
            name: name.into(),
            kind,
            prefetch,
            ttl_ms: None,
            encoding: if does == "describes-badly" { 0 } else { 1 },
        };
        Ok(OperatorInfo {
            name: does.into(),
            version: "1".into(),
            inputs: vec!["in".into()],
            outputs: vec![OutputDecl { name: "out".into(), keeps_keys: true }],
            states: vec![
                state("count", StateKind::Single, true),
                state("last", StateKind::Single, false),
                state("seen", StateKind::OrderedMap, does == "describes-badly"),
            ],
            metrics: metrics(does),
        })
    }

    fn open(settings: String) -> Result<(), Error> {
        std::panic::set_hook(Box::new(|panic| logging::log(Level::Error, &panic.to_string())));
        let does = does(&settings);
        DOES.get_or_init(|| does.into());
        if let Some(value) = setting(&settings, "at") {
            AT.get_or_init(|| value.into());
        }
        match does {
            "opens-later" => Err(Error::Transient("the license server sleeps".into())),
            "opens-never" => Err(Error::Permanent("no license".into())),
            "opens-with-state" => {
                reaches::state(1, b"k");
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn metrics(does: &str) -> Vec<MetricDecl> {
    let metric = |name: &str, kind, unit: &str| MetricDecl { name: name.into(), kind, unit: unit.into() };
    match does {
        "meters" => vec![
            metric("done", MetricKind::Counter, "a \"record\"\\\n"),
            metric("last", MetricKind::Gauge, ""),
            metric("sizes", MetricKind::Histogram, "bytes"),
        ],
        "declares-much" => (0..103).map(|n| metric(&format!("m{n}"), MetricKind::Counter, "")).collect(),
        _ => vec![metric("done", MetricKind::Counter, "")],
    }
}

fn does(settings: &str) -> &str {
    setting(settings, "does").unwrap_or_default()
}

/// The text of a setting.
fn setting<'a>(settings: &'a str, name: &str) -> Option<&'a str> {
    let mut pieces = settings.split('"').skip(1).step_by(2);
    pieces.find(|&piece| piece == name)?;
    pieces.next()
}

impl processor::Guest for Guest {
    fn process(_: CallInfo, records: Batch, slots: Slots) -> Result<KeyedOutcome, Error> {
        let call = Call { records, slots };
        let marked = AT.get().map(|value| call.find(value));
        if marked == Some(None) {
            return returns::counts(&call);
        }
        match DOES.get().map(String::as_str).unwrap_or_default() {
            "counts" => returns::counts(&call),
            "trusts" => returns::trusts(&call),
            "arms-duds" => timed::arms(&call),
            "arms-and-disarms" => timed::arms_and_disarms(&call),
            "reminds" => timed::reminds(&call),
            "meters" | "declares-much" => reaches::meters(&call),
            "spins" => takes::spins(),
            "cries-and-spins" => takes::cries_and_spins(),
            "lingers" => takes::lingers(&call),
            "hoards" => takes::hoards(),
            "leaks" => takes::leaks(),
            "seeps" => takes::seeps(&call),
            "overflows" => Err(Error::Permanent(takes::overflows(0).to_string())),
            "overflows-in-memory" => Err(Error::Permanent(takes::overflows_in_memory(0).to_string())),
            "panics" => takes::panics(&call),
            "traps" => takes::traps(),
            "babbles" => takes::babbles(),
            "chats" => takes::chats(&call),
            "predates" => emits::at(-5),
            "postdates" => emits::at(i64::MAX),
            "forges" => emits::forges(),
            "forges-input" => emits::forges_input(&call),
            "forges-headers" => emits::forges_headers(),
            "strays" => emits::strays(),
            "swells" => emits::swells(),
            "floods" => emits::floods(),
            "turns-back" => emits::turns_back(&call),
            "trespasses" => reaches::trespasses(),
            "peeks" => reaches::peeks(&call),
            "invents-state" => reaches::invents(&call),
            "invents-metric" => reaches::measures(),
            "fills-up" => reaches::fills_up(&call),
            "uses-all" => reaches::everything(&call),
            "oversteps" => returns::oversteps(&call),
            "repeats" => returns::repeats(),
            "forgets-encoding" => returns::forgets_encoding(),
            "blames-nobody" => returns::blames_nobody(&call),
            "blames-twice" => returns::blames_twice(),
            "fails-some" => returns::fails_some(marked.flatten().unwrap_or_default()),
            "waits" => Err(Error::Transient("the database is away".into())),
            "refuses" => Err(Error::Permanent("no such currency".into())),
            _ => nothing(),
        }
    }

    fn on_timers(_: CallInfo, _: Domain, timers: Batch, slots: Slots) -> Result<KeyedOutcome, Error> {
        let call = Call { records: timers, slots };
        match DOES.get().map(String::as_str) {
            Some("arms-duds" | "reminds") => timed::fires(&call),
            _ => returns::forgets(&call),
        }
    }
}
