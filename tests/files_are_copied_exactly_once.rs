//! The lines of a file come through a topic into another file, each once, whatever is killed.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::command::{Place, repository};
use crate::support::kafka::Broker;
use crate::support::lives::{End, live};

/// Lines that a life finds.
const LINES: usize = 3_000;

/// A file that is copied through a topic.
struct Copied {
    place: Place,
    brokers: Option<String>,
    topic: String,
    text: String,
    lines: usize,
    files: usize,
}

impl Copied {
    fn new(topic: &str, brokers: Option<String>) -> Self {
        let place = Place::new();
        let create = "create: {partitions: 1}";
        place.write(
            "source.yaml",
            format!(
                "format-version: 1\nname: {topic}-source\ncommit: {{interval: 20ms}}\n\
                 sources: {{lines: {{file: {{path: in.txt, follow: true}}}}}}\n\
                 sinks: {{topic: {{topic: {topic}, from: lines, {create}}}}}\n"
            ),
        );
        place.write(
            "sink.yaml",
            format!(
                "format-version: 1\nname: {topic}-sink\ncommit: {{interval: 20ms}}\n\
                 sources: {{topic: {{topic: {topic}, {create}}}}}\nsinks: {{lines: {{file: out.txt, from: topic}}}}\n"
            ),
        );
        Self { place, brokers, topic: topic.into(), text: String::new(), lines: 0, files: 0 }
    }

    fn arguments(&self) -> Vec<String> {
        let arguments = "run source.yaml sink.yaml --until-end --data-dir data --workers 2 --store sled";
        let mut arguments: Vec<_> = arguments.split(' ').map(str::to_owned).collect();
        if let Some(brokers) = &self.brokers {
            arguments.extend(["--session-timeout", "15s", "--brokers", brokers].map(str::to_owned));
        }
        arguments
    }

    fn append(&mut self, lines: usize) {
        let numbers = self.lines..self.lines + lines;
        let text = numbers.map(|line| format!("line {line} {}\n", "x".repeat(line % 97))).collect::<Vec<_>>().concat();
        self.lines += lines;
        append(&self.place.path("in.txt"), &text);
        self.text.push_str(&text);
    }

    /// As logrotate does: another name for the file, and a new one at the path.
    fn rotate(&mut self) {
        self.files += 1;
        fs::rename(self.place.path("in.txt"), self.place.path(&format!("in.txt.{}", self.files))).unwrap();
    }

    /// Whether the file is ahead of what is recorded of it.
    fn is_ahead(&self) -> bool {
        let recorded = self.place.path(&format!("data/files/wasmill.{}-sink.lines-file", self.topic));
        let Ok(recorded) = fs::read(recorded) else { return false };
        let recorded: Value = serde_json::from_slice(&recorded).unwrap();
        let length = fs::metadata(self.place.path("out.txt")).unwrap().len();
        assert!(recorded["length"].as_u64().unwrap() <= length);
        recorded["length"].as_u64().unwrap() < length
    }

    #[track_caller]
    fn check(&self) {
        let copied = fs::read_to_string(self.place.path("out.txt")).unwrap();
        let differs = self.text.lines().zip(copied.lines()).position(|(expected, got)| expected != got);
        assert!(copied == self.text, "{} of {} bytes, line {differs:?} differs", copied.len(), self.text.len());
    }

    /// Lives that are killed at odd moments, while the file grows and is rotated.
    fn kill(&mut self, times: usize) {
        let (mut kills, mut open, mut ahead, mut seed) = (0, 0, 0, 0x9e37_79b9_u64);
        self.append(LINES);
        while kills < times {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (commits, moment) = (1 + (seed >> 40) as usize % 4, Duration::from_micros((seed >> 20) % 30_000));
            match live(self.place.command(self.arguments()), commits, moment) {
                End::Killed { open: epochs } => {
                    kills += 1;
                    open += usize::from(epochs > 0);
                    ahead += usize::from(self.is_ahead());
                }
                End::Done => self.check(),
            }
            if kills % 5 == 4 {
                // What nobody has read yet of the old one is read first. Of several only one is found.
                self.place.run(self.arguments()).ok();
                self.append(LINES / 3);
                self.rotate();
            }
            self.append(LINES);
        }
        self.place.run(self.arguments()).ok();
        self.check();
        println!(
            "{kills} kills, {open} with an open epoch, {ahead} with a file ahead of what was recorded, {} lines, {} rotations",
            self.lines, self.files
        );
    }
}

