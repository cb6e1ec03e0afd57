//! `start: <time>`: a source that never ran begins with the first record of that time or later.

use std::collections::BTreeSet;

use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};

use crate::support::command::Place;
use crate::support::kafka::Broker;

/// Records, one of each second.
const RECORDS: usize = 400;

fn write(place: &Place, name: &str, start: &str) {
    place.write(
        format!("{name}.yaml").as_str(),
        format!(
            "format-version: 1\nname: {name}\n\
             sources:\n  numbers: {{topic: numbers-by-time, start: {start}, create: {{partitions: 4}}}}\n\
             operators:\n  all: {{use: filter, where: n >= 0, from: numbers}}\n\
             sinks:\n  out: {{topic: {name}-out, create: {{partitions: 1}}, from: all}}\n"
        ),
    );
}

/// 4 partitions, 2 workers. The times are those of an hour ago, so that no broker takes the records for old.
fn check(at: &[&str], log: &[&str]) {
    let place = Place::new();
    let now = Timestamp::from_millisecond(Timestamp::now().as_millisecond()).unwrap();
    let first = now.checked_sub(1.hour()).unwrap();
    let time = |n: usize| first.checked_add((n as i64).seconds()).unwrap();
    let produce = |numbers: std::ops::Range<usize>| {
        let record = |n| json!({"key": format!("k{n}"), "value": {"n": n}, "timestamp": time(n).as_millisecond()});
        let line = |n| format!("{}\n", record(n));
        let lines: String = numbers.map(line).collect();
        let arguments = ["produce", "numbers-by-time", "--format", "jsonl", "--partitions", "4"];
        place.run_with(arguments.iter().chain(at), lines.as_bytes()).ok();
    };
    let run = |name: &str| {
        let file = format!("{name}.yaml");
        let arguments = ["run", &file, "--until-end", "--data-dir", "data", "--workers", "2", "--store", "memory"];
        place.run(arguments.iter().chain(log)).ok();
        let topic = format!("{name}-out");
        let arguments = ["consume", &topic, "--from-beginning", "--until-end", "--format", "jsonl"];
        let out = place.run(arguments.iter().chain(at)).ok();
        let number = |line: &str| {
            let record: Value = serde_json::from_str(line).unwrap();
            let value: Value = serde_json::from_str(record["value"].as_str().unwrap()).unwrap();
            value["n"].as_u64().unwrap() as usize
        };
        out.lines().map(number).collect::<Vec<_>>()
    };
    let seen = |numbers: &[usize]| (numbers.iter().copied().collect::<BTreeSet<_>>(), numbers.len());
    produce(0..RECORDS);
    // A record of that very time is read; of a time a little later it is not.
    for (name, start, begin) in [
        ("from-then", time(200), 200),
        ("from-just-behind", time(200).checked_add(1.nanosecond()).unwrap(), 201),
        ("from-long-ago", Timestamp::UNIX_EPOCH, 0),
    ] {
        write(&place, name, &start.to_string());
        let wanted: Vec<_> = (begin..RECORDS).collect();
        assert_eq!(seen(&run(name)), seen(&wanted), "{name}");
    }
    // No record is of that time: it begins behind the last, and goes on there whatever times come.
    write(&place, "from-then-on", &time(RECORDS).to_string());
    assert_eq!(run("from-then-on"), Vec::<usize>::new());
    produce(0..20);
    assert_eq!(seen(&run("from-then-on")), seen(&(0..20).collect::<Vec<_>>()));
    // A stopped pipeline is moved to a time as well.
    let reset = ["offsets", "from-long-ago.yaml", "--reset", &time(200).to_string()];
    place.run(reset.iter().chain(at)).ok();
    let wanted: Vec<_> = (0..RECORDS).chain(200..RECORDS).chain(0..20).collect();
    assert_eq!(seen(&run("from-long-ago")), seen(&wanted));
}

#[test]
fn a_source_on_the_embedded_log_starts_at_a_time() {
    check(&["--data-dir", "data"], &[]);
}

#[test]
fn a_source_on_kafka_starts_at_a_time() {
    let at = ["--brokers", &Broker::shared().address()];
    check(&at, &[&at[..], &["--session-timeout", "15s"]].concat());
}

#[test]
fn a_file_has_no_times() {
    let place = Place::new();
    place.write(
        "pipeline.yaml",
        "format-version: 1\nname: timeless\nsources:\n  lines: {file: in.txt, start: 2026-11-01T00:00:00Z}\n\
         operators:\n  all: {use: hoist-field, field: line, from: lines}\nsinks:\n  out: {topic: out, from: all}\n",
    );
    place.write("in.txt", "hello\n");
    let says = ["source lines", "a start by time in a file is not supported yet", "say earliest or latest"];
    place.run(["run", "pipeline.yaml", "--until-end"]).failed(78, &says);
}
