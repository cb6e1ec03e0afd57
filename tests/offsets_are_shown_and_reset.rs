//! `wasmill offsets`, by the built binary: where a stopped pipeline stands, and how it is moved.

use std::collections::BTreeMap;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value;

use crate::support::command::{Place, repository};
use crate::support::kafka::Broker;
use crate::support::words;

const PARTITIONS: usize = 4;

/// A pipeline on the embedded log, or on the broker that tests share.
struct Stopped {
    place: Place,
    name: &'static str,
    kafka: bool,
    text: String,
}

impl Stopped {
    /// Word count over 4 partitions, or lines that only pass where `stateless`.
    fn new(name: &'static str, kafka: bool, stateless: bool) -> Self {
        let place = Place::new();
        let example = repository().join("examples/word-count");
        let count = example.join("count");
        let (count, last) = if stateless {
            (String::new(), "split")
        } else {
            (format!("  count: {{plugin: {}, from: split}}\n", count.display()), "count")
        };
        let pipeline = format!(
            "format-version: 1\nname: {name}\nsources:\n  lines: {{topic: {name}-lines, create: {{partitions: 4}}}}\n\
             operators:\n  split: {{plugin: {split}, from: lines}}\n{count}\
             sinks:\n  out: {{topic: {name}-out, create: {{partitions: 4}}, from: {last}}}\n",
            split = example.join("split").display()
        );
        place.write("pipeline.yaml", pipeline);
        Self { place, name, kafka, text: String::new() }
    }

    fn log(&self) -> Vec<String> {
        let log = if self.kafka {
            ["--brokers".into(), Broker::shared().address()]
        } else {
            ["--data-dir".into(), "data".into()]
        };
        log.to_vec()
    }

    fn run(&self) {
        let run = ["run", "pipeline.yaml", "--until-end", "--workers", "2"].map(str::to_owned).to_vec();
        let data = if self.kafka { vec!["--data-dir".to_owned(), "data".to_owned()] } else { Vec::new() };
        self.place.run([run, self.log(), data].concat()).ok();
    }

    /// Feeds some lines and processes them.
    fn feed(&mut self, seed: u64) {
        let text = words::lines(1_000, seed);
        let topic = format!("{}-lines", self.name);
        let produce = ["produce", &topic, "--partitions", "4"].map(str::to_owned).to_vec();
        self.place.run_with([produce, self.log()].concat(), text.as_bytes()).ok();
        self.text.push_str(&text);
        self.run();
    }

    fn offsets(&self, more: &[&str]) -> crate::support::command::Ended {
        let offsets = ["offsets", "pipeline.yaml"].iter().chain(more).map(|&part| part.to_owned()).collect::<Vec<_>>();
        self.place.run([offsets, self.log()].concat())
    }

    /// Next, end and epoch by topic and partition.
    fn standings(&self) -> BTreeMap<(String, u64), [i64; 3]> {
        let printed = self.offsets(&["--output", "json"]).ok();
        let lines: Vec<Value> = serde_json::from_str(&printed).unwrap();
        let number = |line: &Value, name: &str| line[name].as_i64().unwrap();
        let of = |line: &Value| {
            let place = (line["topic"].as_str().unwrap().to_owned(), line["partition"].as_u64().unwrap());
            (place, ["next", "end", "epoch"].map(|name| number(line, name)))
        };
        lines.iter().map(of).collect()
    }

    /// Has it go on from its changelog, and its source where that stood.
    fn repair(&self, before: &BTreeMap<(String, u64), [i64; 3]>) {
        let next = |partition| before[&(format!("{}-lines", self.name), partition)][0];
        let resets = (0..PARTITIONS as u64).map(|partition| format!("lines/{partition}={}", next(partition)));
        let resets: Vec<_> = resets.flat_map(|reset| ["--reset".to_owned(), reset]).collect();
        let arguments = ["--from-changelog"].into_iter().chain(resets.iter().map(String::as_str));
        self.offsets(&arguments.collect::<Vec<_>>()).ok();
    }

