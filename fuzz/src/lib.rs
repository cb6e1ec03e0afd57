//! What guests return and call, made of bytes, through the real host: [`case`] is for cargo-fuzz and for the test
//! `guests_are_fuzzed`.
//!
//! The guests `replay` and `replay-transform` do what a record says in raw numbers, so that pointers, lengths, spans,
//! cells, text, times and whatever else crosses the boundary can be anything. Each case gives a task a good record, then
//! such a record, alone or among good ones, then good ones again.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

mod bytes;
mod script;
mod world;

use std::fmt::Write;

use wasmill::plugin::{Limits, Place, Plugin};

use self::bytes::Bytes;
use self::script::{Script, Verdict};
use self::world::World;

/// The guests.
pub struct Plugins {
    pub process: Plugin,
    pub transform: Plugin,
}

/// What became of a case.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Ended {
    /// A script left what it should.
    Passed,
    /// One was refused, and left nothing but its dead letter.
    Failed,
    /// One of both.
    Either,
    /// It set timers that set timers.
    Endless,
    /// A declaration was refused.
    Refused,
    /// One was taken.
    Declared,
}

const LIMITS: Limits = Limits {
    memory: 4 << 20,
    growth: 1 << 20,
    table: 1_000,
    deadline: std::time::Duration::from_secs(5),
    open: std::time::Duration::from_secs(5),
    written: 20_000,
    measurements: 100,
    lines: 100,
};

/// Makes a case of bytes. Panics if the host does not bear it.
pub fn case(plugins: &Plugins, bytes: &[u8]) -> Ended {
    let mut bytes = Bytes(bytes);
    match bytes.below(16) {
        15 => declaration(plugins, &mut bytes),
        kind => records(plugins, &mut bytes, kind < 10),
    }
}

fn place(settings: &str) -> Place {
    Place { operator: "replay".into(), settings: settings.into(), limits: LIMITS }
}

fn declaration(plugins: &Plugins, bytes: &mut Bytes<'_>) -> Ended {
    let word = if bytes.one_in(3) { "open" } else { "describe" };
    let digits = Script::of_declaration(bytes).value().iter().fold(String::new(), |mut digits, byte| {
        write!(digits, "{byte:02x}").unwrap();
        digits
    });
    match plugins.process.place(place(&format!("\"{word}:{digits}\""))) {
        Ok(placed) => {
            let declared = placed.declaration();
            assert!(declared.outputs.len() <= 64 && declared.states.len() <= 64 && !declared.inputs.is_empty());
            let opened = placed.instance().open();
            assert!(opened.is_ok() || word == "open", "{opened:?}");
            Ended::Declared
        }
        Err(refused) => {
            assert!(refused.to_string().len() < 10_000, "{refused}");
            Ended::Refused
        }
    }
}

fn records(plugins: &Plugins, bytes: &mut Bytes<'_>, keyed: bool) -> Ended {
    let plugin = if keyed { &plugins.process } else { &plugins.transform };
    let mut world = World::new(&plugin.place(place("{}")).unwrap());
    world.give(&[(b"a", b"good")]);
    world.must_have_passed(&[b"a"]);
    let script = Script::of(bytes, keyed);
    let (value, alone) = (script.value(), !bytes.one_in(5));
    let settled = match alone {
        true => world.give(&[(script::KEY, &value)]),
        false => world.give(&[(b"a", b"good"), (script::KEY, &value), (b"b", b"good")]),
    };
    if !settled {
        return Ended::Endless;
    }
    let (came, letters) = world.take();
    let ended = match script.verdict() {
        _ if !alone => Ended::Either,
        Verdict::Passes(records) => {
            assert_eq!((came, letters), (records, 0), "it follows the rules");
            Ended::Passed
        }
        Verdict::Fails => {
            assert_eq!((came, letters), (Vec::new(), 1), "it breaks a rule");
            Ended::Failed
        }
        Verdict::Open => {
            assert!(letters == 0 || came.is_empty() && letters == 1, "{letters} letters, {came:?}");
            Ended::Either
        }
    };
    if ended == Ended::Either {
        // A guest that wrote over its own memory is nobody's fault but its own.
        world.renew();
    }
    if !world.give(&[(b"a", b"good"), (b"b", b"good"), (b"a", b"good")]) {
        return Ended::Endless;
    }
    world.must_have_passed(&[b"a", b"b", b"a"]);
    ended
}
