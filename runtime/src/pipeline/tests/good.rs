//! Files that are right, and what is made of them.

use std::{path::Path, time::Duration};

use super::{read, variables};
use crate::pipeline::{
    graph::{Input, Output, Plugin},
    key::Key,
    parse, schema,
    spec::{Guarantee, OnError, Start, TimeFormat},
};

const WHOLE: &str = include_str!("whole.yaml");

#[test]
fn everything_that_a_file_can_say_is_understood() {
    let graph = parse(Path::new("shop/pipeline.yaml"), WHOLE.as_bytes(), &variables).unwrap();
    assert_eq!(graph.name(), "orders-per-minute");
    assert_eq!(graph.guarantee(), Guarantee::ExactlyOnce);
    assert_eq!(graph.commit_interval(), Duration::from_millis(200));
    assert_eq!(graph.dead_letters(), "orders.dead");
    assert_eq!(graph.warnings(), []);

    let [orders, returns] = graph.sources() else { panic!("two sources") };
    assert_eq!(orders.topics, ["orders"]);
    assert_eq!(orders.start, Start::Time("2026-11-01T00:00:00Z".parse().unwrap()));
    assert_eq!(orders.time.field, Some(("/created_at".parse().unwrap(), TimeFormat::Ms)));
    assert_eq!(orders.time.out_of_order, Duration::from_secs(5));
    assert_eq!(orders.sample.as_deref(), Some(Path::new("shop/orders.jsonl")));
    assert_eq!(orders.create.unwrap().partitions.unwrap().get(), 4);
    assert_eq!(returns.topics, ["returns-a", "returns-b"]);
    assert_eq!(returns.start, Start::Latest);
    assert_eq!((returns.time.out_of_order, returns.time.idle_after), (Duration::ZERO, Duration::from_mins(1)));

    let [parse, per_shop] = graph.operators() else { panic!("two operators") };
    assert_eq!((parse.name.as_str(), per_shop.name.as_str()), ("parse", "per-shop"));
    assert_eq!(parse.plugin, Plugin::Path("shop/./parse.wasm".into()));
    let settings = r#"{"currency":"EUR","limit":3,"password":"hunter2","port":"4","rate":0.5,"strict":"yes","tags":["a",null,true]}"#;
    assert_eq!(parse.settings.to_json(), settings);
    assert_eq!((parse.retry.attempts, parse.retry.backoff), (4, Duration::from_secs(2)));
    assert_eq!((parse.limits.memory, parse.limits.deadline), (16 << 20, Duration::from_millis(500)));
    assert_eq!(parse.limits.output, 64 << 20);
    assert_eq!(sources(&parse.inputs[0]), [0, 1]);
    assert_eq!(per_shop.on_error, OnError::Stop);
    assert_eq!(per_shop.repartition.unwrap().value, 8);
    assert_eq!(per_shop.key, Some(Key::List(vec!["/shop".parse().unwrap(), "/country".parse().unwrap()])));
    assert!(
        matches!(&per_shop.plugin, Plugin::Digest(digest) if digest.starts_with("0011") && digest.contains("aabbcc"))
    );
    assert_eq!(per_shop.inputs[0].from[0].output, Output::Operator { index: 0, port: None });

    let [revenue, rejected] = graph.sinks() else { panic!("two sinks") };
    assert_eq!((revenue.topic.as_str(), rejected.topic.as_str()), ("revenue", "rejected"));
    assert_eq!(rejected.from[0].output, Output::Operator { index: 0, port: Some("rejected".to_owned()) });
}

fn sources(input: &Input) -> Vec<usize> {
    let of = |output: &Output| if let Output::Source(index) = output { Some(*index) } else { None };
    input.from.iter().filter_map(|upstream| of(&upstream.output)).collect()
}

#[test]
fn secrets_are_not_shown() {
    let graph = read(WHOLE).unwrap();
    let shown = format!("{graph:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("\"password\": ***"), "{shown}");
}

#[test]
fn what_is_not_said_has_its_default() {
    let graph =
        read("format-version: 1\nname: p\nsources: {s: {topic: s}}\noperators: {o: {plugin: a, from: s}}\n").unwrap();
    assert_eq!(graph.dead_letters(), "p.dead-letters");
    assert_eq!(graph.commit_interval(), Duration::from_millis(100));
    let operator = &graph.operators()[0];
    assert_eq!(operator.on_error, OnError::DeadLetter);
    assert_eq!((operator.retry.attempts, operator.retry.backoff), (5, Duration::from_secs(1)));
    assert_eq!((operator.limits.memory, operator.limits.deadline), (64 << 20, Duration::from_secs(1)));
    assert_eq!(operator.settings.to_json(), "{}");
    assert_eq!(graph.sources()[0].start, Start::Earliest);
}