    /// What is in the sink.
    fn out(&self) -> Vec<Value> {
        let topic = format!("{}-out", self.name);
        if self.kafka {
            Broker::shared().settle(&topic);
            return Broker::shared().read(&[&topic]);
        }
        let consume = ["consume", &topic, "--from-beginning", "--until-end", "--format", "jsonl"];
        let printed = self.place.run(consume.map(str::to_owned).into_iter().chain(self.log())).ok();
        printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What a stateful one has counted, each run from the beginning by itself.
    fn counts(&self, runs: usize) {
        let records = self.out();
        let pairs = records.iter().map(|record| (record["key"].as_str().unwrap(), record["value"].as_str().unwrap()));
        let mut by_word: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        pairs.for_each(|(word, count)| by_word.entry(word).or_default().push(count));
        for (word, count) in words::count(&self.text) {
            let once: Vec<_> = (1..=count).map(|count| count.to_string()).collect();
            assert_eq!(by_word.remove(word.as_str()).unwrap(), vec![once; runs].concat(), "{word}");
        }
        assert!(by_word.is_empty());
    }
}

/// 4 partitions, 2 stages, 1,000 lines: reset to the beginning with its state dropped, it counts all of it again from 1,
/// and a store that knows the counts from before is no matter.
#[track_caller]
fn a_reset_counts_anew(name: &'static str, kafka: bool) {
    let mut stopped = Stopped::new(name, kafka, false);
    stopped.feed(1);
    let before = stopped.standings();
    assert_eq!(before.len(), 2 * PARTITIONS);
    // The markers of its own transactions may stand behind the last record of a partition on Kafka.
    let markers = if kafka { 4 } else { 0 };
    let stands = |[next, end, epoch]: &[i64; 3]| (end - markers..=*end).contains(next) && *epoch > 0;
    assert!(before.values().all(stands), "{before:?}");
    stopped.offsets(&["--reset", "earliest"]).failed(1, &["what is read again would count twice, for count remembers"]);
    assert_eq!(stopped.standings(), before, "nothing moved");
    stopped.offsets(&["--reset", "earliest", "--drop-state"]).ok();
    for ((topic, partition), [next, end, epoch]) in stopped.standings() {
        let [_, _, was] = before[&(topic.clone(), partition)];
        assert_eq!(epoch, was + 1, "a reset is an epoch of its own");
        assert_eq!(next, if topic == format!("{name}-lines") { 0 } else { end }, "{topic}/{partition}");
    }
    stopped.run();
    stopped.counts(2);
}

#[test]
fn a_reset_counts_anew_on_the_embedded_log() {
    a_reset_counts_anew("moved", false);
}

#[test]
fn a_reset_counts_anew_on_kafka() {
    a_reset_counts_anew("moved-k", true);
}

/// 4 partitions, no state: one partition is read again from an offset, another passes over what is there.
#[test]
fn partitions_are_moved_one_by_one() {
    let mut stopped = Stopped::new("single", false, true);
    stopped.feed(2);
    let before = stopped.out().len();
    let at = |partition| ("single-lines".to_owned(), partition);
    let end = stopped.standings()[&at(2)][1];
    let again = format!("lines/2={}", end - 1);
    stopped.offsets(&["--reset", &again, "--reset", "single-lines/3=earliest", "--reset", "lines/3=latest"]).ok();
    let standings = stopped.standings();
    assert_eq!(standings[&at(2)][0], end - 1);
    assert_eq!(standings[&at(3)][0], standings[&at(3)][1]);
    stopped.run();
    let words = stopped.text.lines().last().map_or(0, |line| line.split_whitespace().count());
    assert!((1..=40).contains(&(stopped.out().len() - before)), "one line was read again, of some {words} words");
    stopped.offsets(&["--reset", "lines/2=999999"]).failed(1, &["single-lines/2: it holds offsets 0 to"]);
    stopped.offsets(&["--reset", "line=earliest"]).failed(1, &["no source is named by line", "single-lines/0"]);
    stopped.offsets(&["--reset", "lines=17"]).failed(2, &["an offset is for one partition"]);
    stopped.offsets(&["--drop-state"]).failed(2, &["--reset"]);
}

/// 4 partitions: one that runs is not reset.
#[test]
fn a_pipeline_that_runs_is_not_reset() {
    let mut stopped = Stopped::new("busy", true, false);
    stopped.offsets(&[]).failed(1, &["pipeline busy has not run on this log: there is no topic"]);
    stopped.feed(3);
    let run = ["run", "pipeline.yaml", "--data-dir", "data"].map(str::to_owned).to_vec();
    let node = crate::support::fleet::Node::start(stopped.place.command([run, stopped.log()].concat()));
    node.until("all tasks", |said| said.tasks.len() == 2 * PARTITIONS);
    let refused = stopped.offsets(&["--reset", "latest", "--drop-state"]);
    refused.failed(1, &["reset busy: it runs, or has stopped with --stay", "stop the node at 127.0.0.1"]);
    node.stop();
    stopped.offsets(&["--reset", "latest", "--drop-state"]).ok();
}

/// Commits offsets of a group's topic, as tools that reset offsets do.
fn commit_by_hand(group: &str, topic: &str, offset: i64) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", Broker::shared().address()).set("group.id", group);
    let consumer: BaseConsumer = config.create().unwrap();
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS as i32 {
        list.add_partition_offset(topic, partition, Offset::Offset(offset)).unwrap();
    }
    consumer.commit(&list, CommitMode::Sync).unwrap();
}

