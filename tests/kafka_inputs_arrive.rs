//! What other producers write to Kafka, in every way that they can: all of it arrives, as it was written.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;

use crate::support::command::Place;
use crate::support::kafka::{Broker, java_program};
use crate::support::words;

const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

fn run(place: &Place) {
    let arguments =
        "run pipeline.yaml --until-end --data-dir data --workers 2 --store sled --session-timeout 15s --brokers";
    let brokers = Broker::shared().address();
    place.run(arguments.split(' ').chain([brokers.as_str()])).ok();
}

fn write(arguments: &[&str]) {
    let brokers = Broker::shared().address();
    java_program("Writer.java", &[&arguments[..1], &[&brokers], &arguments[1..]].concat());
}

/// All of a record that goes from a source to a sink.
fn carried(record: &Value) -> String {
    ["key", "value", "timestamp", "headers"].map(|part| format!("{part}: {}", record[part])).join(", ")
}

/// Records by partition, in their order.
fn by_partition(records: &[Value], topic: &str) -> BTreeMap<u64, Vec<String>> {
    let mut partitions: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for record in records.iter().filter(|record| record["topic"] == topic) {
        partitions.entry(record["partition"].as_u64().unwrap()).or_default().push(carried(record));
    }
    partitions
}

/// 4 partitions, 2 workers, sled: in each compression, with aborted transactions between others, tombstones, headers and times
/// of the producer's.
#[test]
fn records_of_every_compression_arrive_as_they_were_written() {
    let brokers = Broker::shared().address();
    let place = Place::new();
    let topics = CODECS.map(|codec| format!("written-{codec}"));
    let mut pipeline = "format-version: 1\nname: written\nsources:\n".to_owned();
    let (mut sinks, mut kept) = ("sinks:\n".to_owned(), Vec::new());
    for (codec, topic) in CODECS.iter().zip(&topics) {
        write(&["compressed", topic, codec]);
        writeln!(pipeline, "  {codec}: {{topic: {topic}}}").unwrap();
        writeln!(sinks, "  kept-{codec}: {{topic: kept-{codec}, create: {{partitions: 4}}, from: {codec}}}").unwrap();
        kept.push(format!("kept-{codec}"));
    }
    place.write("pipeline.yaml", pipeline + &sinks);
    run(&place);
    kept.iter().for_each(|topic| Broker::shared().settle(topic));
    let all: Vec<_> = topics.iter().chain(&kept).map(String::as_str).collect();
    let records = Broker::shared().read(&all);
    for (from, to) in topics.iter().zip(&kept) {
        let (written, found) = (by_partition(&records, from), by_partition(&records, to));
        assert_eq!(written.values().map(Vec::len).sum::<usize>(), 200, "{from}");
        let unkeyed = |records: &BTreeMap<u64, Vec<String>>| {
            let mut all: Vec<_> = records.values().flatten().cloned().collect();
            all.sort();
            all
        };
        assert_eq!(unkeyed(&found), unkeyed(&written), "{from}");
        assert!(!unkeyed(&found).iter().any(|record| record.contains("aborted")), "{from}: an aborted record");
        let consume = ["consume", from, "--from-beginning", "--until-end", "--format", "jsonl", "--brokers", &brokers];
        let consumed = place.run(consume).ok();
        let consumed: Vec<Value> = consumed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let parts = |record: &Value| ["key", "value", "timestamp"].map(|part| record[part].to_string()).join(" ");
        let sorted = |records: &mut dyn Iterator<Item = &Value>| {
            let mut parts: Vec<_> = records.map(parts).collect();
            parts.sort();
            parts
        };
        let read = sorted(&mut records.iter().filter(|record| record["topic"] == from.as_str()));
        assert_eq!(sorted(&mut consumed.iter()), read, "{from}");
    }
}

