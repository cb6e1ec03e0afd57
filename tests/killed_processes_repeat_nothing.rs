//! Word count under SIGKILL: no count is missing, none is there twice.

use std::time::Duration;

use serde_json::Value;

use crate::support::command::{Place, repository};
use crate::support::lives::{End, live};
use crate::support::words;

const LINES: usize = 60_000;

fn pipeline() -> String {
    let example = repository().join("examples/word-count");
    format!(
        "format-version: 1\nname: killed\ncommit: {{interval: 20ms}}\n\
         sources:\n  lines: {{topic: lines, create: {{partitions: 4}}}}\n\
         operators:\n  split: {{plugin: {split}, from: lines}}\n  count: {{plugin: {count}, from: split}}\n\
         sinks:\n  counts: {{topic: word-counts, create: {{partitions: 4}}, from: count}}\n",
        split = example.join("split").display(),
        count = example.join("count").display()
    )
}

/// Kills word count over 60,000 lines, 4 partitions, 2 workers until so many kills are reached, so many of them with an
/// open epoch.
fn kill(store: &str, row_cache: &str, least: usize, least_open: usize) {
    let place = Place::new();
    place.write("pipeline.yaml", pipeline());
    let produce = |seed| {
        let text = words::lines(LINES, seed);
        place.run_with(["produce", "lines", "--data-dir", "data", "--partitions", "4"], text.as_bytes()).ok();
        text
    };
    let mut text = produce(7);
    let run = ["run", "pipeline.yaml", "--until-end", "--data-dir", "data", "--workers", "2"];
    let arguments = [&run[..], &["--store", store, "--row-cache", row_cache]].concat();
    let (mut kills, mut open) = (0, 0);
    let mut seed = 0x9e37_79b9_u64;
    while kills < least || open < least_open {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let (commits, moment) = (1 + (seed >> 40) as usize % 3, Duration::from_micros((seed >> 20) % 20_000));
        match live(place.command(&arguments), commits, moment) {
            End::Killed { open: epochs } => {
                kills += 1;
                open += usize::from(epochs > 0);
            }
            // All was processed before enough kills: more of it.
            End::Done => text.push_str(&produce(seed)),
        }
        assert!(kills < 300, "{open} of {kills} kills met an open epoch");
    }
    place.run(&arguments).ok();
    let consumed = place
        .run(["consume", "word-counts", "--data-dir", "data", "--from-beginning", "--until-end", "--format", "jsonl"])
        .ok();
    let records: Vec<Value> = consumed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let pairs = records.iter().map(|record| (record["key"].as_str().unwrap(), record["value"].as_str().unwrap()));
    assert_eq!(words::follow(pairs), words::count(&text));
    println!("{store}: {kills} kills, {open} with an open epoch, {} counts", records.len());
}

/// sled; at least 50 kills, at least 20 with an open epoch. The rows that are changed fit into memory.
#[test]
fn word_count_on_the_embedded_log_is_exactly_once_over_50_kills() {
    kill("sled", "128MiB", 50, 20);
}

/// A cache that holds some hundred rows: the store is written with nearly every epoch, and read all the time.
#[test]
fn a_small_cache_over_every_store_is_exactly_once_over_15_kills() {
    for store in ["sled", "fjall", "memory"] {
        kill(store, "64KiB", 15, 8);
    }
}
