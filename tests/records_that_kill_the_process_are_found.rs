//! The process is killed whenever an operator has one of two records, until it is left alone with them: the two are dead
//! letters, and all others come out exactly once. 4 partitions, 2 workers, the store sled.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::guests;
use crate::support::command::Place;

const RECORDS: usize = 3_000;
const KEYS: usize = 127;

/// The records at which the process is killed: they are in different partitions.
const DEADLY: [usize; 2] = [1_000, 1_001];

/// Deaths that it may take to find both: three before epochs become short, some for what goes before, one before records run
/// singly, and three by each alone; and one more for each that another task dies of in the meantime.
const MAX_DEATHS: usize = 18;

const PIPELINE: &str = "format-version: 1
name: deadly
sources:
  lines: {topic: lines, create: {partitions: 4}}
operators:
  guest:
    plugin: ./process.wasm
    from: lines
    settings: {does: cries-and-spins, at: poison}
    limits: {deadline: 60s}
sinks:
  counts: {topic: counts, from: guest.out}
";

/// Runs the command until it ends by itself, or until the operator says that it has the record, which kills it.
fn is_killed(mut command: Command) -> bool {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = String::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok) {
        if line.contains("here it dies") {
            child.kill().unwrap();
            child.wait().unwrap();
            return true;
        }
        told.push_str(&line);
        told.push('\n');
    }
    assert!(child.wait().unwrap().success(), "{told}");
    false
}

fn consumed(place: &Place, topic: &str) -> Vec<Value> {
    let log = ["--data-dir", "data", "--from-beginning", "--until-end", "--format", "jsonl"];
    let printed = place.run([&["consume", topic], &log[..]].concat()).ok();
    printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn header<'a>(letter: &'a Value, name: &str) -> &'a str {
    letter["headers"][format!("wasmill-error-{name}")].as_str().unwrap()
}

#[test]
fn a_record_that_kills_the_process_is_a_dead_letter_and_the_others_come_out_once() {
    let place = Place::new();
    place.write("process.wasm", guests::built("process"));
    place.write("pipeline.yaml", PIPELINE);
    let mut feed = String::new();
    for record in 0..RECORDS {
        let value = if DEADLY.contains(&record) { "poison" } else { "good" };
        writeln!(feed, r#"{{"key": "k{}", "value": "{value}"}}"#, record % KEYS).unwrap();
    }
    let produce = ["produce", "lines", "--data-dir", "data", "--partitions", "4", "--format", "jsonl"];
    place.run_with(produce, feed.as_bytes()).ok();
    let run = ["run", "pipeline.yaml", "--until-end", "--data-dir", "data", "--workers", "2", "--store", "sled"];
    let mut deaths = 0;
    while is_killed(place.command(run)) {
        deaths += 1;
        assert!(deaths <= MAX_DEATHS, "{deaths} deaths, and the record is not found");
    }
    let letters = consumed(&place, "deadly.dead-letters");
    let partitions: BTreeSet<_> = letters.iter().map(|letter| header(letter, "partition")).collect();
    assert_eq!((letters.len(), partitions.len()), (DEADLY.len(), DEADLY.len()), "{letters:?}");
    for letter in &letters {
        assert_eq!(
            (&letter["value"], header(letter, "operator"), header(letter, "attempts")),
            (&"poison".into(), "guest", "3")
        );
        assert!(header(letter, "reason").starts_with("the process died on it"), "{letter}");
    }
    let mut counts: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for record in consumed(&place, "counts") {
        let count = record["value"].as_str().unwrap().as_bytes()[0];
        counts.entry(record["key"].as_str().unwrap().to_owned()).or_default().push(count);
    }
    let each = |key: usize| (0..RECORDS).filter(|record| record % KEYS == key && !DEADLY.contains(record)).count();
    let expected: BTreeMap<_, Vec<u8>> =
        (0..KEYS).map(|key| (format!("k{key}"), (1..=each(key)).map(|count| count as u8).collect())).collect();
    assert_eq!(counts, expected);
    println!("{deaths} deaths");
}