/// 4 partitions, 2 workers, sled: most offsets of the topic are of records that were compacted away.
#[test]
fn a_compacted_topic_is_read_over_its_holes() {
    let place = Place::new();
    write(&["compacted", "holes"]);
    place.write(
        "pipeline.yaml",
        "format-version: 1\nname: holes\nsources: {holes: {topic: holes}}\noperators: {count: {use: count, from: holes}}\n\
         sinks:\n  kept: {topic: holes-kept, create: {partitions: 4}, from: holes}\n\
         \x20 counts: {topic: holes-counts, create: {partitions: 4}, from: count}\n",
    );
    // The cleaner may take more away while it is read: what is read then is no more than what was there before, and no less
    // than what is there after.
    let before = Broker::shared().read(&["holes"]);
    run(&place);
    ["holes-kept", "holes-counts"].iter().for_each(|topic| Broker::shared().settle(topic));
    let after = Broker::shared().read(&["holes", "holes-kept", "holes-counts"]);
    let values = |records: &[Value], topic: &str| {
        let mut values: Vec<_> = by_partition(records, topic).into_values().flatten().collect();
        values.sort();
        values
    };
    let (before, left, kept) = (values(&before, "holes"), values(&after, "holes"), values(&after, "holes-kept"));
    assert!(kept.iter().all(|record| before.binary_search(record).is_ok()), "a record that was not there");
    assert!(left.iter().all(|record| kept.binary_search(record).is_ok()), "a record is missing");
    let offsets = after.iter().filter(|record| record["topic"] == "holes").map(|record| record["offset"].as_u64());
    let last = offsets.max().flatten().unwrap_or_default() as usize;
    assert!(left.len() < 2 * last, "{} records up to offset {last} of 4 partitions have no holes", left.len());
    let counts = after.iter().filter(|record| record["topic"] == "holes-counts");
    let counts = counts.map(|record| (record["key"].as_str().unwrap(), record["value"].as_str().unwrap()));
    assert_eq!(words::follow(counts).values().sum::<u64>(), kept.len() as u64);
}

/// 4 partitions, 2 workers, sled: keys of all lengths, in several scripts, written by Java and by `produce`; a count of both
/// needs no repartition topic.
#[test]
fn records_of_java_and_of_produce_meet_at_their_key() {
    let brokers = Broker::shared().address();
    let letters = ["a", "ß", "λ", "日", "🙂", "\u{7f}", "é", "z"];
    let keys: Vec<_> =
        (0..160).map(|number: usize| format!("{}{}", letters[number % 8].repeat(number / 4), number)).collect();
    let keys: Vec<_> = keys.iter().map(String::as_str).collect();
    write(&[&["keyed", "of-java"], &keys[..]].concat());
    let place = Place::new();
    let lines = keys.iter().map(|key| format!("{key}\tfrom produce\n")).collect::<Vec<_>>().concat();
    let produce = ["produce", "of-produce", "--partitions", "4", "--key-separator", "\t", "--brokers", &brokers];
    place.run_with(produce, lines.as_bytes()).ok();
    place.write(
        "pipeline.yaml",
        "format-version: 1\nname: meeting\nsources: {java: {topic: of-java}, produce: {topic: of-produce}}\n\
         operators: {count: {use: count, from: [java, produce]}}\n\
         sinks: {counts: {topic: meeting-counts, create: {partitions: 4}, from: count}}\n",
    );
    run(&place);
    Broker::shared().settle("meeting-counts");
    let records = Broker::shared().read(&["of-java", "of-produce", "meeting-counts"]);
    let place_of = |topic: &str| -> BTreeMap<&str, u64> {
        let of = records.iter().filter(|record| record["topic"] == topic);
        of.map(|record| (record["key"].as_str().unwrap(), record["partition"].as_u64().unwrap())).collect()
    };
    let (java, produce) = (place_of("of-java"), place_of("of-produce"));
    assert_eq!(java.len(), keys.len());
    assert_eq!(java, produce, "a key is in different partitions");
    let counts = records.iter().filter(|record| record["topic"] == "meeting-counts");
    let counts = counts.map(|record| (record["key"].as_str().unwrap(), record["value"].as_str().unwrap()));
    let counts = words::follow(counts);
    assert!(counts.len() == keys.len() && counts.values().all(|&count| count == 2), "{counts:?}");
    let topics = place.run(["topics", "--brokers", &brokers]).ok();
    assert!(!topics.contains("meeting.count-repartition"), "{topics}");
}
