//! Word count on a real Apache Kafka, by the built binary, read by a reader that is not ours.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::support::command::{Place, repository};
use crate::support::kafka::Broker;
use crate::support::lives::{End, live};
use crate::support::words;

const LINES: usize = 60_000;

/// Topics and a pipeline of a test's own on the broker that tests share.
struct Kafka {
    place: Place,
    name: &'static str,
    brokers: String,
}

impl Kafka {
    fn new(name: &'static str) -> Self {
        Self::with_guarantee(name, "exactly-once")
    }

    fn with_guarantee(name: &'static str, guarantee: &str) -> Self {
        let place = Place::new();
        let example = repository().join("examples/word-count");
        let pipeline = format!(
            "format-version: 1\nname: {name}\nguarantee: {guarantee}\ncommit: {{interval: 50ms}}\n\
             sources:\n  lines: {{topic: {name}-lines, create: {{partitions: 4}}}}\n\
             operators:\n  split: {{plugin: {split}, from: lines}}\n  count: {{plugin: {count}, from: split}}\n\
             sinks:\n  counts: {{topic: {name}-counts, create: {{partitions: 4}}, from: count}}\n",
            split = example.join("split").display(),
            count = example.join("count").display()
        );
        place.write("pipeline.yaml", pipeline);
        Self { place, name, brokers: Broker::shared().address() }
    }

    fn arguments(&self) -> Vec<String> {
        let arguments = "run pipeline.yaml --until-end --data-dir data --workers 2 --store sled --session-timeout 15s";
        arguments.split(' ').map(str::to_owned).chain(["--brokers".into(), self.brokers.clone()]).collect()
    }

    fn produce(&self, text: &str) {
        let topic = format!("{}-lines", self.name);
        let arguments = ["produce", &topic, "--brokers", &self.brokers, "--partitions", "4"];
        self.place.run_with(arguments, text.as_bytes()).ok();
    }

    /// What kafka-clients reads: counts in the order of their partitions.
    fn counts(&self) -> Vec<Value> {
        let topic = format!("{}-counts", self.name);
        Broker::shared().settle(&topic);
        Broker::shared().read(&[&topic])
    }

    #[track_caller]
    fn check(&self, text: &str) -> usize {
        let records = self.counts();
        let pairs = records.iter().map(|record| (record["key"].as_str().unwrap(), record["value"].as_str().unwrap()));
        assert_eq!(words::follow(pairs), words::count(text));
        records.len()
    }
}

/// 2,000 lines, 4 partitions, 2 workers, sled.
#[test]
fn the_same_file_counts_words_on_kafka() {
    let kafka = Kafka::new("same-file");
    let text = words::lines(2_000, 3);
    kafka.produce(&text);
    let first = kafka.place.run(kafka.arguments());
    assert_eq!(first.status, Some(0), "{}", first.stderr);
    assert!(first.stderr.contains("2000 records in "), "{}", first.stderr);
    kafka.check(&text);
    let second = kafka.place.run(kafka.arguments());
    assert!(second.status == Some(0) && second.stderr.contains("nothing new"), "{}", second.stderr);
    let more = "the more the merrier\n";
    kafka.produce(more);
    kafka.place.run(kafka.arguments()).ok();
    kafka.check(&(text.clone() + more));
    let mut afresh = kafka.arguments();
    afresh.push("--fresh".into());
    let again = kafka.place.run(afresh);
    assert!(again.status == Some(0) && again.stderr.contains("2001 records in "), "{}", again.stderr);
    assert_eq!(kafka.counts().len(), 2 * words::count(&(text + more)).values().sum::<u64>() as usize);
}

#[test]
fn a_feed_makes_the_topic_of_its_source_where_that_may_be() {
    let kafka = Kafka::new("fed");
    let text = words::lines(200, 5);
    kafka.place.write("text.txt", &text);
    let mut arguments = kafka.arguments();
    arguments.extend(["--feed".into(), "lines=text.txt".into()]);
    kafka.place.run(arguments).ok();
    kafka.check(&text);
}

