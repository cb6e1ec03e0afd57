//! A transformer that does what its records say, in raw numbers: see `script`. Other records are passed on.

#[path = "../../replay/src/script.rs"]
#[expect(dead_code, reason = "the processor uses more of it")]
mod script;

wit_bindgen::generate!({ path: "../../../wit", world: "transform" });

use script::{Steps, list, part, pass};

mod raw {
    #[link(wasm_import_module = "wasmill:plugin/output@0.1.0")]
    unsafe extern "C" {
        pub fn emit(port: i32, _: i32, _: i32, _: i32, _: i32, _: i32, _: i32, _: i32, _: i32);
    }

    #[link(wasm_import_module = "wasmill:plugin/logging@0.1.0")]
    unsafe extern "C" {
        pub fn log(level: i32, _: i32, _: i32);
    }
}

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
            24 => raw::log(n!(), n!(), n!()),
            _ => {}
        }
    }
}

fn text(text: &'static str) -> [i32; 2] {
    [text.as_ptr() as i32, text.len() as i32]
}

#[unsafe(export_name = "wasmill:plugin/lifecycle@0.1.0#describe")]
extern "C" fn describe(_: i32, _: i32) -> i32 {
    let inputs = Box::leak(Box::new([text("in")])).as_ptr() as i32;
    let [[out, out_length], [more, more_length]] = [text("out"), text("more")];
    let outputs = Box::leak(Box::new([out, out_length, 0, more, more_length, 0])).as_ptr() as i32;
    let parts = [text("replay"), text("1"), [inputs, 1], [outputs, 2], [8, 0], [4, 0]];
    [&[0], parts.as_flattened()].concat().leak().as_ptr() as i32
}

#[unsafe(export_name = "wasmill:plugin/lifecycle@0.1.0#open")]
extern "C" fn open(_: i32, _: i32) -> i32 {
    Box::leak(Box::new([0_i32; 4])).as_ptr() as i32
}

#[unsafe(export_name = "wasmill:plugin/transformer@0.1.0#process")]
extern "C" fn process(
    _: i32,
    _: i32,
    _: i64,
    _: i64,
    _: i64,
    timestamps: usize,
    records: usize,
    spans: usize,
    spans_length: usize,
    data: usize,
    data_length: usize,
) -> i32 {
    let columns = [[timestamps, records], [spans, spans_length], [data, data_length]];
    let at = |column: usize| columns[column].as_ptr() as usize;
    // SAFETY: the host put them there.
    let (timestamps, spans, data) = unsafe { (list::<i64>(at(0)), list::<i32>(at(1)), list::<u8>(at(2))) };
    let value = |record| part(spans, data, record, 2);
    let (mut passed, mut times, mut origins) = (vec![], vec![], vec![]);
    for record in (0..timestamps.len()).filter(|&record| !value(record).starts_with(script::MAGIC)) {
        passed.extend(pass(spans, record));
        times.push(timestamps[record]);
        origins.push(record as u32);
    }
    let (times, spans, origins) = (times.leak(), passed.leak(), origins.leak());
    let [times, spans, origins] = [
        [times.as_ptr() as i32, times.len() as i32],
        [spans.as_ptr() as i32, spans.len() as i32],
        [origins.as_ptr() as i32, origins.len() as i32],
    ];
    // SAFETY: these are lists.
    unsafe { raw::emit(0, times[0], times[1], spans[0], spans[1], 1, 0, origins[0], origins[1]) };
    for record in 0..records {
        if let Some(answer) = Steps::of(value(record)).and_then(|steps| steps.run(import)) {
            return answer;
        }
    }
    Box::leak(Box::new([0_i32, 4, 0])).as_ptr() as i32
}
