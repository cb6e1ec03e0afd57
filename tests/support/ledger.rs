//! A pipeline on Kafka whose every output can be told from its input, and a check of all that it leaves there.
//!
//! Entries with an account as key are copied, numbered and summed up by account, a plugin sets an alarm for each, and they
//! are summed up by shop, which another stage does behind a repartition topic.

mod audit;
mod feeder;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use wasmill::kafka::admin::{self, Kind, NewTopic};
use wasmill::kafka::{Client, Properties};

pub(crate) use self::audit::Audit;
pub(crate) use self::feeder::Flow;
use self::feeder::{Book, feed};
use super::command::Place;
use super::fleet::Node;
use super::kafka::{ask, read};
use crate::guests;

const PLUGIN: &str = "process.wasm";

/// Partitions of all topics, so that two stages make twice as many tasks.
const PARTITIONS: u32 = 8;

/// Its tasks.
pub(crate) const TASKS: usize = 2 * PARTITIONS as usize;

/// The pipeline, its topics, and what was put into them.
pub(crate) struct Ledger {
    pub(crate) place: Place,
    name: String,
    brokers: String,
    store: &'static str,
    book: Arc<Mutex<Book>>,
}

impl Ledger {
    /// Makes the topic of its entries on the cluster of some brokers.
    pub(crate) fn new(name: &str, brokers: &str) -> Self {
        let place = Place::new();
        let mut pipeline = format!(
            "format-version: 1\nname: {name}\ncommit: {{interval: 50ms}}\n\
             sources:\n  entries: {{topic: {name}-entries, time: {{out-of-order: {OUT_OF_ORDER}ms}}}}\n\
             operators:\n  numbers: {{use: count, from: entries}}\n  balances: {{use: sum, field: amount, from: entries}}\n\
             \x20 alarms: {{plugin: ./{PLUGIN}, settings: {{does: reminds}}, from: entries}}\n\
             \x20 shops: {{use: sum, field: amount, key: /shop, from: entries}}\nsinks:\n"
        );
        for (sink, from) in SINKS {
            let topic = format!("{name}-{sink}");
            writeln!(pipeline, "  {sink}: {{topic: {topic}, create: {{partitions: {PARTITIONS}}}, from: {from}}}")
                .expect("a line");
        }
        place.write("pipeline.yaml", pipeline);
        place.write(PLUGIN, guests::built("process"));
        let client = Client::new(brokers, Properties::default());
        let entries = NewTopic::new(format!("{name}-entries"), PARTITIONS, Kind::Plain);
        admin::create(&client, &[entries]).expect("the topic of entries");
        Self { place, name: name.to_owned(), brokers: brokers.to_owned(), store: "sled", book: Arc::default() }
    }

    /// Puts another build of its plugin in the place of the one that is there, for nodes that are started from now on.
    pub(crate) fn change_plugin(&self) {
        // An empty section without a name, which means nothing.
        const SECTION: [u8; 3] = [0, 1, 0];
        let plugin = fs::read(self.place.path(PLUGIN)).expect("the plugin");
        let next = self.place.path("next.wasm");
        fs::write(&next, [plugin.as_slice(), &SECTION].concat()).expect("another plugin");
        fs::rename(next, self.place.path(PLUGIN)).expect("it takes the place of the plugin");
    }

    /// The same with another store.
    pub(crate) fn with_store(self, store: &'static str) -> Self {
        Self { store, ..self }
    }

    /// The pipeline's group.
    pub(crate) fn group(&self) -> String {
        format!("wasmill.{}", self.name)
    }

    /// A topic that users see: `entries` or a sink.
    pub(crate) fn topic(&self, name: &str) -> String {
        format!("{}-{name}", self.name)
    }

    /// A topic of the pipeline's own.
    pub(crate) fn own(&self, name: &str) -> String {
        format!("wasmill.{}.{name}", self.name)
    }

    /// All topics of the pipeline's own.
    pub(crate) fn own_topics(&self) -> Vec<String> {
        let names = ["entries-tasks", "shops-tasks", "shops-repartition"].into_iter().chain(CHANGELOGS);
        names.map(|name| self.own(name)).collect()
    }

    /// Where each partition of the changelogs ends now.
    pub(crate) fn ends(&self) -> Ends {
        let changelogs = CHANGELOGS.map(|changelog| self.own(changelog));
        let ends = ask("ends", &self.brokers, &changelogs.each_ref().map(String::as_str));
        ends.iter().map(|end| (place(end), end["end"].as_u64().expect("an end"))).collect()
    }

    /// Offsets in the changelogs of each task now.
    pub(crate) fn changes_by_task(&self) -> BTreeMap<String, u64> {
        self.by_task(self.ends())
    }