/// 4 partitions, 2 stages, sled: the rows of both stages are overwritten by hand. The pipeline is refused, and so is a
/// repair that would have to guess; then it goes on where it was, and counts on.
#[test]
fn rows_that_were_overwritten_are_repaired_from_the_changelog() {
    let mut stopped = Stopped::new("mended", true, false);
    stopped.feed(4);
    let before = stopped.standings();
    commit_by_hand("wasmill.mended", "wasmill.mended.count-tasks", 0);
    let run = ["run", "pipeline.yaml", "--until-end", "--data-dir", "data"].map(str::to_owned).to_vec();
    let refused = stopped.place.run([run, stopped.log()].concat());
    refused.failed(1, &["committed by something else than wasmill", "wasmill offsets PIPELINE --from-changelog"]);
    stopped.offsets(&[]).failed(1, &["committed by something else than wasmill"]);
    stopped.offsets(&["--from-changelog"]).ok();
    for (place, [next, _, epoch]) in stopped.standings() {
        let [was, _, last] = before[&place];
        let is_keyed = place.0.ends_with("-repartition");
        assert!(next == was && epoch == if is_keyed { last + 1 } else { last }, "{place:?}: {next} {epoch} {before:?}");
    }
    commit_by_hand("wasmill.mended", "wasmill.mended.lines-tasks", 7);
    let guess = stopped.offsets(&["--from-changelog"]);
    guess.failed(1, &["the offset of mended-lines/0 is lost, and no changelog knows it", "--reset lines/0=OFFSET"]);
    stopped.repair(&before);
    stopped.feed(5);
    stopped.counts(1);
}

/// 4 partitions, 2 stages: the group is gone, as after it was not run for long. Nothing is claimed, so that a repair still
/// knows what is lost, and asks for it; then it counts on.
#[test]
fn a_group_that_is_gone_is_told_before_anything_is_claimed() {
    let mut stopped = Stopped::new("expired", true, false);
    stopped.feed(6);
    let before = stopped.standings();
    wasmill::kafka::admin::forget(&Broker::shared().client(), "wasmill.expired", &[]).unwrap();
    let run = ["run", "pipeline.yaml", "--until-end", "--data-dir", "data"].map(str::to_owned).to_vec();
    let refused = stopped.place.run([run, stopped.log()].concat());
    refused
        .failed(1, &["its row in group wasmill.expired is gone, but wasmill.expired.count-changelog has rows of it"]);
    stopped
        .offsets(&["--from-changelog"])
        .failed(1, &["the offset of expired-lines/0 is lost, and no changelog knows it"]);
    stopped.repair(&before);
    stopped.feed(7);
    stopped.counts(1);
}
