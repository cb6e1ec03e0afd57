//! Records of any size and shape, by the built binary: each goes its way, is told with its place and the limit, or is a
//! dead letter; the others are processed. 4 partitions, 2 workers, the store sled unless a test says otherwise.

use std::fmt::Write;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::config::ClientConfig;
use serde_json::{Value, json};

use crate::guests;
use crate::support::command::{Ended, Place};
use crate::support::kafka::Broker;

/// A directory with a pipeline that counts the records of each key.
struct Counting {
    place: Place,
    log: Vec<String>,
    name: String,
}

impl Counting {
    fn embedded(store: &str) -> Self {
        let log = ["--data-dir", "data"].map(str::to_owned).into();
        let counting = Self { place: Place::new(), log, name: "counting".to_owned() };
        counting.prepare(store, "counts")
    }

    fn on_kafka(name: &str, does: &str) -> Self {
        let log = vec!["--brokers".to_owned(), Broker::shared().address()];
        let counting = Self { place: Place::new(), log, name: name.to_owned() };
        counting.prepare("sled", does)
    }

    fn prepare(self, store: &str, does: &str) -> Self {
        self.place.write("process.wasm", guests::built("process"));
        let name = &self.name;
        let pipeline = format!(
            "format-version: 1\nname: {name}\nsources:\n  in: {{topic: {name}-in, create: {{partitions: 4}}}}\noperators:\n  \
             guest: {{plugin: ./process.wasm, from: in, settings: {{does: {does}, at: poison}}}}\nsinks:\n  out: {{topic: \
             {name}-out, create: {{partitions: 4}}, from: guest.out}}\n"
        );
        self.place.write("pipeline.yaml", pipeline);
        self.place.write("store", store);
        self
    }

    fn command(&self, arguments: &[&str]) -> Vec<String> {
        arguments.iter().map(|&argument| argument.to_owned()).chain(self.log.iter().cloned()).collect()
    }

    fn produce(&self, records: &[Value]) -> Ended {
        let lines: String = records.iter().fold(String::new(), |mut lines, record| {
            writeln!(lines, "{record}").unwrap();
            lines
        });
        self.produce_lines(&lines)
    }

    fn produce_lines(&self, lines: &str) -> Ended {
        let topic = format!("{}-in", self.name);
        self.place.run_with(self.command(&["produce", &topic, "--format", "jsonl"]), lines.as_bytes())
    }

    fn run(&self) -> Ended {
        let store = std::fs::read_to_string(self.place.path("store")).unwrap();
        let mut arguments = self.command(&["run", "pipeline.yaml", "--until-end", "--workers", "2", "--store", &store]);
        if self.log[0] == "--brokers" {
            arguments.extend(["--data-dir", "data"].map(str::to_owned));
        }
        self.place.run(arguments)
    }

