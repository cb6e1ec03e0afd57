//! The commands that need no pipeline: what they print, and how they end.

use serde_json::Value;

use crate::support::command::{Place, repository};
use crate::support::kafka::Broker;

fn example(name: &str) -> String {
    repository().join("examples").join(name).display().to_string()
}

#[test]
fn inspect_tells_role_ports_states_and_imports() {
    let place = Place::new();
    let printed = place.run(["inspect", &example("word-count/count"), "--output", "json"]).ok();
    let count: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(count["role"], "process");
    assert_eq!(count["outputs"][0], "main (keeps keys)");
    assert_eq!(count["states"][0], "count (single, prefetched, encoding 1)");
    let imports = count["imports"].as_array().unwrap();
    assert!(!imports.is_empty() && imports.iter().all(|name| name.as_str().unwrap().starts_with("wasmill:plugin/")));
    let printed = place.run(["inspect", &example("word-count/split")]).ok();
    assert!(printed.contains("a transform plugin") && printed.contains("sha256:"), "{printed}");
}

#[test]
fn validate_needs_no_log_and_makes_nothing() {
    let place = Place::new();
    let printed = place.run(["validate", &example("word-count"), &example("route"), "--plugins"]).ok();
    assert!(printed.contains("word-count is valid: 1 source, 2 operators, 1 sink"), "{printed}");
    assert!(!place.path(".wasmill").exists());
}

#[test]
fn schema_is_a_json_schema_of_the_pipeline_file() {
    let schema: Value = serde_json::from_str(&Place::new().run(["schema"]).ok()).unwrap();
    assert!(schema["properties"]["operators"].is_object() && schema["$schema"].is_string());
}

#[test]
fn build_makes_a_component_where_it_is_asked_to() {
    let place = Place::new();
    place.run(["build", &example("word-count/split"), "--out", "split.wasm"]).ok();
    assert!(std::fs::read(place.path("split.wasm")).unwrap().starts_with(b"\0asm"));
    place.run(["build", "nowhere"]).failed(1, &["nowhere has no Cargo.toml"]);
}

#[test]
fn a_source_setting_that_this_version_does_not_know_is_refused() {
    let place = Place::new();
    let pipeline = std::fs::read_to_string(repository().join("examples/word-count/pipeline.yaml")).unwrap();
    let changed = pipeline
        .replace("sample: alice.txt", "time: {field: /at}")
        .replace("./", &format!("{}/", example("word-count")));
    place.write("pipeline.yaml", changed);
    let says = ["source lines", "an event time from a field is not supported yet"];
    place.run(["run", "pipeline.yaml", "--until-end"]).failed(78, &says);
}

#[test]
fn records_go_to_kafka_and_come_back() {
    let (place, brokers) = (Place::new(), Broker::shared().address());
    let lines = "{\"key\":\"kö\",\"value\":\"1\",\"headers\":{\"h\":\"x\"}}\n{\"key\":\"b\",\"value\":null}\n";
    let produce = ["produce", "there-and-back", "--brokers", &brokers, "--partitions", "3", "--format", "jsonl"];
    place.run_with(produce, lines.as_bytes()).ok();
    let consume =
        ["consume", "there-and-back", "--brokers", &brokers, "--from-beginning", "--until-end", "--format", "jsonl"];
    let printed = place.run(consume).ok();
    let mut records: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    records.sort_by_key(|record| record["key"].as_str().unwrap().to_owned());
    assert_eq!((&records[0]["key"], &records[0]["value"]), (&"b".into(), &Value::Null));
    assert_eq!(
        (&records[1]["key"], &records[1]["value"], &records[1]["headers"]["h"]),
        (&"kö".into(), &"1".into(), &"x".into())
    );
    let topics = place.run(["topics", "--brokers", &brokers, "--output", "json"]).ok();
    let topics: Vec<Value> = serde_json::from_str(&topics).unwrap();
    let there = topics.iter().find(|topic| topic["topic"] == "there-and-back").unwrap();
    assert_eq!(there["partitions"], 3);
}
