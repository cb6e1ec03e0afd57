//! A worker that restores a task goes on with its others.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::support::command::Place;
use crate::support::kafka::Broker;

/// Records that the filter reads while they are restored.
const RECORDS: usize = 20_000;

fn place(name: &str) -> Place {
    let place = Place::new();
    let source = |source: &str| format!("  {source}: {{topic: {name}-{source}, create: {{partitions: 1}}}}\n");
    place.write(
        "pipeline.yaml",
        format!(
            "format-version: 1\nname: {name}\ncommit: {{interval: 20ms}}\nsources:\n{}{}operators:\n  \
             once: {{use: dedupe, from: keys}}\n  small: {{use: filter, where: n < 100, from: numbers}}\n\
             sinks:\n  out: {{topic: {name}-out, create: {{partitions: 1}}, from: [once, small]}}\n",
            source("keys"),
            source("numbers"),
        ),
    );
    place
}

fn records(count: usize) -> String {
    let record = |n: usize| format!("{{\"key\":\"key {n}\",\"value\":{{\"n\":{n}}}}}\n");
    (0..count).map(record).collect()
}

/// Two pipelines' stages of one partition each, one worker; the store of the one that has state is gone when it is started
/// again. Answers how many epochs the other committed before that was restored.
fn epochs_beside_a_restore(name: &str, store: &str, keys: usize, log: &[&str], at: &[&str]) -> usize {
    let place = place(name);
    let produce = |source: &str, count: usize| {
        let topic = format!("{name}-{source}");
        let arguments = ["produce", &topic, "--format", "jsonl", "--partitions", "1"];
        place.run_with(arguments.iter().chain(at), records(count).as_bytes()).ok();
    };
    let run = ["run", "pipeline.yaml", "--until-end", "--data-dir", "data", "--workers", "1", "--store", store];
    let run: Vec<_> = run.iter().chain(log).copied().collect();
    produce("keys", keys);
    place.run(&run).ok();
    fs::remove_dir_all(place.path("data/store")).unwrap();
    produce("keys", 1_000);
    produce("numbers", RECORDS);
    let mut again = place.command(&run);
    again.env("WASMILL_LOG", "wasmill=debug").stdout(Stdio::null()).stderr(Stdio::piped());
    let mut again = again.spawn().unwrap();
    let said: Vec<_> = BufReader::new(again.stderr.take().unwrap()).lines().map_while(Result::ok).collect();
    assert!(again.wait().unwrap().success(), "{}", said.join("\n"));
    let restored = said.iter().position(|line| line.contains(" acquired ") && field(line, "restored=") > keys as u64);
    let before = &said[..restored.unwrap_or_else(|| panic!("nothing was restored:\n{}", said.join("\n")))];
    assert!(before.iter().any(|line| line.contains(" acquired ")), "the other task waited:\n{}", before.join("\n"));
    // Each key is there once.
    let out = place.run(["consume", &format!("{name}-out"), "--from-beginning", "--until-end"].iter().chain(at)).ok();
    assert_eq!(out.lines().count(), keys + 100);
    before.iter().filter(|line| line.contains("epoch committed")).count()
}

fn field(line: &str, name: &str) -> u64 {
    line.split(' ').find_map(|word| word.strip_prefix(name)?.parse().ok()).unwrap_or_default()
}

/// 100,000 rows of one task, 20,000 records of the other.
#[test]
fn a_task_commits_while_another_of_its_worker_is_restored_from_the_embedded_log() {
    for store in ["sled", "fjall"] {
        let epochs = epochs_beside_a_restore("beside", store, 100_000, &[], &["--data-dir", "data"]);
        println!("{store}: {epochs} epochs");
        assert!(epochs > 0);
    }
}

/// The same with 400,000 rows and sled. A new client of Kafka's takes a while until it has its first records, so that the
/// other task has begun, but may have committed nothing yet.
#[test]
fn a_task_commits_while_another_of_its_worker_is_restored_from_kafka() {
    let at = ["--brokers", &Broker::shared().address()];
    let log = [&at[..], &["--session-timeout", "15s"]].concat();
    let epochs = epochs_beside_a_restore("beside-on-kafka", "sled", 400_000, &log, &at);
    println!("{epochs} epochs");
}