    fn consumed(&self, topic: &str) -> Vec<Value> {
        let arguments = ["consume", topic, "--from-beginning", "--until-end", "--format", "jsonl"];
        let printed = self.place.run(self.command(&arguments)).ok();
        printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Keys and counts, sorted.
    fn counts(&self) -> Vec<(String, u8)> {
        let pair = |record: &Value| {
            let key = record["key"].as_str().unwrap();
            (key[..key.len().min(8)].to_owned(), record["value"].as_str().unwrap().as_bytes()[0])
        };
        let mut counts: Vec<_> = self.consumed(&format!("{}-out", self.name)).iter().map(pair).collect();
        counts.sort();
        counts
    }

    /// The reasons of the dead letters, sorted, and whether each came without its value.
    fn letters(&self) -> Vec<(String, bool)> {
        let letters = self.consumed(&format!("{}.dead-letters", self.name));
        let reason = |letter: &Value| letter["headers"]["wasmill-error-reason"].as_str().unwrap().to_owned();
        let cut = |letter: &Value| letter["headers"].get("wasmill-error-truncated").is_some();
        let mut letters: Vec<_> = letters.iter().map(|letter| (reason(letter), cut(letter))).collect();
        letters.sort();
        letters
    }
}

fn counted(counts: &[(&str, u8)]) -> Vec<(String, u8)> {
    counts.iter().map(|&(key, count)| (key.to_owned(), count)).collect()
}

#[test]
fn a_record_of_100_mb_is_a_dead_letter_without_its_value() {
    let counting = Counting::embedded("sled");
    let large = "x".repeat(100_000_000);
    let records = [json!({"key": "a", "value": "1"}), json!({"key": "a", "value": large}), json!({"key": "a"})];
    counting.produce(&records).ok();
    counting.run().ok();
    assert_eq!(counting.counts(), counted(&[("a", 1), ("a", 2)]));
    let letters = counting.letters();
    assert!(
        letters.len() == 1 && letters[0].0.starts_with("memory limit of 64 MiB reached") && letters[0].1,
        "{letters:?}"
    );
}

#[test]
fn a_record_of_100_mb_that_goes_straight_to_a_sink_is_a_dead_letter() {
    let counting = Counting::embedded("sled");
    let pipeline = std::fs::read_to_string(counting.place.path("pipeline.yaml")).unwrap();
    counting.place.write("pipeline.yaml", format!("{pipeline}  copy: {{topic: copy, from: in}}\n"));
    let large = "x".repeat(100_000_000);
    counting
        .produce(&[json!({"key": "a", "value": "1"}), json!({"key": "a", "value": large}), json!({"key": "b"})])
        .ok();
    counting.run().ok();
    let mut copied: Vec<_> = counting.consumed("copy").iter().map(|record| record["key"].clone()).collect();
    copied.sort_by_key(Value::to_string);
    assert_eq!(copied, ["a", "b"]);
    let letters = counting.letters();
    assert!(letters.iter().any(|(reason, cut)| reason.contains("passes the limit of 1000000") && *cut), "{letters:?}");
    assert_eq!(letters.len(), 2, "one for each reader: {letters:?}");
}

#[test]
fn a_record_of_100_mb_is_refused_on_kafka_with_its_number_and_the_limit() {
    let counting = Counting::on_kafka("huge", "counts");
    let large = "x".repeat(100_000_000);
    counting.produce(&[json!({"key": "a", "value": "1"}), json!({"key": "a", "value": large})]).failed(
        1,
        &[
            "append to huge-in: record 2 takes 100000101 bytes",
            "at most 1048588 (max.message.bytes); nothing was written",
        ],
    );
    assert!(counting.consumed("huge-in").is_empty());
}

#[test]
fn what_a_topic_of_kafka_takes_and_the_next_does_not_is_a_dead_letter() {
    let counting = Counting::on_kafka("wide", "counts");
    let admin: AdminClient<_> =
        ClientConfig::new().set("bootstrap.servers", Broker::shared().address()).create().unwrap();
    let topic = NewTopic::new("wide-in", 4, TopicReplication::Fixed(1)).set("max.message.bytes", "3000000");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(admin.create_topics(&[topic], &AdminOptions::new())).unwrap();
    let pipeline = std::fs::read_to_string(counting.place.path("pipeline.yaml")).unwrap();
    let copy = "  copy: {topic: wide-copy, create: {partitions: 4}, from: in}\n";
    counting.place.write("pipeline.yaml", pipeline + copy);
    // It does not get smaller when it is compressed.
    let mut random = 1_u64;
    let mut digit = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'!' + 3 + (random >> 40) as u8 % 80)
    };
    let large: String = (0..2_000_000).map(|_| digit()).collect();
    let key: String = (0..1_500_000).map(|_| digit()).collect();
    let (good, bad) = (json!({"key": "a", "value": "1"}), json!({"key": "a", "value": large}));
    counting.produce(&[good.clone(), bad, json!({"key": key, "value": "2"}), good]).ok();
    let ran = counting.run();
    assert!(!ran.stderr.contains("epoch was lost"), "{}", ran.stderr);
    ran.ok();
    let copied = counting.consumed("wide-copy");
    assert_eq!(copied.len(), 2, "{copied:?}");
    // The counter passes on the key alone, so the large value is nothing to it.
    let letters = counting.letters();
    assert!(letters.len() == 3 && letters.iter().all(|(_, cut)| *cut), "{letters:?}");
    assert_eq!(counting.counts(), counted(&[("a", 1), ("a", 2), ("a", 3)]));
}

#[test]
fn event_times_that_kafka_refuses_are_dead_letters() {
    for (does, says) in [("predates", "the event time -5 is before 1970"), ("postdates", "ahead of the clock")] {
        let counting = Counting::on_kafka(does, does);
        let (good, bad) = (json!({"key": "a", "value": "1"}), json!({"key": "a", "value": "poison"}));
        counting.produce(&[good.clone(), bad, good]).ok();
        let ran = counting.run();
        assert!(!ran.stderr.contains("epoch was lost"), "{}", ran.stderr);
        ran.ok();
        assert_eq!(counting.counts(), counted(&[("a", 1), ("a", 2)]));
        let letters = counting.letters();
        assert!(letters.len() == 1 && letters[0].0.contains(says), "{letters:?}");
    }
}

