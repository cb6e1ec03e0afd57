//! Every example, run by the built binary in an empty data directory, gives what its files say.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use crate::support::command::{Place, repository};
use crate::support::words;

fn example(name: &str) -> String {
    repository().join("examples").join(name).display().to_string()
}

fn run(place: &Place, name: &str) {
    place.run(["run", &example(name), "--until-end", "--data-dir", "data", "--workers", "2"]).ok();
}

fn consumed(place: &Place, topic: &str) -> Vec<Value> {
    let printed = place
        .run(["consume", topic, "--data-dir", "data", "--from-beginning", "--until-end", "--format", "jsonl"])
        .ok();
    printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn word_count_counts_every_word_of_the_text_once() {
    let place = Place::new();
    let arguments = ["run", &example("word-count"), "--until-end", "--top", "counts=3", "--data-dir", "data"];
    let first = place.run(arguments);
    assert_eq!(first.stdout, "the\t1642\nand\t872\nto\t729\n", "{}", first.stderr);
    assert!(first.stderr.contains("3604 records in "), "{}", first.stderr);
    let counts = consumed(&place, "word-counts");
    let pairs = counts.iter().map(|record| (record["key"].as_str().unwrap(), record["value"].as_str().unwrap()));
    let last = words::follow(pairs);
    let text = fs::read_to_string(repository().join("examples/word-count/alice.txt")).unwrap();
    assert_eq!(last, words::count(&text));
    let second = place.run(arguments);
    assert_eq!(second.status, Some(0));
    assert!(second.stderr.contains("nothing new") && second.stderr.contains("--fresh"), "{}", second.stderr);
    assert_eq!(consumed(&place, "word-counts").len(), counts.len());
    let afresh = place.run([&arguments[..], &["--fresh"]].concat());
    assert!(afresh.stderr.contains("3604 records in "), "{}", afresh.stderr);
    assert_eq!(consumed(&place, "word-counts").len(), counts.len());
}

#[test]
fn word_count_gives_the_counts_that_it_ships() {
    let place = Place::new();
    run(&place, "word-count");
    let mut last = BTreeMap::new();
    for record in consumed(&place, "word-counts") {
        last.insert(record["key"].as_str().unwrap().to_owned(), record["value"].as_str().unwrap().to_owned());
    }
    let mut got: Vec<_> = last.into_iter().map(|(word, count)| format!("{word}\t{count}")).collect();
    let expected = fs::read_to_string(repository().join("examples/word-count/expected.tsv")).unwrap();
    let mut expected: Vec<_> = expected.lines().map(str::to_owned).collect();
    got.sort();
    expected.sort();
    assert_eq!(got, expected);
}
