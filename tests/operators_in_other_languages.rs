//! Operators in Python and JavaScript, built by the scripts of their SDKs and run by the built binary, do what operators in
//! Rust do.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::command::{Place, repository};
use crate::support::languages::{built, check_tools, keep_compiled};
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
        json!({"value": {"base64": "7aCA"}, "key": "half of a surrogate pair"}),
        json!({"value": {"base64": "wK8="}, "key": "longer than it need be"}),
        json!({"value": "nul\u{0}byte \u{feff}mark \u{1f600} 𝔘𝔫𝔦 ½ x²  Ⅷ ٣٤"}),
        json!({"value": "ΟΔΥΣΣΕΥΣ İstanbul STRASSE ǅ"}),
        json!({"value": "the first moment", "timestamp": 0}),
    ];
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
    let mut letters: Vec<_> = consumed(&place, "odd.dead-letters")
        .into_iter()
        .map(|letter| {
            let reason = letter["headers"]["wasmill-error-reason"].as_str().unwrap();
            // The words after the colon are those of the language.
            let reason = reason.split(": ").next().unwrap();
            json!([letter["key"], letter["value"], letter["timestamp"], reason])
        })
        .collect();
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
        let plugin =
            |name: &str| built(&format!("examples/word-count-{language}/{name}.{extension}")).display().to_string();
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
        json!({"key": "k", "value": "report", "timestamp": 8, "headers": {"h": "2", "none": null}}),
        json!({"key": "other", "value": "b", "timestamp": 1003}),
        json!({"key": "k", "value": "c", "timestamp": 5000}),
    ];
    place.write("feed.jsonl", feed.map(|record| record.to_string()).join("\n"));
    let mut pipeline = "format-version: 1\nname: probe\nsources:\n  lines: {topic: lines, sample: feed.jsonl, create: \
         {partitions: 1}}\noperators:\n"
        .to_owned();
    let mut sinks = "sinks:\n".to_owned();
    for (language, extension) in LANGUAGES {
        let plugin = built(&format!("tests/languages/probe.{extension}"));
        let plugin = plugin.display();
        writeln!(pipeline, "  {language}: {{plugin: {plugin}, from: lines, settings: {{greeting: hello}}}}").unwrap();
        writeln!(sinks, "  {language}: {{topic: {language}, from: {language}, create: {{partitions: 1}}}}").unwrap();
        writeln!(sinks, "  {language}-late: {{topic: {language}-late, from: {language}.late}}").unwrap();
    }
    place.write("pipeline.yaml", pipeline + &sinks);
    let ran = place.run(["run", "pipeline.yaml", "--until-end", "--data-dir", "data"]);
    assert!(ran.stderr.contains("probed k"), "{}", ran.stderr);
    ran.ok();
    let letters = consumed(&place, "probe.dead-letters");
    for (language, extension) in LANGUAGES {
        let parts = |record: &Value| json!([record["key"], record["value"], record["timestamp"], record["headers"]]);
        let report = r#"[["hello",{"text":"timer","größe":[3,null]},"1",["bb","report"],["2","1"]],["lines",8,0,0],[["h","2"],["none",null]]]"#;
        let got: Vec<_> = consumed(&place, language).iter().map(parts).collect();
        let expected = [
            json!(["k", "a", 0, {}]),
            json!(["k", "bb", 2, {"h": "1"}]),
            json!(["k", "timer", 4, {}]),
            json!(["k", report, 7, {"h": "2", "none": null, "größe": "ja"}]),
            json!(["other", "b", 1003, {}]),
            json!(["k", "c", 5000, {}]),
        ];
        assert_eq!(got, expected, "{language}");
        let late: Vec<_> = consumed(&place, &format!("{language}-late")).iter().map(parts).collect();
        assert_eq!(late, [json!(["k", r#"["tick",1004,5,null]"#, 1004, {}])], "{language}");

        let reasons = reasons(&letters, language);
        let source = fs::read_to_string(repository().join(format!("tests/languages/probe.{extension}"))).unwrap();
        let line = |text: &str| source.lines().position(|line| line.contains(text)).unwrap() + 1;
        let (thrown, called) = (line("[record.key"), line("== \"boom\"").max(line(".explode(record)")));
        let places: Vec<_> = reasons["boom"].split("; at ").nth(1).unwrap().split(" < ").collect();
        assert_eq!(places.len(), 2, "{reasons:?}");
        assert!(places[0].starts_with(&format!("probe.{extension}:{thrown}")) && places[0].ends_with(" in explode"));
        assert!(places[1].starts_with(&format!("probe.{extension}:{called}")) && places[1].ends_with(" in process"));
        let told = ["keyless", "null", "refuse", "shift"].map(|value| reasons[value].as_str());
        let told = told.map(|reason| reason.split("; plugin").next().unwrap());
        let shifted = "output `main` is declared to keep keys, but was given another one";
        let keyless = "the record has no key";
        assert_eq!(told, [keyless, "the record has no value", "refused", shifted], "{language}");
    }
}

/// Why records of these values became dead letters of an operator.
fn reasons(letters: &[Value], operator: &str) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap_or("null").to_owned();
    let letters = letters.iter().filter(|letter| letter["headers"]["wasmill-error-operator"] == operator);
    letters.map(|letter| (text(&letter["value"]), text(&letter["headers"]["wasmill-error-reason"]))).collect()
}

/// A leak of some hundred bytes a record would pass the limit of memory, and make records dead letters; the instances
/// never grow by what would have them replaced.
#[test]
fn memory_stays_flat() {
    let records = 20_000;
    let record = |index| format!("{}\n", json!({"key": format!("k{}", index % 7), "value": format!("v{index}")}));
    let feed: String = (0..records).map(record).collect();
    for (language, extension, memory) in [("python", "py", "20MiB"), ("js", "js", "4MiB")] {
        let place = Place::new();
        keep_compiled(&place);
        place.write("feed.jsonl", &feed);
        let plugin = built(&format!("examples/word-count-{language}/count.{extension}"));
        let pipeline = format!(
            "format-version: 1\nname: flat\nsources:\n  lines: {{topic: lines, create: {{partitions: 1}}}}\noperators:\n  \
             count: {{plugin: {}, from: lines, limits: {{memory: {memory}, growth: 64MiB}}}}\nsinks:\n  counts: {{topic: \
             counts, from: count}}\n",
            plugin.display()
        );
        place.write("pipeline.yaml", pipeline);
        let feed = ["--feed", "lines=feed.jsonl", "--until-end", "--data-dir", "data"];
        let ran = place.run([&["run", "pipeline.yaml"], &feed[..]].concat());
        assert!(ran.stderr.contains(&format!("{records} records in ")), "{language}: {}", ran.stderr);
        assert!(!ran.stderr.contains("failed"), "{language}: {}", ran.stderr);
        ran.ok();
        let counts = consumed(&place, "counts");
        let text = |record: &Value, part: &str| record[part].as_str().unwrap().to_owned();
        let pairs: Vec<_> = counts.iter().map(|record| (text(record, "key"), text(record, "value"))).collect();
        let last = words::follow(pairs.iter().map(|(key, count)| (key.as_str(), count.as_str())));
        assert_eq!(last.values().sum::<u64>(), records, "{language}");
    }
}

/// The SDKs' own tests, in the runner of each language, and TypeScript's opinion of the types and the examples.
#[test]
fn the_sdks_pass_their_own_tests() {
    let runs: [(&str, &[&str]); 3] = [
        ("python", &["python3", "-B", "-m", "unittest", "discover", "-s", "tests"]),
        ("js", &["node", "--test"]),
        ("js", &["./check-types"]),
    ];
    for (language, command) in runs {
        check_tools(language);
        let sdk = repository().join("guest-sdk").join(language);
        let mut process = Command::new(command[0]);
        process.args(&command[1..]).current_dir(&sdk).env("PYTHONPATH", &sdk);
        let output = process.output().unwrap();
        let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
        assert!(output.status.success(), "{language}: {}", said.concat());
    }
}
