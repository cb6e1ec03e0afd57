//! What the boundary between host and guest costs: nanoseconds that a record takes longer in a plugin than in the same
//! code compiled into the host, on the same columns.
//!
//! `cargo run --release -p bench-boundary`

mod logic;

use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use logic::{Output, Records};
use wasmill::plugin::{Cache, Engine, Instance, Limits, Place, Plugin};
use wasmill_core::batch::{Batch, Blobs, Message};
use wasmill_core::flow::{Emitted, Flow};
use wasmill_core::operator::{Call, CallInfo, Entry, Operator, Origin, Outcome, Slots};
use wasmill_core::record::Timestamp;
use wasmill_core::scope::{Limits as ScopeLimits, Scope};
use wasmill_core::slots::Keys;

const BATCHES: [usize; 3] = [1, 16, 256];

/// How often each of the two is timed; the fastest of all counts.
const ROUNDS: usize = 300;

/// How long one timing takes at least.
const SAMPLE: Duration = Duration::from_millis(2);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Map,
    Filter,
    Count,
}

fn main() -> Result<()> {
    let guests = build()?;
    let (engine, cache) = (Engine::new()?, Cache::none());
    println!("| batch | operator | written with | native | plugin | added |\n|---|---|---|---|---|---|");
    for (kind, sdk) in [Kind::Map, Kind::Filter, Kind::Count].into_iter().flat_map(|kind| [(kind, false), (kind, true)])
    {
        let (name, with) = match (kind, sdk) {
            (Kind::Count, false) => ("count", "bindings"),
            (_, false) => ("stateless", "bindings"),
            (Kind::Count, true) => ("sdk_count", "SDK"),
            (_, true) => ("sdk_stateless", "SDK"),
        };
        let bytes = std::fs::read(guests.join(format!("{name}.wasm")))?;
        let settings = if kind == Kind::Filter { r#"{"does": "filter"}"# } else { "{}" };
        let place = Place { operator: "bench".into(), settings: settings.into(), limits: Limits::default() };
        let mut instance = Plugin::load(&engine, &cache, &bytes, name)?.place(place)?.instance();
        for batch in BATCHES {
            let call = call(batch, kind);
            agree(kind, &mut instance, &call)?;
            let (native, plugin) = measure(kind, &mut instance, &call);
            let added = plugin - native;
            println!("| {batch} | {kind:?} | {with} | {native:.1} | {plugin:.1} | {added:.1} |");
        }
    }
    Ok(())
}

fn build() -> Result<std::path::PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests");
    let target = source.join("../../../target/bench-guests");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(&source).args(["build", "--release", "--quiet", "--target", "wasm32-unknown-unknown"]);
    let status = cargo.arg("--target-dir").arg(&target).status().context("run cargo")?;
    if !status.success() {
        bail!("the guests do not build; is the target wasm32-unknown-unknown installed?");
    }
    Ok(target.join("wasm32-unknown-unknown/release"))
}

/// Records of 8 bytes of key, of which a quarter are distinct, and 100 bytes of value.
fn call(batch: usize, kind: Kind) -> Call {
    let mut records = Batch::default();
    for n in 0..batch {
        let key = format!("key{:05}", n * 7 % batch.div_ceil(4));
        let value: Vec<u8> = (0..100).map(|at| b'a' + ((n * 31 + at * 7) % 26) as u8).collect();
        let timestamp = Timestamp(1_700_000_000_000 + n as i64);
        records.push(Message { key: Some(key.as_bytes()), value: Some(&value), headers: None, timestamp });
    }
    let mut slots = Slots::default();
    if kind == Kind::Count {
        let keys = Keys::of(&records);
        slots.slot_of = keys.slot_of().to_vec();
        keys.slots().iter().for_each(|_| slots.values.push(Some(&[1, 5, 0, 0, 0, 0, 0, 0, 0])));
    }
    Call { entry: Entry::Process, info: CallInfo::default(), records: records.into(), slots, origin: Origin::default() }
}

fn scope(call: &Call) -> Box<Scope> {
    let origins = (0..call.records.len() as u32).collect();
    let outputs = vec![Flow::default()];
    Box::new(Scope::new(call.clone(), origins, Keys::default(), None, outputs, ScopeLimits::default()))
}

/// The operator in the host.
fn native(kind: Kind, mut scope: Box<Scope>) -> Result<(Box<Scope>, Outcome)> {
    let call = scope.call().clone();
    let batch = &call.records;
    let records = Records { timestamps: batch.timestamps(), spans: batch.spans(), data: batch.data() };
    let mut outcome = Outcome::default();
    let output = match kind {
        Kind::Map => logic::map(records),
        Kind::Filter => logic::filter(records),
        Kind::Count => {
            let slots = &call.slots;
            let (output, changed) = logic::count(records, &slots.slot_of, slots.values.spans(), slots.values.data());
            outcome.cells = changed.cells;
            outcome.values = Blobs::from_parts(changed.spans, changed.data)?;
            output
        }
    };
    let Output { timestamps, spans, data, origins } = &output;
    scope.emit(0, Emitted { timestamps, spans, data }, origins)?;
    Ok((scope, outcome))
}

/// Checks that both compute the same.
fn agree(kind: Kind, instance: &mut Instance, call: &Call) -> Result<()> {
    let (native_scope, native_outcome) = native(kind, scope(call))?;
    let (plugin_scope, plugin_outcome) = instance.call(scope(call));
    let flows = |scope: Box<Scope>| scope.into_parts().1;
    let (native_flows, plugin_flows) = (flows(native_scope), flows(plugin_scope));
    let records =
        |flows: &[Flow]| format!("{:?}", flows.iter().map(|flow| flow.iter().collect::<Vec<_>>()).collect::<Vec<_>>());
    if native_outcome != plugin_outcome? || records(&native_flows) != records(&plugin_flows) {
        bail!("{kind:?}: the plugin computes something else than the host");
    }
    Ok(())
}

/// Nanoseconds for each record, native and in the plugin, timed by turns.
fn measure(kind: Kind, instance: &mut Instance, call: &Call) -> (f64, f64) {
    let mut fastest = [f64::MAX; 2];
    for _ in 0..ROUNDS {
        fastest[0] = fastest[0].min(time(call, |scope| drop(black_box(native(kind, scope)))));
        fastest[1] = fastest[1].min(time(call, |scope| drop(black_box(instance.call(scope)))));
    }
    (fastest[0], fastest[1])
}

fn time(call: &Call, mut run: impl FnMut(Box<Scope>)) -> f64 {
    let (start, mut calls) = (Instant::now(), 0_u32);
    while start.elapsed() < SAMPLE {
        (0..8).for_each(|_| run(scope(call)));
        calls += 8;
    }
    start.elapsed().as_nanos() as f64 / f64::from(calls) / call.records.len() as f64
}