/// 60,000 lines, 4 partitions, 2 workers, sled; at least 20 kills between commits, 8 of them with an open epoch.
#[test]
fn word_count_on_kafka_is_exactly_once_over_20_kills() {
    let kafka = Kafka::new("killed");
    let mut text = words::lines(LINES, 11);
    kafka.produce(&text);
    let (mut kills, mut open, mut seed) = (0, 0, 0x1234_5678_u64);
    while kills < 20 || open < 8 {
        // A task of the second stage has an epoch only after those that write its topic: with lives too short for that records
        // would run singly, and hardly any epoch would be open.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let (commits, moment) = (8 + (seed >> 40) as usize % 16, Duration::from_micros((seed >> 20) % 50_000));
        match live(kafka.place.command(kafka.arguments()), commits, moment) {
            End::Killed { open: epochs } => {
                kills += 1;
                open += usize::from(epochs > 0);
            }
            End::Done => {
                let more = words::lines(LINES, seed);
                kafka.produce(&more);
                text.push_str(&more);
            }
        }
        assert!(kills < 100, "{open} of {kills} kills met an open epoch");
    }
    kafka.place.run(kafka.arguments()).ok();
    let counts = kafka.check(&text);
    println!("{kills} kills, {open} with an open epoch, {counts} counts");
}

/// 60,000 lines, 4 partitions, 2 workers, sled; at least 5 kills between commits, 3 of them with an open epoch.
#[test]
fn at_least_once_on_kafka_loses_nothing_over_5_kills() {
    let kafka = Kafka::with_guarantee("at-least-once", "at-least-once");
    let mut text = words::lines(LINES, 17);
    kafka.produce(&text);
    let (mut kills, mut open) = (0, 0);
    while kills < 5 || open < 3 {
        match live(kafka.place.command(kafka.arguments()), 1 + kills % 3, Duration::from_millis(7 * kills as u64)) {
            End::Killed { open: epochs } => {
                kills += 1;
                open += usize::from(epochs > 0);
            }
            End::Done => {
                let more = words::lines(LINES, kills as u64 + 23);
                kafka.produce(&more);
                text.push_str(&more);
            }
        }
        assert!(kills < 50, "{open} of {kills} kills met an open epoch");
    }
    kafka.place.run(kafka.arguments()).ok();
    let records = kafka.counts();
    let mut found: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let mut behind: BTreeMap<i64, i64> = BTreeMap::new();
    for record in &records {
        let (word, count) = (record["key"].as_str().unwrap(), record["value"].as_str().unwrap());
        let (times, greatest) = found.entry(word.to_owned()).or_default();
        (*times, *greatest) = (*times + 1, count.parse::<u64>().unwrap().max(*greatest));
        let next = behind.entry(record["partition"].as_i64().unwrap()).or_default();
        assert_eq!(record["offset"], *next, "a hole, as the marker of a transaction leaves one");
        *next += 1;
    }
    let counted = words::count(&text);
    assert!(found.keys().eq(counted.keys()));
    for ((word, (times, greatest)), count) in found.iter().zip(counted.values()) {
        assert!(times >= count && greatest >= count, "{word}: {count}, found {times} up to {greatest}");
    }
    println!("{kills} kills, {open} with an open epoch, {} counts of {}", records.len(), counted.values().sum::<u64>());
}

#[test]
fn a_topic_that_is_not_there_is_told_with_how_to_make_it() {
    let kafka = Kafka::new("missing");
    let text = std::fs::read_to_string(kafka.place.path("pipeline.yaml")).unwrap();
    kafka.place.write("pipeline.yaml", text.replace(", create: {partitions: 4}", ""));
    kafka.place.run(kafka.arguments()).failed(1, &["topic missing-lines of source lines does not exist", "create:"]);
}
