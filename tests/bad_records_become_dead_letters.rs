//! Records that an operator cannot handle, among good ones: they alone are dead letters, and the others come out exactly
//! once. 4 partitions, 2 workers, the store sled.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::Value;

use crate::guests;
use crate::support::command::{Ended, Place};

/// Records of a feed, and how many keys they have.
const RECORDS: usize = 400;
const KEYS: usize = 23;

/// Which are bad as a rule: the first, the last, and some at even and at odd places of every partition.
fn some(record: usize) -> bool {
    record.is_multiple_of(37) || record == RECORDS - 1
}

/// A directory with a pipeline of the one operator `guest`, and a feed with some bad records.
struct Poisoned {
    place: Place,
    pipeline: String,
    is_bad: fn(usize) -> bool,
}

impl Poisoned {
    /// `does` is how the operator misbehaves at a bad record; `bad` is one, with `KEY` for its key.
    fn new(does: &str, bad: &str) -> Self {
        Self::with(does, bad, some)
    }

    fn with(does: &str, bad: &str, is_bad: fn(usize) -> bool) -> Self {
        let place = Place::new();
        place.write("process.wasm", guests::built("process"));
        let mut feed = String::new();
        for record in 0..RECORDS {
            let line = if is_bad(record) { bad } else { r#"{"key": "KEY", "value": "good"}"# };
            writeln!(feed, "{}", line.replace("KEY", &format!("k{}", record % KEYS))).unwrap();
        }
        place.write("feed.jsonl", feed);
        let pipeline = format!(
            "format-version: 1\nname: poisoned\nsources:\n  lines: {{topic: lines, sample: feed.jsonl, create: \
             {{partitions: 4}}}}\noperators:\n  guest:\n    plugin: ./process.wasm\n    from: lines\n    settings: \
             {{does: {does}, at: poison}}\n"
        );
        Self { place, pipeline, is_bad }
    }

    /// Runs the pipeline with more said of its operator, on what is there.
    fn run(&self, more: &str) -> Ended {
        let sink = "sinks:\n  counts: {topic: counts, from: guest.out}\n";
        self.place.write("pipeline.yaml", format!("{}    {more}\n{sink}", self.pipeline));
        let log = ["--data-dir", "data", "--workers", "2", "--store", "sled"];
        self.place.run([&["run", "pipeline.yaml", "--until-end"], &log[..]].concat())
    }

    fn consumed(&self, topic: &str) -> Vec<Value> {
        let log = ["--data-dir", "data", "--from-beginning", "--until-end", "--format", "jsonl"];
        let printed = self.place.run([&["consume", topic], &log[..]].concat()).ok();
        printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Fails unless every good record was counted once: for each key 1, 2, 3 and so on.
    #[track_caller]
    fn assert_all_good_ones_came_out_once(&self, name: &str) {
        let mut counts: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for record in self.consumed("counts") {
            let count = record["value"].as_str().unwrap().as_bytes()[0];
            counts.entry(record["key"].as_str().unwrap().to_owned()).or_default().push(count);
        }
        let each =
            |key: usize| (0..RECORDS).filter(|&record| record % KEYS == key && !(self.is_bad)(record)).count() as u8;
        let expected = (0..KEYS).map(|key| (format!("k{key}"), (1..=each(key)).collect::<Vec<_>>()));
        let expected: BTreeMap<_, _> = expected.filter(|(_, counts)| !counts.is_empty()).collect();
        assert_eq!(counts, expected, "{name}");
    }

    /// The dead letters, if they are those of the bad records, each once, and say where these come from.
    #[track_caller]
    fn dead_letters(&self) -> Vec<Value> {
        let letters = self.consumed("poisoned.dead-letters");
        let mut sources = self.consumed("lines");
        sources.retain(|record| record["value"] != "good");
        let bad = (0..RECORDS).filter(|&record| (self.is_bad)(record)).count();
        assert_eq!((letters.len(), sources.len()), (bad, bad), "{letters:?}");
        for source in sources {
            let place = (source["partition"].to_string(), source["offset"].to_string());
            let is_of =
                |letter: &&Value| (header(letter, "partition"), header(letter, "offset")) == (&place.0, &place.1);
            let letter = letters.iter().find(is_of).unwrap_or_else(|| panic!("no letter of {source}: {letters:?}"));
            for part in ["key", "value", "timestamp"] {
                assert_eq!(letter[part], source[part], "{letter}");
            }
            assert_eq!((header(letter, "topic"), header(letter, "operator")), ("lines", "guest"));
            assert!(header(letter, "plugin").starts_with("sha256:"), "{letter}");
        }
        letters
    }
}

const POISON: &str = r#"{"key": "KEY", "value": "poison"}"#;
const KEYLESS: &str = r#"{"value": "keyless"}"#;

fn header<'a>(letter: &'a Value, name: &str) -> &'a str {
    letter["headers"][format!("wasmill-error-{name}")].as_str().unwrap_or_else(|| panic!("no {name}: {letter}"))
}

