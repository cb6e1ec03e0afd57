//! A disk that is full, a data directory of somebody else or of a newer version: told with what to do, and nothing is lost.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::support::command::Place;
use crate::support::kafka::Broker;
use crate::support::words;

const RECORDS: usize = 60_000;
const KEYS: usize = 1_000;

/// Counts 60,000 words of 1,000, which are in the log, 6 MB with values that nothing makes smaller, and copies them.
fn counter() -> Place {
    let place = Place::new();
    place.write(
        "pipeline.yaml",
        "format-version: 1\nname: full\ncommit: {interval: 20ms}\nsources: {words: {topic: words}}\n\
         operators: {count: {use: count, from: words}}\n\
         sinks: {counts: {topic: counts, from: count}, copies: {topic: copies, from: words}}\n",
    );
    let mut value = [7_u64; 6];
    let mut record = |number: usize| {
        value
            .iter_mut()
            .zip(1..)
            .for_each(|(part, odd)| *part = part.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(2 * odd + 1));
        let value = value.map(|part| format!("{part:016x}")).concat();
        format!("word_{}={value}\n", number * 7 % KEYS)
    };
    let text = (0..RECORDS).map(&mut record).collect::<Vec<_>>().concat();
    place.run_with(["produce", "words", "--data-dir", "data", "--key-separator", "="], text.as_bytes()).ok();
    place
}

fn run(store: &str) -> [&str; 7] {
    ["run", "pipeline.yaml", "--until-end", "--data-dir", "data", "--store", store]
}

/// The last count of each word; they must have been counted one by one.
fn counts(place: &Place) -> BTreeMap<String, u64> {
    let read = ["consume", "counts", "--data-dir", "data", "--from-beginning", "--until-end", "--format", "jsonl"];
    let records: Vec<Value> = place.run(read).ok().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    words::follow(records.iter().map(|record| (record["key"].as_str().unwrap(), record["value"].as_str().unwrap())))
}

fn check(place: &Place) {
    let counts = counts(place);
    assert_eq!(counts.len(), KEYS);
    assert!(counts.values().all(|&count| count == (RECORDS / KEYS) as u64));
}

/// 4 partitions, a worker for each processor, sled.
#[test]
fn a_disk_that_is_full_for_the_log_loses_nothing() {
    let place = counter();
    place
        .run_full(9, run("sled"))
        .failed(1, &["log data/log: commit: File too large", "make room for it and run again"]);
    let before: u64 = counts(&place).values().sum();
    assert!(0 < before && before < RECORDS as u64, "{before} counts before the disk was full");
    place.run(run("sled")).ok();
    check(&place);
}

#[test]
fn a_disk_that_is_full_for_a_store_is_told() {
    let place = counter();
    // The log is there; the journal of a new store of fjall's has no room.
    place
        .run_full(32, run("fjall"))
        .failed(1, &["open the store data/store: File too large", "make room for it and run again"]);
    place.run(run("fjall")).ok();
    check(&place);
}

/// Keys of 1,250 bytes that nothing makes much smaller, in their order: sled keeps them in leaves of one size, so in one file.
fn long_key(number: usize) -> String {
    let mut part = number as u64;
    let mut next = || {
        part = part.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (part ^ (part >> 29)).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()
    };
    format!("{number:06}{}", URL_SAFE_NO_PAD.encode((0..117).flat_map(|_| next()).collect::<Vec<_>>()))
}

/// 30,000 long keys, 5,000 of them twice, on Kafka, so that nothing but the store is on this disk; 4 partitions, 2 workers, sled.
#[test]
fn a_disk_that_is_full_for_a_store_in_the_middle_of_a_run_loses_nothing() {
    const LONG: usize = 30_000;
    const AGAIN: usize = 5_000;
    let place = Place::new();
    place.write(
        "pipeline.yaml",
        "format-version: 1\nname: full-store\ncommit: {interval: 50ms}\n\
         sources: {words: {topic: full-store-words}}\noperators: {count: {use: count, from: words}}\n\
         sinks: {counts: {topic: full-store-counts, create: {partitions: 4}, from: count}}\n",
    );
    let text = (0..LONG).chain(0..AGAIN).map(|number| long_key(number) + "=x\n").collect::<Vec<_>>().concat();
    let brokers = Broker::shared().address();
    let on = |command: &str| -> Vec<String> {
        command.split(' ').map(str::to_owned).chain(["--brokers".into(), brokers.clone()]).collect()
    };
    let produce = on("produce full-store-words --partitions 4 --key-separator =");
    place.run_with(produce, text.as_bytes()).ok();
    let run = on("run pipeline.yaml --until-end --data-dir data --workers 2 --row-cache 4MiB --session-timeout 15s");
    place.run_full(16, &run).failed(
        1,
        &[
            "pipeline full-store stopped: write to disk in the store data/store: File too large",
            "make room for it and run again: all that was committed is in the log",
        ],
    );
    let counts = || {
        let consumed = place.run(on("consume full-store-counts --from-beginning --until-end --format jsonl")).ok();
        let records: Vec<Value> = consumed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        words::follow(records.iter().map(|record| (record["key"].as_str().unwrap(), record["value"].as_str().unwrap())))
    };
    let (all, before) = ((LONG + AGAIN) as u64, counts().values().sum::<u64>());
    // The store is written behind: where all is quick, behind the last commit.
    assert!(0 < before && before <= all, "{before} counts before the store was full");
    place.run(&run).ok();
    Broker::shared().settle("full-store-counts");
    let counts = counts();
    assert_eq!((counts.len(), counts.values().sum::<u64>()), (LONG, all));
    assert_eq!(counts.values().filter(|&&count| count == 2).count(), AGAIN);
}

#[test]
fn a_data_directory_of_somebody_else_is_told() {
    let place = counter();
    let set = |name: &str, mode| fs::set_permissions(place.path(name), fs::Permissions::from_mode(mode)).unwrap();
    set(".", 0o777);
    let table: [&[&str]; 3] =
        [&run("sled"), &["topics", "--data-dir", "data"], &["produce", "words", "--data-dir", "data"]];
    if place.run_bound(["topics", "--data-dir", "data"]).status == Some(0) {
        // Whoever runs this is not root, and has no directory of somebody else's: one without rights must do.
        set("data", 0o500);
        set("data/lock", 0o400);
        place.run(run("sled")).failed(1, &["data directory data: cannot lock it: Permission denied", "--data-dir"]);
        set("data", 0o700);
        return;
    }
    for arguments in table {
        place.run_bound(arguments).failed(
            1,
            &[
                "data directory data belongs to user 0, and this process is user 65534",
                "run as user 0, or give another --data-dir",
            ],
        );
    }
    place.run(run("sled")).ok();
    check(&place);
}

#[test]
fn a_data_directory_of_a_newer_version_is_left_alone() {
    let place = counter();
    place.write("data/format", "wasmill data 7\n");
    let run = run("sled");
    let fresh = [&run[..], &["--fresh"]].concat();
    let table: [&[&str]; 4] =
        [&run, &fresh, &["topics", "--data-dir", "data"], &["produce", "words", "--data-dir", "data"]];
    for arguments in table {
        place.run(arguments).failed(
            1,
            &[
                "data directory data has format 7, and this wasmill knows formats up to 2",
                "use the newer wasmill that made it",
            ],
        );
    }
    assert!(!place.path("data/store").exists(), "nothing was made in it");
    place.write("data/format", "wasmill data 2\n");
    place.run(run).ok();
    check(&place);
}
