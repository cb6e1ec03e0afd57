//! What `wasmill new` writes builds, passes its cases, and runs.

use std::fs;

use serde_json::Value;

use crate::support::command::Place;
use crate::support::projects::{begin, run};

/// Key and value of each record at the sink, by key and offset.
fn results(place: &Place, name: &str) -> Vec<(Value, Value)> {
    run(place, &["run", name, "--until-end", "--data-dir", "data", "--workers", "2"]).ok();
    let topic = format!("{name}-results");
    let consume = ["consume", &topic, "--data-dir", "data", "--from-beginning", "--until-end", "--format", "jsonl"];
    let printed = run(place, &consume).ok();
    let record = |line: &str| {
        let mut record: Value = serde_json::from_str(line).unwrap();
        (record["key"].take(), record["value"].take())
    };
    let mut records: Vec<_> = printed.lines().map(record).collect();
    records.sort_by_key(|(key, value)| (key.to_string(), value.to_string()));
    records
}

/// Cases of a transformer; its pipeline with 4 partitions and 2 workers; a case that differs is shown with its line.
#[test]
fn a_new_transform_passes_its_case_and_runs() {
    let place = begin("fresh-transform", "transform");
    let said = run(&place, &["test", "fresh-transform"]).ok();
    assert_eq!(said, "case first ... ok\n1 passed, 0 failed\n");
    let expected = ["HELLO", "WORLD"].map(|value| (Value::Null, value.into()));
    assert_eq!(results(&place, "fresh-transform"), expected);

    let send = r#"{"send": {"value": "a"}}"#;
    #[rustfmt::skip]
    let table = [
        (r#"{"expect": {"value": "B"}}"#,                     ":2: another value: expected key null, value \"B\""),
        (r#"{"expect": {"output": "other", "value": "A"}}"#,  ":2: there is no output other, only main"),
        (r#"{"expect-failure": "no"}"#,                       ":2: no record failed; there is key null, value \"A\""),
        (r#"{"watermark": 5}"#,                               ":1: nothing is expected in this case"),
        ("{\"expect\": {\"value\": \"A\"}}\n{\"expect\": {}}", ":3: nothing more came of output main"),
        ("{\"send\": {}}\n{\"expect-failure\": \"\"}",        ":3: behind this line there is more: key null, value \"A\""),
        ("{\"what\": 1}",                                     ":2: unknown variant `what`"),
    ];
    for (number, (lines, _)) in table.iter().enumerate() {
        place.write(&format!("fresh-transform/cases/wrong-{number}.jsonl"), format!("{send}\n{lines}\n"));
    }
    let ended = run(&place, &["test", "fresh-transform"]);
    for (number, (_, says)) in table.iter().enumerate() {
        let says = format!("case wrong-{number} ... FAILED\n  fresh-transform/cases/wrong-{number}.jsonl{says}");
        assert!(ended.stdout.contains(&says), "{says} is not in:\n{}", ended.stdout);
    }
    assert!(ended.stdout.ends_with("1 passed, 7 failed\n"), "{}", ended.stdout);
    ended.failed(1, &["7 cases differ"]);
}

/// Cases of a processor; its pipeline with 4 partitions and 2 workers.
#[test]
fn a_new_process_passes_its_case_and_runs() {
    let place = begin("fresh-process", "process");
    let said = run(&place, &["test", "fresh-process"]).ok();
    assert_eq!(said, "case first ... ok\n1 passed, 0 failed\n");
    let expected = [("a", "1"), ("a", "2"), ("b", "1")].map(|(key, value)| (key.into(), value.into()));
    assert_eq!(results(&place, "fresh-process"), expected);
}

/// Timers in both domains, settings, and times to live, in a processor of the test's own.
#[test]
fn cases_move_both_clocks() {
    let place = begin("fresh-clock", "process");
    place.write("fresh-clock/src/lib.rs", CLOCK);
    place.write("fresh-clock/cases/first.jsonl", CLOCK_CASE);
    let said = run(&place, &["test", "fresh-clock"]);
    assert_eq!(said.stdout, "case first ... ok\n1 passed, 0 failed\n", "{}", said.stderr);
}

#[test]
fn what_cannot_be_begun_or_tested_is_told() {
    let place = Place::new();
    place.write("full/file", "");
    let new = |name: &str, lang: &str| run(&place, &["new", name, "--lang", lang, "--kind", "transform"]);
    new("full", "rust").failed(1, &["full exists and is not empty"]);
    new("Shout", "rust").failed(1, &["name \"Shout\"", "begin with a letter"]);
    new("core", "rust").failed(1, &["name \"core\"", "choose another"]);
    new("shout", "python").failed(1, &["--lang python is not supported yet by this version: rust is"]);
    new("shout", "cobol").failed(1, &["--lang cobol", "rust is"]);
    run(&place, &["new", "shout", "--kind", "join"]).failed(2, &["transform", "process"]);
    run(&place, &["new", "shout", "--kind", "process", "--sdk", "."]).failed(1, &["--sdk .", "wasmill-sdk"]);
    assert!(!place.path("shout").exists(), "nothing is left behind");
    run(&place, &["test", "full"]).failed(1, &["full/cases has no cases"]);
    new("shout", "rust").ok();
    let manifest = fs::read_to_string(place.path("shout/Cargo.toml")).unwrap();
    assert!(manifest.contains(&format!("wasmill-sdk = \"{}\"", env!("CARGO_PKG_VERSION"))), "{manifest}");
}

const CLOCK: &str = r#"
use std::collections::BTreeMap;
use std::time::Duration;

use wasmill_sdk::{Context, Domain, Keys, Open, Process, Record, Result, Setup, Single, Timer};

struct Clock {
    after: Duration,
    seen: Single<u64>,
}

impl Open for Clock {
    fn open(setup: &mut Setup) -> Result<Self> {
        let settings: BTreeMap<String, u64> = setup.settings()?;
        setup.main_output(Keys::Kept);
        let after = Duration::from_millis(settings["after"]);
        Ok(Self { after, seen: setup.state("seen").ttl(Duration::from_millis(500)).prefetched() })
    }
}

impl Process for Clock {
    fn process(&mut self, record: Record<'_>, cx: &mut Context) -> Result<()> {
        let seen = self.seen.update(cx, |seen| seen.unwrap_or(0) + 1)?;
        cx.set_timer(Domain::EventTime, "event", record.timestamp() + self.after);
        cx.set_timer(Domain::ProcessingTime, "processing", record.timestamp() + self.after);
        cx.emit(record.with_value(seen.to_string()))
    }

    fn on_timer(&mut self, timer: Timer<'_>, cx: &mut Context) -> Result<()> {
        cx.emit(timer.record().with_value(timer.name().to_vec()))
    }
}

wasmill_sdk::export!(process Clock);
"#;

const CLOCK_CASE: &str = r#"{"settings": {"after": 100}}
{"send": {"key": "a", "timestamp": 1000}}
{"send": {"key": "a", "timestamp": 1001}}
{"expect": {"key": "a", "value": "1", "timestamp": 1000}}
{"expect": {"key": "a", "value": "2", "timestamp": 1001}}
{"watermark": 1100}
{"watermark": 1101}
{"expect": {"key": "a", "value": "event", "timestamp": 1101}}
{"processing-time": 1100}
{"processing-time": 1101}
{"expect": {"key": "a", "value": "processing", "timestamp": 1101}}
{"send": {"key": "b", "timestamp": 1800}}
{"send": {"key": "a", "timestamp": 1900}}
{"expect": {"key": "b", "value": "1"}}
{"expect": {"key": "a", "value": "1"}}
"#;