/// Has the operator misbehave at the bad records; they and nothing else are dead letters, after so many attempts.
#[track_caller]
fn letters_only(does: &str, more: &str, reason: &str, attempts: &str) {
    let poisoned = Poisoned::new(does, POISON);
    let ended = poisoned.run(more);
    assert_eq!(ended.status, Some(0), "{does}: {}", ended.stderr);
    for letter in poisoned.dead_letters() {
        assert!(header(&letter, "reason").starts_with(reason), "{does}: {letter}");
        assert_eq!(header(&letter, "attempts"), attempts, "{does}");
    }
    poisoned.assert_all_good_ones_came_out_once(does);
}

#[test]
fn a_record_that_takes_all_memory_is_found() {
    letters_only("hoards", "", "memory limit of 64 MiB reached", "1");
}

#[test]
fn a_record_that_takes_for_ever_is_found() {
    letters_only("spins", "limits: {deadline: 100ms}", "deadline of 100 ms of processor time missed", "3");
}

#[test]
fn a_hundred_records_in_a_row_that_take_for_ever_are_all_found() {
    let poisoned = Poisoned::with("spins", POISON, |record| (150..250).contains(&record));
    let ended = poisoned.run("limits: {deadline: 20ms}");
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("poisoned.guest: 400 in so far, 300 out, 100 dead letters"), "{}", ended.stderr);
    for letter in poisoned.dead_letters() {
        assert_eq!(header(&letter, "attempts"), "3", "{letter}");
    }
    poisoned.assert_all_good_ones_came_out_once("spins");
}

#[test]
fn a_slow_operator_gets_fewer_records_at_a_time_and_loses_none() {
    let poisoned = Poisoned::with("lingers", "", |_| false);
    // Some milliseconds a record: a partition's hundred are too many at once.
    let at_all = poisoned.pipeline.replace(", at: poison", "");
    let poisoned = Poisoned { pipeline: at_all, ..poisoned };
    let ended = poisoned.run("limits: {deadline: 100ms}");
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("poisoned.guest: 400 in so far, 400 out\n"), "{}", ended.stderr);
    poisoned.assert_all_good_ones_came_out_once("lingers");
}

#[test]
fn a_record_that_overflows_the_stack_is_found() {
    letters_only("overflows", "", "stack limit of 512 KiB reached", "1");
    letters_only("overflows-in-memory", "", "out of bounds memory access, its own stack is used up", "1");
}

#[test]
fn a_record_that_makes_a_plugin_panic_is_found() {
    letters_only("panics", "", "panicked at process/src/takes.rs:", "1");
    letters_only("traps", "", "panicked; at ", "1");
}

#[test]
fn every_record_of_a_plugin_that_always_traps_is_a_dead_letter() {
    let poisoned = Poisoned::with("traps", POISON, |record| record % 100 != 7);
    let ended = poisoned.run("");
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    assert_eq!(poisoned.dead_letters().len(), 396);
    poisoned.assert_all_good_ones_came_out_once("traps");
}

#[test]
fn a_record_whose_output_is_out_of_bounds_is_found() {
    letters_only("forges", "", "output.emit: record 0: a span of 3 bytes at 1 leaves the 3 bytes of data", "1");
    letters_only("strays", "", "output.emit: there is no output 7, only 1", "1");
    letters_only("oversteps", "", "returned cell 1, of 1", "1");
    letters_only("predates", "", "output.emit: record 0: the event time -5 is before 1970", "1");
}