#[test]
fn the_ways_to_write_yaml_do_not_matter() {
    for text in [
        "\u{feff}format-version: 1\nname: p\nsources: {s: {topic: t}}\nsinks: {k: {topic: k, from: s}}",
        "%YAML 1.2\n---\nformat-version: 1\nname: p\nsources: {s: {topic: t}}\nsinks: {k: {topic: k, from: s}}\n...\n",
        "format-version: 1\r\nname: p\r\nsources:\r\n  s:\r\n    topic: t\r\nsinks:\r\n  k:\r\n    topic: k\r\n    from: s\r\n",
        r#"{"format-version": 1, "name": "p", "sources": {"s": {"topic": "t"}}, "sinks": {"k": {"topic": "k", "from": ["s"]}}}"#,
        "format-version: 0x1\n'name': !!str p\nsources: {s: &t {topic: t}}\nsinks: {k: {topic: k, from: s}}",
    ] {
        let graph = read(text).unwrap();
        assert_eq!((graph.name(), graph.sources()[0].topics[0].as_str()), ("p", "t"), "{text}");
    }
}

#[test]
fn the_schema_knows_what_is_read() {
    let schema = schema();
    let at = |pointer: &str| schema.pointer(pointer).unwrap_or_else(|| panic!("{pointer} in {schema:#}"));
    assert_eq!(at("/title"), "Wasmill pipeline");
    assert_eq!(at("/required"), &serde_json::json!(["format-version", "name", "sources"]));
    assert_eq!(at("/additionalProperties"), false);
    assert_eq!(at("/patternProperties/^x-"), true);
    assert_eq!(at("/$defs/Operator/anyOf/0/required"), &serde_json::json!(["plugin", "from"]));
    assert_eq!(at("/$defs/Operator/anyOf/0/patternProperties/^x-"), true);
    let filter = "/$defs/Operator/anyOf/1";
    assert_eq!(at(&format!("{filter}/properties/use/const")), "filter");
    assert_eq!(at(&format!("{filter}/required")), &serde_json::json!(["where", "from", "use"]));
    assert_eq!(at(&format!("{filter}/additionalProperties")), false);
    assert_eq!(at("/$defs/Operator/anyOf").as_array().map(Vec::len), Some(20));
    for (key, description) in [
        ("/$defs/Operator/anyOf/0/properties/on-error", "What becomes of a record that the operator fails on."),
        ("/$defs/Retry/properties/attempts", "Calls in all, the first one too."),
        ("/$defs/Source/properties/topics", "Several topics that are read as one."),
    ] {
        assert_eq!(at(&format!("{key}/description")), description, "{key}");
    }
    assert_eq!(at("/$defs/Retry/properties/attempts/maximum"), 1000);
    assert_eq!(at("/$defs/Duration/pattern"), r"^[0-9]+(ms|s|m|h|d)$|\$\{(env|file):");
    assert_eq!(at("/$defs/Create/properties/partitions/type"), &serde_json::json!(["integer", "string"]));
    assert!(!schema.to_string().contains("\"null\""));
}

/// A file that says all defaults as the schema has them is read as one that says nothing.
#[test]
fn the_defaults_of_the_schema_are_those_that_hold() {
    let schema = schema();
    let defaults = |pointer: &str| -> serde_json::Value {
        let properties = schema.pointer(&format!("{pointer}/properties")).and_then(serde_json::Value::as_object);
        let with_default =
            |(key, property): (&String, &serde_json::Value)| Some((key.clone(), property.get("default")?.clone()));
        properties.unwrap_or_else(|| panic!("{pointer}")).iter().filter_map(with_default).collect()
    };
    let mut source = defaults("/$defs/Source");
    source["topic"] = "s".into();
    source["time"] = defaults("/$defs/Time");
    source["time"].as_object_mut().unwrap().remove("format").unwrap();
    source["create"] = defaults("/$defs/Create");
    let mut operator = defaults("/$defs/Operator/anyOf/0");
    operator["plugin"] = "a".into();
    operator["from"] = "s".into();
    operator["limits"] = defaults("/$defs/Limits");
    operator["retry"] = defaults("/$defs/Retry");
    let mut sink = defaults("/$defs/Sink");
    sink["topic"] = "k".into();
    sink["from"] = "o".into();
    let mut said = defaults("");
    assert_eq!(said.as_object().map(serde_json::Map::len), Some(2), "{said}");
    said["format-version"] = 1.into();
    said["name"] = "p".into();
    said["sources"] = serde_json::json!({"s": source});
    said["operators"] = serde_json::json!({"o": operator});
    said["sinks"] = serde_json::json!({"k": sink});
    let said = read(&said.to_string()).unwrap_or_else(|errors| panic!("{errors}"));
    let nothing = "format-version: 1\nname: p\nsources: {s: {topic: s}}\noperators: {o: {plugin: a, from: s}}\nsinks: {k: \
                   {topic: k, from: o}}\n";
    let nothing = read(nothing).unwrap();
    assert_eq!((said.guarantee(), said.commit_interval()), (nothing.guarantee(), nothing.commit_interval()));
    let (one, other) = (&said.sources()[0], &nothing.sources()[0]);
    assert_eq!((one.format, one.start, &one.time), (other.format, other.start, &other.time));
    assert_eq!(one.create.unwrap().partitions.unwrap().get(), crate::node::widths::DEFAULT_PARTITIONS);
    let (one, other) = (&said.operators()[0], &nothing.operators()[0]);
    assert_eq!((one.on_error, one.limits, one.retry), (other.on_error, other.limits, other.retry));
    assert_eq!(one.settings.to_json(), other.settings.to_json());
    assert_eq!(said.sinks()[0].format, nothing.sinks()[0].format);
    assert_eq!(defaults("/$defs/Limits").as_object().map(serde_json::Map::len), Some(7));
}