fn append(path: &Path, text: &str) {
    OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

/// At least 3,000 lines a life, 2 workers, sled; 24 kills; the file is rotated between some of them.
#[test]
fn a_file_is_copied_once_on_the_embedded_log_over_24_kills() {
    Copied::new("killed-copy", None).kill(24);
}

/// The same on Apache Kafka with 6 kills.
#[test]
fn a_file_is_copied_once_on_kafka_over_6_kills() {
    Copied::new("killed-copy", Some(Broker::shared().address())).kill(6);
}

/// Waits until a file has this text. Answers how long it took.
fn wait_for(path: &Path, text: &str) -> Duration {
    let begun = Instant::now();
    while fs::read_to_string(path).unwrap_or_default() != text {
        assert!(begun.elapsed() < Duration::from_mins(2), "{:?}", fs::read_to_string(path));
        std::thread::yield_now();
    }
    begun.elapsed()
}

/// Appends lines while it runs, then rotates the file, then cuts it off.
fn append_and_wait(copied: &Copied) -> Vec<Duration> {
    let arguments: Vec<_> = copied.arguments().into_iter().filter(|argument| argument != "--until-end").collect();
    let mut running = copied.place.command(arguments).spawn().unwrap();
    let (from, to) = (copied.place.path("in.txt"), copied.place.path("out.txt"));
    let mut text = "waited for\n".to_owned();
    append(&from, &text);
    wait_for(&to, &text);
    let mut took = Vec::new();
    for line in ["one\n", "two\n", "three\n", "four\n", "five\n"] {
        append(&from, line);
        text.push_str(line);
        took.push(wait_for(&to, &text));
    }
    // Rotated, then cut off, while it runs.
    fs::rename(&from, copied.place.path("in.txt.1")).unwrap();
    append(&copied.place.path("in.txt.1"), "last of the old\n");
    append(&from, "first of the new\n");
    text.push_str("last of the old\nfirst of the new\n");
    wait_for(&to, &text);
    fs::write(&from, "").unwrap();
    append(&from, "anew\n");
    text.push_str("anew\n");
    wait_for(&to, &text);
    running.kill().unwrap();
    running.wait().unwrap();
    println!("{took:?}");
    took
}

/// Two commits of 20 ms each and a look every 20 ms; the rest is for a busy machine.
#[test]
fn a_line_is_in_the_other_file_at_once() {
    let took = append_and_wait(&Copied::new("at-once", None));
    assert!(took.iter().min().unwrap() < &Duration::from_millis(200), "{took:?}");
}

/// The same, with two transactions.
#[test]
fn a_line_is_in_the_other_file_at_once_on_kafka() {
    let took = append_and_wait(&Copied::new("at-once", Some(Broker::shared().address())));
    assert!(took.iter().min().unwrap() < &Duration::from_secs(1), "{took:?}");
}

/// A file has one partition and the topic four; 2 workers.
#[test]
fn a_file_and_a_topic_are_read_as_one() {
    let place = Place::new();
    place.write(
        "pipeline.yaml",
        "format-version: 1\nname: union\nsources:\n  lines: {file: in.txt}\n  \
         orders: {topic: orders, create: {partitions: 4}}\nsinks: {all: {file: out.txt, from: [lines, orders]}}\n",
    );
    let lines = |prefix: &str| (0..1_000).map(|line| format!("{prefix} {line:03}\n")).collect::<Vec<_>>().concat();
    place.write("in.txt", lines("file"));
    place.write("orders.txt", lines("topic"));
    let arguments = ["run", "pipeline.yaml", "--until-end", "--data-dir", "data", "--workers", "2"];
    place.run([&arguments[..], &["--feed", "orders=orders.txt"]].concat()).ok();
    let copied = fs::read_to_string(place.path("out.txt")).unwrap();
    let mut got: Vec<_> = copied.lines().collect();
    let of_file: Vec<_> = got.iter().copied().filter(|line| line.starts_with("file")).collect();
    assert!(of_file.is_sorted() && of_file.len() == 1_000, "the lines of the file stay in their order");
    got.sort_unstable();
    let expected = lines("file") + &lines("topic");
    assert_eq!(got, expected.lines().collect::<Vec<_>>());
}

#[test]
fn the_quick_start_of_kafka_connect_needs_no_code() {
    let place = Place::new();
    let example = repository().join("examples/file-copy");
    for file in ["source.yaml", "sink.yaml", "test.txt"] {
        place.write(file, fs::read(example.join(file)).unwrap());
    }
    let arguments = ["run", "source.yaml", "sink.yaml", "--until-end", "--data-dir", "data"];
    place.run(arguments).ok();
    assert_eq!(fs::read_to_string(place.path("test.sink.txt")).unwrap(), "hello\nworld\n");
    let consumed = ["consume", "connect-test", "--data-dir", "data", "--from-beginning", "--until-end"];
    assert_eq!(
        place.run(consumed).ok(),
        "{\"schema\":{\"type\":\"string\",\"optional\":false},\"payload\":\"hello\"}\n\
         {\"schema\":{\"type\":\"string\",\"optional\":false},\"payload\":\"world\"}\n"
    );
    append(&place.path("test.txt"), "another\n");
    place.run(arguments).ok();
    assert_eq!(fs::read_to_string(place.path("test.sink.txt")).unwrap(), "hello\nworld\nanother\n");
    place.write("transformed.yaml", fs::read(example.join("transformed.yaml")).unwrap());
    place.run(["run", "transformed.yaml", "--until-end", "--data-dir", "other"]).ok();
    let consumed = ["consume", "connect-test", "--data-dir", "other", "--from-beginning", "--until-end"];
    assert_eq!(
        place.run(consumed).ok(),
        "{\"line\":\"hello\",\"data_source\":\"test-file-source\"}\n\
         {\"line\":\"world\",\"data_source\":\"test-file-source\"}\n\
         {\"line\":\"another\",\"data_source\":\"test-file-source\"}\n"
    );
    // Started over, it takes back what it wrote.
    place.run([&arguments[..], &["--fresh"]].concat()).ok();
    assert_eq!(fs::read_to_string(place.path("test.sink.txt")).unwrap(), "hello\nworld\nanother\n");
}