#[test]
fn a_record_whose_output_is_too_large_is_found() {
    letters_only("swells", "", "an output record of 2000000 bytes passes the limit of 1000000", "1");
    letters_only("floods", "", "the output of one call passes the limit of 67108864 bytes", "1");
}

#[test]
fn a_record_that_the_operator_blames_is_a_dead_letter() {
    letters_only("fails-some", "", "record ", "1");
}

#[test]
fn what_a_transformer_emits_for_a_record_that_it_fails_is_dropped() {
    let poisoned = Poisoned::new("transform", r#"{"key": "KEY", "value": "!fail and emit"}"#);
    poisoned.place.write("process.wasm", guests::built("transform"));
    let ended = poisoned.run("");
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    assert!(poisoned.dead_letters().iter().all(|letter| header(letter, "reason") == "not two words"));
    let passed = poisoned.consumed("counts");
    assert!(passed.iter().all(|record| record["value"] == "good"), "{passed:?}");
    assert_eq!(passed.len(), (0..RECORDS).filter(|&record| !some(record)).count());
}

#[test]
fn a_record_without_a_key_is_a_dead_letter_of_the_keyed_operator() {
    let poisoned = Poisoned::new("counts", KEYLESS);
    poisoned.run("").ok();
    for letter in poisoned.dead_letters() {
        assert_eq!(header(&letter, "reason"), "the record has no key");
    }
    poisoned.assert_all_good_ones_came_out_once("keyless");
}

#[test]
fn a_bad_record_is_skipped_where_the_policy_says_so() {
    let poisoned = Poisoned::new("panics", POISON);
    poisoned.run("on-error: skip").ok();
    assert!(poisoned.consumed("poisoned.dead-letters").is_empty());
    poisoned.assert_all_good_ones_came_out_once("skip");
}

#[test]
fn a_bad_record_stops_the_pipeline_where_the_policy_says_so_and_nothing_is_lost() {
    let poisoned = Poisoned::new("panics", POISON);
    for _ in 0..2 {
        poisoned.run("on-error: stop").failed(1, &["guest", "no price for k"]);
    }
    let before = poisoned.consumed("counts").len();
    let bad = (0..RECORDS).filter(|&record| some(record)).count();
    assert!(before < RECORDS - bad, "{before} records came out: it did not stop at a bad one");
    poisoned.run("on-error: dead-letter").ok();
    poisoned.dead_letters();
    poisoned.assert_all_good_ones_came_out_once("stop");
}

#[test]
fn what_may_work_later_is_a_dead_letter_after_its_attempts() {
    let attempts = "retry: {attempts: 2, backoff: 10ms}";
    letters_only("waits", attempts, "the database is away", "2");
}

#[test]
fn a_timer_that_fails_is_a_dead_letter_and_the_others_fire() {
    let poisoned = Poisoned::with("arms-duds", POISON, some);
    let all = poisoned.pipeline.replace(", at: poison", "");
    let sinks = "sinks:\n  counts: {topic: counts, from: guest.out}\n";
    poisoned.place.write("pipeline.yaml", format!("{all}{sinks}"));
    let log = ["--data-dir", "data", "--workers", "2", "--store", "sled"];
    poisoned.place.run([&["run", "pipeline.yaml", "--until-end"], &log[..]].concat()).ok();
    // Those of a key fire behind each turn that has records of it.
    let keys = |records: Vec<Value>| -> BTreeSet<(String, String)> {
        let text = |record: &Value, part: &str| record[part].as_str().unwrap().to_owned();
        records.iter().map(|record| (text(record, "key"), text(record, "value"))).collect()
    };
    let expected = |name: &str, is_one: &dyn Fn(usize) -> bool| -> BTreeSet<(String, String)> {
        let records = (0..RECORDS).filter(|&record| is_one(record));
        records.map(|record| (format!("k{}", record % KEYS), name.to_owned())).collect()
    };
    let letters = poisoned.consumed("poisoned.dead-letters");
    for letter in &letters {
        assert!(header(letter, "reason").starts_with("panicked; at "), "{letter}");
        assert_eq!((header(letter, "operator"), &letter["headers"]["wasmill-error-offset"]), ("guest", &Value::Null));
    }
    assert_eq!(keys(letters), expected("dud", &some));
    assert_eq!(keys(poisoned.consumed("counts")), expected("good", &|record| !some(record)));
}
