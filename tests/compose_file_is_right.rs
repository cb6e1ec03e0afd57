//! The compose file for users. It is read, and a broker runs with its settings; Docker itself is not started here.

use std::collections::BTreeMap;
use std::fs;

use granit_parser::Parser;

use crate::support::command::{Place, repository};
use crate::support::kafka::Broker;

/// The variables of the broker, as the settings that its image makes of them.
fn settings(text: &str) -> BTreeMap<String, String> {
    let variables = text.lines().skip_while(|line| line.trim() != "environment:").skip(1);
    let variables = variables.take_while(|line| line.starts_with("      "));
    let setting = |line: &str| {
        let (name, value) = line.trim().split_once(": ").unwrap();
        let name = name.strip_prefix("KAFKA_").unwrap().to_lowercase().replace('_', ".");
        (name, value.trim_matches('"').to_owned())
    };
    variables.map(setting).collect()
}

#[test]
fn a_broker_runs_with_the_settings_of_the_compose_file() {
    let text = fs::read_to_string(repository().join("examples/kafka/compose.yaml")).unwrap();
    let events: Result<Vec<_>, _> = Parser::new_from_str(&text).collect();
    assert!(events.unwrap().len() > 40);
    assert!(text.contains("image: apache/kafka:4.3.1\n") && text.contains("127.0.0.1:9092:9092"));
    let all = settings(&text);
    assert_eq!(all["advertised.listeners"], "PLAINTEXT://localhost:9092", "as the pages say");
    // Where it listens and keeps its data is the test's.
    let moved = ["listeners", "advertised.listeners", "controller.quorum.voters", "log.dirs"];
    let settings: Vec<_> = all.iter().filter(|(name, _)| !moved.contains(&name.as_str())).collect();
    assert!(settings.len() >= 9, "{settings:?}");
    let settings: Vec<_> = settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let broker = Broker::start(&settings);
    let place = Place::new();
    place.run_with(["produce", "hello", "--brokers", &broker.address()], b"world\n").ok();
    let consume = ["consume", "hello", "--from-beginning", "--until-end", "--brokers", &broker.address()];
    assert_eq!(place.run(consume).ok(), "world\n");
}
