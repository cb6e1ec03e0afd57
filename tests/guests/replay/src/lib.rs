//! A processor that does what its records say, in raw numbers: see `script`. Other records are passed on and counted.

mod script;

wit_bindgen::generate!({ path: "../../../wit", world: "process" });

use exports::wasmill::plugin::lifecycle::{MetricDecl, MetricKind, OperatorInfo, OutputDecl, StateDecl, StateKind};
use script::{Steps, list, part, pass};

mod raw {
    #[link(wasm_import_module = "wasmill:plugin/output@0.1.0")]
    unsafe extern "C" {
        pub fn emit(port: i32, _: i32, _: i32, _: i32, _: i32, _: i32, _: i32, _: i32, _: i32);
    }

    #[link(wasm_import_module = "wasmill:plugin/state@0.1.0")]
    unsafe extern "C" {
        pub fn get(state: i32, _: i32, _: i32, _: i32, _: i32, answer: i32);
        pub fn put(state: i32, _: i32, _: i32, _: i32, _: i32, _: i32, _: i32);
        pub fn delete(state: i32, _: i32, _: i32, _: i32, _: i32);
        pub fn scan(
            state: i32,
            _: i32,
            _: i32,
            _: i32,
            _: i32,
            _: i32,
            _: i32,
            _: i32,
            limit: i32,
            reverse: i32,
            answer: i32,
        );
        #[link_name = "delete-range"]
        pub fn delete_range(state: i32, _: i32, _: i32, _: i32, _: i32, _: i32, _: i32, _: i32);
        #[link_name = "get-many"]
        pub fn get_many(state: i32, _: i32, _: i32, _: i32, _: i32, answer: i32);
        #[link_name = "put-many"]
        pub fn put_many(state: i32, _: i32, _: i32, _: i32, _: i32);
    }

    #[link(wasm_import_module = "wasmill:plugin/timers@0.1.0")]
    unsafe extern "C" {
        #[link_name = "set"]
        pub fn set_timer(domain: i32, _: i32, _: i32, _: i32, _: i32, at: i64);
        pub fn cancel(domain: i32, _: i32, _: i32, _: i32, _: i32);
        #[link_name = "set-many"]
        pub fn set_many(domain: i32, _: i32, _: i32, _: i32, _: i32, _: i32, _: i32);
    }

    #[link(wasm_import_module = "wasmill:plugin/metrics@0.1.0")]
    unsafe extern "C" {
        pub fn add(metric: i32, delta: i64);
        pub fn set(metric: i32, value: f64);
        pub fn observe(metric: i32, value: f64);
    }

    #[link(wasm_import_module = "wasmill:plugin/logging@0.1.0")]
    unsafe extern "C" {
        pub fn enabled(level: i32) -> i32;
        pub fn log(level: i32, _: i32, _: i32);
    }

    #[link(wasm_import_module = "wasmill:plugin/origin@0.1.0")]
    unsafe extern "C" {
        pub fn topic(answer: i32);
        pub fn offsets(answer: i32);
        pub fn watermarks(answer: i32);
    }
}

/// Makes the call that a step says.
fn import(step: u8, s: &mut Steps<'_>) {
    macro_rules! n {
        () => {
            s.number()
        };
    }
    // SAFETY: none. Whatever these numbers are, the host must bear them.
    unsafe {
        match step {
            10 => raw::emit(n!(), n!(), n!(), n!(), n!(), n!(), n!(), n!(), n!()),
            11 => raw::get(n!(), n!(), n!(), n!(), n!(), n!()),
            12 => raw::put(n!(), n!(), n!(), n!(), n!(), n!(), n!()),
            13 => raw::delete(n!(), n!(), n!(), n!(), n!()),
            14 => raw::scan(n!(), n!(), n!(), n!(), n!(), n!(), n!(), n!(), n!(), n!(), n!()),
            15 => raw::delete_range(n!(), n!(), n!(), n!(), n!(), n!(), n!(), n!()),
            16 => raw::get_many(n!(), n!(), n!(), n!(), n!(), n!()),
            17 => raw::put_many(n!(), n!(), n!(), n!(), n!()),
            18 => raw::set_timer(n!(), n!(), n!(), n!(), n!(), s.long()),
            19 => raw::cancel(n!(), n!(), n!(), n!(), n!()),
            20 => raw::set_many(n!(), n!(), n!(), n!(), n!(), n!(), n!()),
            21 => raw::add(n!(), s.long()),
            22 => raw::set(n!(), f64::from_bits(s.long() as u64)),
            23 => raw::observe(n!(), f64::from_bits(s.long() as u64)),
            24 => raw::log(n!(), n!(), n!()),
            25 => drop(raw::enabled(n!())),
            26 => raw::topic(n!()),
            27 => raw::offsets(n!()),
            28 => raw::watermarks(n!()),
            _ => {}
        }
    }
}

#[unsafe(export_name = "wasmill:plugin/lifecycle@0.1.0#describe")]
extern "C" fn describe(settings: *const u8, length: usize) -> i32 {
    // SAFETY: the host put them there.
    let settings = unsafe { core::str::from_utf8_unchecked(core::slice::from_raw_parts(settings, length)) };
    if let Some(script) = script::of_settings(settings, "describe:") {
        return Steps::of(&script).and_then(|steps| steps.run(import)).unwrap_or_default();
    }
    let state =
        |name: &str, kind, prefetch, ttl_ms| StateDecl { name: name.into(), kind, prefetch, ttl_ms, encoding: 1 };
    let metric = |name: &str, kind| MetricDecl { name: name.into(), kind, unit: String::new() };
    let output = |name: &str| OutputDecl { name: name.into(), keeps_keys: false };
    let info = OperatorInfo {
        name: "replay".into(),
        version: "1".into(),
        inputs: vec!["in".into()],
        outputs: vec![output("out"), output("more")],
        states: vec![
            state("count", StateKind::Single, true, None),
            state("last", StateKind::Single, false, Some(10)),
            state("seen", StateKind::OrderedMap, false, Some(1_000)),
        ],
        metrics: vec![metric("done", MetricKind::Counter), metric("size", MetricKind::Gauge)],
    };
    lowered(info)
}

