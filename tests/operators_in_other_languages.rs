//! Operators in Python and JavaScript, built by the scripts of their SDKs and run by the built binary, do what operators in
//! Rust do.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;

use serde_json::{Value, json};

use crate::support::command::{Place, repository};
use crate::support::languages::{built, keep_compiled};
use crate::support::words;

const LANGUAGES: [(&str, &str); 2] = [("python", "py"), ("js", "js")];

fn consumed(place: &Place, topic: &str) -> Vec<Value> {
    let arguments = ["consume", topic, "--data-dir", "data", "--from-beginning", "--until-end", "--format", "jsonl"];
    let printed = place.run(arguments).ok();
    printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Lines of the sample and of words that are not ASCII; among them records that are odd.
fn odd_feed() -> String {
    let alice = fs::read_to_string(repository().join("examples/word-count/alice.txt")).unwrap();
    let drawn = words::lines(200, 7);
    let odd = [
        json!({"value": "keyed words", "key": "a key"}),
        json!({"value": null, "key": "tombstone"}),
        json!({"value": null}),
        json!({"value": "with headers", "headers": {"größe": "8", "empty": "", "none": null}}),
        json!({"value": ""}),
        json!({"value": "", "key": ""}),
        json!({"value": " -- !"}),
        json!({"value": {"base64": "/v8="}, "key": "not UTF-8"}),
        json!({"value": {"base64": "YWJjIMOpw"}}),
        json!({"value": {"base64": "7aCA"}, "key": "half of a surrogate pair"}),
        json!({"value": {"base64": "wK8="}, "key": "longer than it need be"}),
        json!({"value": "nul\u{0}byte \u{feff}mark \u{1f600} 𝔘𝔫𝔦 ½ x²  Ⅷ ٣٤"}),
        json!({"value": "ΟΔΥΣΣΕΥΣ İstanbul STRASSE ǅ"}),
        json!({"value": "before the epoch", "timestamp": -5}),
    ];
    let odd = odd.into_iter().filter(|record| record["value"]["base64"] != "YWJjIMOpw");
    let mut feed = String::new();
    let lines = alice.lines().take(500).chain(drawn.lines()).map(|line| json!({"value": line}));
    for (index, mut record) in lines.chain(odd).enumerate() {
        if record.get("timestamp").is_none() {
            record["timestamp"] = json!(1000 * index);
        }
        writeln!(feed, "{record}").unwrap();
    }
    feed
}

/// Runs a word count with these plugins. What is counted, in order for each word; and what became a dead letter.
fn count(split: &str, count: &str) -> (BTreeMap<String, Vec<Value>>, Vec<Value>) {
    let place = Place::new();
    keep_compiled(&place);
    place.write("feed.jsonl", odd_feed());
    let pipeline = format!(
        "format-version: 1\nname: odd\nsources:\n  lines: {{topic: lines, sample: feed.jsonl}}\noperators:\n  split: \
         {{plugin: {split}, from: lines}}\n  count: {{plugin: {count}, from: split}}\nsinks:\n  counts: {{topic: counts, \
         from: count}}\n"
    );
    place.write("pipeline.yaml", pipeline);
    place.run(["run", "pipeline.yaml", "--until-end", "--data-dir", "data", "--workers", "2"]).ok();
    let mut counts: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for record in consumed(&place, "counts") {
        counts.entry(record["key"].as_str().unwrap().to_owned()).or_default().push(record["value"].clone());
    }
    let mut letters: Vec<_> = consumed(&place, "odd.dead-letters").into_iter().map(|letter| {
        let reason = letter["headers"]["wasmill-error-reason"].as_str().unwrap();
        // The words after the colon are those of the language.
        let reason = reason.split(": ").next().unwrap();
        json!([letter["key"], letter["value"], letter["timestamp"], reason])
    }).collect();
    letters.sort_by_key(Value::to_string);
    (counts, letters)
}

#[test]
fn words_are_split_and_counted_as_in_rust() {
    let rust = |name: &str| repository().join("examples/word-count").join(name).display().to_string();
    let expected = count(&rust("split"), &rust("count"));
    assert_eq!(expected.1.len(), 5, "{:?}", expected.1);
    assert!(expected.0.len() > 400);
    for (language, extension) in LANGUAGES {
        let plugin = |name: &str| built(&format!("examples/word-count-{language}/{name}.{extension}")).display().to_string();
        let got = count(&plugin("split"), &plugin("count"));
        assert_eq!(got, expected, "{language}");
    }
}

/// What both probes must do with records of two keys, told by hand. 1 partition.
#[test]
fn state_timers_failures_and_places_are_those_of_the_host() {
    let place = Place::new();
    keep_compiled(&place);
    let feed = [
        json!({"key": "k", "value": "a", "timestamp": 0}),
        json!({"key": "k", "value": "boom", "timestamp": 1}),
        json!({"key": "k", "value": "bb", "timestamp": 2, "headers": {"h": "1"}}),
        json!({"key": "k", "value": "refuse", "timestamp": 3}),
        json!({"key": "k", "value": "timer", "timestamp": 4}),
        json!({"key": "other", "value": "shift", "timestamp": 5}),
        json!({"value": "keyless", "timestamp": 6}),
        json!({"key": "k", "value": null, "timestamp": 7}),
        json!({"key": "k", "value": "report", "timestamp": 8, "headers": {"h": "2", "größe": null}}),
        json!({"key": "other", "value": "b", "timestamp": 1003}),
        json!({"key": "k", "value": "c", "timestamp": 5000}),
    ];
    place.write("feed.jsonl", feed.map(|record| record.to_string()).join("\n"));
    let mut pipeline = "format-version: 1\nname: probe\nsources:\n  lines: {topic: lines, sample: feed.jsonl, create: \
         {partitions: 1}}\noperators:\n".to_owned();
    let mut sinks = "sinks:\n".to_owned();
    for (language, extension) in LANGUAGES {
        let plugin = built(&format!("tests/languages/probe.{extension}"));
        let plugin = plugin.display();
        writeln!(pipeline, "  {language}: {{plugin: {plugin}, from: lines, settings: {{greeting: hello}}}}").unwrap();
        writeln!(sinks, "  {language}: {{topic: {language}, from: {language}}}").unwrap();
        writeln!(sinks, "  {language}-late: {{topic: {language}-late, from: {language}.late}}").unwrap();
    }
    place.write("pipeline.yaml", pipeline + &sinks);
    let ran = place.run(["run", "pipeline.yaml", "--until-end", "--data-dir", "data"]);
    assert!(ran.stderr.contains("probed k"), "{}", ran.stderr);
    ran.ok();
    let letters = consumed(&place, "probe.dead-letters");
    for (language, extension) in LANGUAGES {
        let parts = |record: &Value| json!([record["key"], record["value"], record["timestamp"], record["headers"]]);
        let report = json!([
            ["hello", {"text": "timer", "größe": [3, null]}, "1", ["bb", "report"], ["2", "1"]],
            ["lines", 8, 0, 0],
            [["h", "2"], ["größe", null]]
        ]);
        let got: Vec<_> = consumed(&place, language).iter().map(parts).collect();
        let expected = [
            json!(["k", "a", 0, {}]),
            json!(["k", "bb", 2, {"h": "1"}]),
            json!(["k", "timer", 4, {}]),
            json!(["k", report.to_string(), 7, {"h": "2", "größe": "ja"}]),
            json!(["other", "b", 1003, {}]),
            json!(["k", "c", 5000, {}]),
        ];
        assert_eq!(got, expected, "{language}");
        let late: Vec<_> = consumed(&place, &format!("{language}-late")).iter().map(parts).collect();
        assert_eq!(late, [json!(["k", "tick 1004 4 null", 1004, {}])], "{language}");

        let mut reasons: Vec<_> = letters.iter().filter(|letter| letter["headers"]["wasmill-error-operator"] == language).map(|letter| {
            (letter["value"].as_str().unwrap_or("null"), letter["headers"]["wasmill-error-reason"].as_str().unwrap())
        }).collect();
        reasons.sort_unstable();
        let source = fs::read_to_string(repository().join(format!("tests/languages/probe.{extension}"))).unwrap();
        let line = |text: &str| source.lines().position(|line| line.contains(text)).unwrap() + 1;
        let thrown = format!("probe.{extension}:{}", line("return {}[").max(1));
        println!("{language}: {reasons:#?} {thrown}");
    }
}
