//! A plugin that leaks: its guests are replaced before they take too much, and nothing shows. 200,000 records, 4
//! partitions, 2 workers, the store sled.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::Read;
use std::process::Stdio;

use serde_json::Value;

use crate::guests;
use crate::support::command::Place;

const RECORDS: usize = 200_000;
const KEYS: usize = 1_000;

/// What the leaking guests leak in all, in bytes.
const LEAKED: usize = RECORDS * 2_048;

/// How a run went: the most memory that its process had, in bytes, and what it said.
struct Ran {
    memory: usize,
    said: String,
}

fn place(does: &str) -> Place {
    let place = Place::new();
    place.write("process.wasm", guests::built("process"));
    let pipeline = format!(
        "format-version: 1\nname: leaking\nsources:\n  lines: {{topic: lines, create: {{partitions: 4}}}}\noperators:\n  \
         guest: {{plugin: ./process.wasm, from: lines, settings: {{does: {does}}}, limits: {{memory: 1GiB}}}}\nsinks:\n  \
         counts: {{topic: counts, create: {{partitions: 4}}, from: guest.out}}\n"
    );
    place.write("pipeline.yaml", pipeline);
    let mut lines = String::new();
    (0..RECORDS).for_each(|record| writeln!(lines, "k{}:v", record % KEYS).unwrap());
    let arguments = ["produce", "lines", "--key-separator", ":", "--data-dir", "data", "--partitions", "4"];
    place.run_with(arguments, lines.as_bytes()).ok();
    place
}

#[expect(clippy::zombie_processes, reason = "wait4 waits for it, and tells what it used")]
fn run(place: &Place) -> Ran {
    let log = ["--until-end", "--data-dir", "data", "--workers", "2", "--store", "sled"];
    let mut command = place.command([&["run", "pipeline.yaml"], &log[..]].concat());
    command.env("WASMILL_LOG", "wasmill::plugin=debug").stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    // SAFETY: both are plain numbers, for which zero is a value.
    let (mut status, mut usage) = unsafe { std::mem::zeroed::<(i32, libc::rusage)>() };
    // SAFETY: the process is a child that nobody else waits for, and both places are there to be written to.
    let ended = unsafe { libc::wait4(child.id() as i32, &raw mut status, 0, &raw mut usage) };
    assert!(ended == child.id() as i32 && status == 0, "status {status}: {said}");
    Ran { memory: usize::try_from(usage.ru_maxrss).unwrap() * 1_024, said }
}

#[test]
fn a_guest_that_leaks_is_replaced_before_it_takes_too_much_and_nothing_is_lost() {
    let plain = run(&place("counts"));
    let leaking = place("seeps");
    let ran = run(&leaking);
    let replaced = ran.said.matches("a guest that has grown is replaced").count();
    println!(
        "{} MB with a leak of {} MB, {} MB without; {replaced} guests replaced",
        ran.memory / 1_000_000,
        LEAKED / 1_000_000,
        plain.memory / 1_000_000
    );
    assert!(replaced >= LEAKED / (48 << 20), "{replaced} guests of 32 MiB were replaced:\n{}", ran.said);
    assert!(!plain.said.contains("is replaced"), "{}", plain.said);
    assert!(ran.memory < plain.memory + LEAKED / 2, "{} bytes, {} without a leak", ran.memory, plain.memory);
    let consume = ["consume", "counts", "--data-dir", "data", "--from-beginning", "--until-end", "--format", "jsonl"];
    let mut counts: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for line in leaking.run(consume).ok().lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let count = match &record["value"] {
            Value::String(text) => u32::from(text.as_bytes()[0]),
            other => u32::from(base64(other["base64"].as_str().unwrap())),
        };
        counts.entry(record["key"].as_str().unwrap().to_owned()).or_default().push(count);
    }
    assert_eq!(counts.len(), KEYS);
    let expected: Vec<u32> = (1..=(RECORDS / KEYS) as u32).collect();
    counts.iter().for_each(|(key, counts)| assert_eq!(counts, &expected, "{key}"));
}

/// The first byte of base64.
fn base64(text: &str) -> u8 {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()[0]
}