#[test]
fn a_record_with_a_million_headers_is_a_dead_letter_and_one_with_many_passes() {
    let counting = Counting::embedded("sled");
    let with = |count: usize| {
        let headers = (0..count).fold(String::new(), |mut headers, n| {
            write!(headers, "{}\"h{n}\":\"\"", if n == 0 { "" } else { "," }).unwrap();
            headers
        });
        format!("{{\"key\":\"a\",\"value\":\"{count}\",\"headers\":{{{headers}}}}}\n")
    };
    counting.produce_lines(&(with(1) + &with(1_000_000) + &with(10_000))).ok();
    counting.run().ok();
    let counts = counting.counts();
    let letters = counting.letters();
    assert_eq!((counts.len() + letters.len(), letters.len()), (3, usize::from(counts.len() == 2)), "{letters:?}");
    let source = counting.consumed("counting-in");
    let headers: Vec<_> = source.iter().map(|record| record["headers"].as_object().unwrap().len()).collect();
    assert_eq!(headers, [1, 1_000_000, 10_000], "all of them are in the log");
}

#[test]
fn json_however_deep_is_text_on_its_way() {
    let counting = Counting::embedded("sled");
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let line = |value: &str| format!("{{\"key\":\"a\",\"value\":{value},\"topic\":{value}}}\n");
    counting.produce_lines(&(line(&deep(1_000_000)) + &line(&deep(300_000)) + &line("1"))).ok();
    counting.run().ok();
    let (counts, letters) = (counting.counts(), counting.letters());
    assert_eq!((counts.len() + letters.len(), counts.last().unwrap().1), (3, 3 - letters.len() as u8), "{letters:?}");
    let headers = format!("{{\"headers\":{{\"h\":{}}}}}\n", deep(1_000_000));
    let ended = counting.produce_lines(&headers);
    assert!(matches!(ended.status, Some(0 | 1)), "it may be refused, but it ends: {:?}", ended.status);
}

#[test]
fn numbers_out_of_range_pass_as_text_and_times_are_refused_with_their_line() {
    let counting = Counting::embedded("sled");
    let large = "123456789012345678901234567890.5e400";
    counting
        .produce_lines(&format!("{{\"key\":{large},\"value\":{large},\"offset\":{large},\"partition\":-1}}\n"))
        .ok();
    let source = counting.consumed("counting-in");
    assert_eq!((&source[0]["key"], &source[0]["value"]), (&json!(large), &json!(large)));
    for time in ["-1", "9223372036854775808", "1e300", "\"now\"", "1.5"] {
        let lines = format!("{{\"value\":\"good\"}}\n{{\"value\":\"bad\",\"timestamp\":{time}}}\n");
        counting.produce_lines(&lines).failed(1, &["nothing was produced", "line 2: "]);
    }
    assert_eq!(counting.consumed("counting-in").len(), 1, "nothing of these was written");
    let latest = i64::MAX;
    counting.produce_lines(&format!("{{\"key\":\"a\",\"value\":\"1\",\"timestamp\":{latest}}}\n")).ok();
    counting.run().ok();
    assert_eq!(counting.counts(), counted(&[("12345678", 1), ("a", 1)]));
}

#[test]
fn keys_of_70_kb_are_counted_also_after_a_restart_where_the_store_takes_them() {
    for store in ["memory", "sled", "fjall"] {
        let counting = Counting::embedded(store);
        let keys = ["k", "l"].map(|letter| letter.repeat(70_000));
        let records: Vec<_> = keys.iter().map(|key| json!({"key": key, "value": "1"})).collect();
        for _ in 0..2 {
            counting.produce(&records).ok();
            counting.run().ok();
        }
        if store == "fjall" {
            let letters = counting.letters();
            let says = "a key and field of 70000 bytes pass the 65471 that this store takes";
            assert!(letters.len() == 4 && letters.iter().all(|(reason, _)| reason.starts_with(says)), "{letters:?}");
            assert!(counting.counts().is_empty());
            continue;
        }
        let expected = counted(&[("kkkkkkkk", 1), ("kkkkkkkk", 2), ("llllllll", 1), ("llllllll", 2)]);
        assert_eq!(counting.counts(), expected, "{store}");
        assert!(counting.letters().is_empty(), "{store}");
    }
}
