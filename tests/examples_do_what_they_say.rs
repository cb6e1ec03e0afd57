//! Every example, run by the built binary in an empty data directory, gives what its files say.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use crate::support::command::{Place, repository};
use crate::support::words;

fn example(name: &str) -> String {
    repository().join("examples").join(name).display().to_string()
}

fn shipped(name: &str) -> String {
    fs::read_to_string(repository().join("examples").join(name)).unwrap()
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
    for line in ["  word-count.split: 3604 in so far, 27333 out\n", "  word-count.count: 27333 in so far, 27333 out\n"]
    {
        assert!(first.stderr.contains(line), "{}", first.stderr);
    }
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

/// The sample has no keys and so goes over 4 partitions in turn; 2 workers.
#[test]
fn route_sends_every_order_where_its_readme_says() {
    let place = Place::new();
    run(&place, "route");
    for topic in ["large-orders", "small-orders", "rejected-orders"] {
        let mut got: Vec<_> =
            consumed(&place, topic).iter().map(|record| record["value"].as_str().unwrap().to_owned()).collect();
        let expected = shipped(&format!("route/expected/{topic}.txt"));
        let mut expected: Vec<_> = expected.lines().collect();
        got.sort();
        expected.sort_unstable();
        assert_eq!(got, expected, "{topic}");
    }
}

/// 4 partitions, which the lines of the sample go to in turn; 2 workers.
#[test]
fn what_is_no_order_says_in_its_headers_where_it_was_and_why() {
    let place = Place::new();
    run(&place, "route");
    let rejected = consumed(&place, "rejected-orders");
    let sample = shipped("route/orders.txt");
    #[rustfmt::skip]
    let reasons = [
        (3, "parse the value as JSON: missing field `amount`"),
        (5, "parse the value as JSON: expected ident"),
        (7, "order o-7 has an amount of 0"),
        (8, "parse the value as JSON: invalid value: integer `-5`"),
    ];
    assert_eq!(rejected.len(), reasons.len());
    for (line, reason) in reasons {
        let value = sample.lines().nth(line).unwrap();
        let record = rejected.iter().find(|record| record["value"] == value).unwrap();
        let header = |name: &str| record["headers"][format!("wasmill-error-{name}")].as_str().unwrap();
        assert!(header("reason").starts_with(reason), "{record}");
        assert_eq!((header("topic"), header("operator"), header("attempts")), ("orders", "by-amount", "1"));
        let at = (header("partition").to_owned(), header("offset").to_owned());
        assert_eq!(at, ((line % 4).to_string(), (line / 4).to_string()), "{record}");
    }
}

/// The sample has no keys and so goes over 4 partitions in turn; 2 workers.
#[test]
fn without_code_gives_what_it_ships() {
    let place = Place::new();
    run(&place, "without-code");
    for topic in ["large-orders", "other-orders", "labels"] {
        let mut got: Vec<_> =
            consumed(&place, topic).iter().map(|record| record["value"].as_str().unwrap().to_owned()).collect();
        let expected = shipped(&format!("without-code/expected/{topic}.txt"));
        let mut expected: Vec<_> = expected.lines().collect();
        got.sort();
        expected.sort_unstable();
        assert_eq!(got, expected, "{topic}");
    }
    let text = |part: &Value| part.as_str().unwrap().to_owned();
    let last: BTreeMap<_, _> =
        consumed(&place, "turnover").iter().map(|record| (text(&record["key"]), text(&record["value"]))).collect();
    let turnover: Vec<_> = last.iter().map(|(shop, sum)| format!("{shop}\t{sum}")).collect();
    assert_eq!(turnover, shipped("without-code/expected/turnover.tsv").lines().collect::<Vec<_>>());
    let letters = consumed(&place, "without-code.dead-letters");
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0]["value"], r#"{"id":7"#);
}

/// 4 partitions by key; 2 workers.
#[test]
fn dedupe_lets_the_payments_through_that_its_readme_says() {
    let place = Place::new();
    run(&place, "dedupe");
    let payment = |record: &Value| {
        let text = |name: &str| record[name].as_str().unwrap().to_owned();
        (text("key"), record["timestamp"].as_i64().unwrap(), text("value"))
    };
    let mut got: Vec<_> = consumed(&place, "unique-payments").iter().map(payment).collect();
    got.sort();
    let expected = shipped("dedupe/expected.jsonl");
    let expected: Vec<_> = expected.lines().map(|line| payment(&serde_json::from_str(line).unwrap())).collect();
    assert_eq!(got, expected);
}