    /// Records in the changelogs of each task now.
    pub(crate) fn rows_by_task(&self) -> BTreeMap<String, u64> {
        self.rows_by_task_since(&Ends::new())
    }

    /// The same of the partitions that had ended elsewhere.
    pub(crate) fn rows_by_task_since(&self, before: &Ends) -> BTreeMap<String, u64> {
        let changelogs = CHANGELOGS.map(|changelog| self.own(changelog));
        let records = read(&self.brokers, &changelogs.each_ref().map(String::as_str));
        let (places, now) = (records.iter().map(place), self.ends());
        self.by_task(places.filter(|place| before.get(place) != now.get(place)).map(|place| (place, 1)))
    }

    /// Has the brokers keep deletions in the changelogs for so long at least.
    pub(crate) fn keep_deletions(&self, millis: u64) {
        let changelogs = CHANGELOGS.map(|changelog| self.own(changelog));
        let setting = ["delete.retention.ms", &millis.to_string()];
        ask("set", &self.brokers, &[&setting[..], &changelogs.each_ref().map(String::as_str)].concat());
    }

    fn by_task(&self, counts: impl IntoIterator<Item = ((String, u64), u64)>) -> BTreeMap<String, u64> {
        let mut tasks = BTreeMap::new();
        for ((topic, partition), count) in counts {
            let stage = usize::from(topic == self.own(SHOPS));
            *tasks.entry(format!("{stage}/{partition}")).or_default() += count;
        }
        tasks
    }

    /// Appends so many entries.
    pub(crate) fn feed(&self, entries: usize) {
        feed(&self.brokers, &self.topic("entries"), &self.book, entries);
    }

    /// Appends entries all the time, some hundred a second.
    pub(crate) fn flow(&self) -> Flow {
        Flow::start(self.brokers.clone(), self.topic("entries"), Arc::clone(&self.book))
    }

    /// What the command is called with to run it, with a data directory.
    pub(crate) fn arguments(&self, data: &str, brokers: &str) -> Vec<String> {
        let arguments = format!(
            "run pipeline.yaml --data-dir {data} --workers 2 --store {} --session-timeout 15s --brokers {brokers}",
            self.store
        );
        arguments.split(' ').map(str::to_owned).collect()
    }

    /// Starts a node of two workers with a data directory.
    pub(crate) fn node(&self, data: &str) -> Node {
        self.node_with(data, &[])
    }

    /// The same with more options.
    pub(crate) fn node_with(&self, data: &str, options: &[&str]) -> Node {
        self.node_through(data, &self.brokers, options)
    }

    /// The same, which reaches the brokers elsewhere.
    pub(crate) fn node_through(&self, data: &str, brokers: &str, options: &[&str]) -> Node {
        let more = options.iter().map(|&option| option.to_owned());
        Node::start(self.place.command(self.arguments(data, brokers).into_iter().chain(more)))
    }

    /// Does what is left to do, with a data directory.
    #[track_caller]
    pub(crate) fn finish(&self, data: &str) -> String {
        let mut arguments = self.arguments(data, &self.brokers);
        arguments.push("--until-end".into());
        let ended = self.place.run(arguments);
        assert_eq!(ended.status, Some(0), "{}{}", ended.stdout, ended.stderr);
        ended.stderr
    }

    /// Does what is left to do with one more node, and checks all that kafka-clients reads.
    #[track_caller]
    pub(crate) fn check(&self) -> Audit {
        let data = "last";
        let told = self.finish(data);
        let entries = self.book.lock().expect("the book").entries();
        Audit::of(self, entries, data, &told)
    }
}

/// How much older than others entries may be without being late, in milliseconds; some are older.
const OUT_OF_ORDER: i64 = 50;

/// The sinks, and what they write down.
const SINKS: [(&str, &str); 5] = [
    ("copies", "entries"),
    ("numbered", "numbers"),
    ("balanced", "balances"),
    ("turnovers", "shops"),
    ("alarms", "alarms.out"),
];

/// The operators, each with its stage.
const OPERATORS: [(&str, &str); 4] =
    [("entries", "numbers"), ("entries", "balances"), ("entries", "alarms"), ("shops", "shops")];

/// The changelog of the second stage.
const SHOPS: &str = "shops-changelog";

/// The changelog with the timers.
const ALARMS: &str = "alarms-changelog";

/// The changelogs: those of numbers in the order of the sinks but the first.
const CHANGELOGS: [&str; 4] = ["numbers-changelog", "balances-changelog", SHOPS, ALARMS];

/// Where each partition of topics ends.
pub(crate) type Ends = BTreeMap<(String, u64), u64>;

fn place(of: &Value) -> (String, u64) {
    (of["topic"].as_str().expect("a topic").to_owned(), of["partition"].as_u64().expect("a partition"))
}