/// A declaration as the host reads it.
fn lowered(info: OperatorInfo) -> i32 {
    let text = |text: String| -> [i32; 2] { bytes(text.leak().as_bytes()) };
    let names = |names: Vec<String>| bytes(names.into_iter().map(text).collect::<Vec<_>>().leak());
    let outputs = info.outputs.into_iter().map(|output| {
        let [name, length] = text(output.name);
        [name, length, i32::from(output.keeps_keys)]
    });
    let outputs: Vec<[i32; 3]> = outputs.collect();
    let metrics = info.metrics.into_iter().map(|metric| {
        let ([name, length], [unit, unit_length]) = (text(metric.name), text(metric.unit));
        [name, length, metric.kind as i32, unit, unit_length]
    });
    let metrics: Vec<[i32; 5]> = metrics.collect();
    let states = info.states.into_iter().map(|state| {
        let [name, length] = text(state.name);
        let kind = state.kind as u8 as i32 | i32::from(state.prefetch) << 8;
        let ttl = state.ttl_ms.map_or([0, 0], |ttl| [ttl as i32, (ttl >> 32) as i32]);
        [name, length, kind, 0, i32::from(state.ttl_ms.is_some()), 0, ttl[0], ttl[1], i32::from(state.encoding), 0]
    });
    let states: Vec<[i32; 10]> = states.collect();
    let parts = [
        text(info.name),
        text(info.version),
        names(info.inputs),
        bytes(outputs.leak()),
        bytes(states.leak()),
        bytes(metrics.leak()),
    ];
    good(&parts)
}

/// A result that is no error, as the host reads it.
fn good(parts: &[[i32; 2]]) -> i32 {
    [&[0], parts.as_flattened()].concat().leak().as_ptr() as i32
}

fn bytes<T>(list: &[T]) -> [i32; 2] {
    [list.as_ptr() as i32, list.len() as i32]
}

#[unsafe(export_name = "wasmill:plugin/lifecycle@0.1.0#open")]
extern "C" fn open(settings: *const u8, length: usize) -> i32 {
    // SAFETY: the host put them there.
    let settings = unsafe { core::str::from_utf8_unchecked(core::slice::from_raw_parts(settings, length)) };
    let script = script::of_settings(settings, "open:");
    let answer = script.and_then(|script| Steps::of(&script)?.run(import));
    answer.unwrap_or_else(|| Box::leak(Box::new([0_i32; 4])).as_ptr() as i32)
}

#[unsafe(export_name = "wasmill:plugin/processor@0.1.0#process")]
extern "C" fn process(arguments: usize) -> i32 {
    replay(arguments, 32)
}

#[unsafe(export_name = "wasmill:plugin/processor@0.1.0#on-timers")]
extern "C" fn on_timers(arguments: usize) -> i32 {
    replay(arguments, 36)
}

/// Passes on records and counts all that is no script, then does what the scripts say.
fn replay(arguments: usize, batch: usize) -> i32 {
    let at = |place: usize| arguments + batch + place;
    // SAFETY: the host put them there.
    let (timestamps, spans, data, slot_of, old, old_data) = unsafe {
        (
            list::<i64>(at(0)),
            list::<i32>(at(8)),
            list::<u8>(at(16)),
            list::<u32>(at(24)),
            list::<i32>(at(32)),
            list::<u8>(at(40)),
        )
    };
    let records = timestamps.len();
    let value = |record| part(spans, data, record, 2);
    let timers = batch != 32;
    let plain: Vec<usize> = (0..records).filter(|&record| !value(record).starts_with(script::MAGIC)).collect();
    let (mut passed, mut times, mut origins) = (vec![], vec![], vec![]);
    for &record in plain.iter().filter(|_| !timers) {
        passed.extend(pass(spans, record));
        times.push(timestamps[record]);
        origins.push(record as u32);
    }
    let lists = [bytes(&times), bytes(&passed), [1, 0], bytes(&origins)].concat();
    // SAFETY: these are lists.
    unsafe { raw::emit(0, lists[0], lists[1], lists[2], lists[3], lists[4], lists[5], lists[6], lists[7]) };
    for record in 0..records {
        let steps = Steps::of(value(record));
        if let Some(answer) = steps.and_then(|steps| steps.run(import)) {
            return answer;
        }
    }
    let count_of = |span: &[i32]| if span[1] < 0 { 0 } else { old_data[(span[0] + span[1] - 1) as usize] };
    let mut counts: Vec<u8> = old.chunks_exact(2).map(count_of).collect();
    for &record in &plain {
        let count = &mut counts[slot_of[record] as usize];
        *count = count.wrapping_add(1);
    }
    let cells: Vec<u32> = (0..counts.len() as u32).collect();
    let spans: Vec<i32> = cells.iter().flat_map(|&cell| [cell as i32 * 2, 2]).collect();
    let counts: Vec<u8> = counts.iter().flat_map(|&count| [1, count]).collect();
    good(&[[4, 0], bytes(cells.leak()), bytes(spans.leak()), bytes(counts.leak())])
}
