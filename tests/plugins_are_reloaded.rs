//! Plugins that are replaced while their pipeline runs.

use std::fs;

use crate::support::command::{Place, repository};
use crate::support::fleet::{Node, Said, await_shares};
use crate::support::kafka::Broker;
use crate::support::ledger::{Ledger, TASKS};
use crate::support::projects::{begin, run};

const WORKERS: usize = 2;

/// Has a node go on with the plugins that are there.
#[track_caller]
fn reload(node: &Node) {
    let before = node.said().reloads();
    node.signal("HUP");
    node.until("a reload", |said| said.reloads() == before + WORKERS);
}

/// Asks a node for a reload, and waits until so many lines of what it says then have this.
#[track_caller]
fn tells(node: &Node, times: usize, what: &str) {
    let before = node.said().lines.len();
    node.signal("HUP");
    let is_told = |said: &Said| said.lines.iter().skip(before).filter(|line| line.contains(what)).count() == times;
    node.until(what, is_told);
}

#[track_caller]
fn changed(source: &str, from: &str, to: &str) -> String {
    assert!(source.contains(from), "{from:?} is not in:\n{source}");
    source.replace(from, to)
}

/// The source of an operator that declares something more when it is opened.
#[track_caller]
fn declaring(source: &str, what: &str) -> String {
    let open = format!(
        "struct Operator;\n\nimpl wasmill_sdk::Open for Operator {{\n    \
         fn open(setup: &mut wasmill_sdk::Setup) -> Result<Self> {{\n        {what}\n        Ok(Self)\n    }}\n}}"
    );
    changed(source, "#[derive(Default)]\nstruct Operator;", &open)
}

/// 2 nodes of 2 workers, 8 partitions, two stages, sled: the plugin is replaced five times on each while entries come. No epoch
/// is lost, no task moves, and what it remembers and the timers that it has set are the next version's.
#[test]
fn a_plugin_is_replaced_under_load_and_nothing_is_lost_or_repeated() {
    let ledger = Ledger::new("reloaded", &Broker::shared().address());
    ledger.feed(500);
    let nodes = ["node-0", "node-1"].map(|name| ledger.node_with(name, &["--reload-on-hangup"]));
    let flow = ledger.flow();
    await_shares(&nodes.each_ref(), TASKS);
    let before = nodes.each_ref().map(Node::said);
    for _ in 0..5 {
        ledger.change_plugin();
        for node in &nodes {
            reload(node);
            let since = node.said();
            node.until("commits since", |said| said.went_on(&since, 3));
        }
    }
    for (node, before) in nodes.iter().zip(before) {
        let said = node.said();
        assert_eq!((said.moves, said.aborted), (before.moves, before.aborted), "{}", said.lines.join("\n"));
    }
    flow.end();
    nodes.into_iter().for_each(|node| _ = node.stop());
    println!("{}", ledger.check());
}

/// The text of a source whose transformer says another thing of the same record from the next reload on.
struct Spoken(Place);

impl Spoken {
    const SOURCE: &str = "words/src/lib.rs";

    fn new() -> Self {
        let spoken = Self(begin("words", "transform"));
        spoken.build(&fs::read_to_string(spoken.0.path(Self::SOURCE)).unwrap());
        spoken.0.write(
            "pipeline.yaml",
            "format-version: 1\nname: spoken\nsources:\n  words: {topic: words, create: {partitions: 4}}\n\
             operators:\n  say: {plugin: ./say.wasm, from: words}\nsinks:\n  said: {topic: said, from: say}\n",
        );
        spoken
    }

    /// Puts the plugin of a source in the place of the one that is there.
    fn build(&self, source: &str) {
        self.0.write(Self::SOURCE, source);
        run(&self.0, &["build", "words", "--out", "next.wasm"]).ok();
        self.put(&fs::read(self.0.path("next.wasm")).unwrap());
    }

    fn put(&self, plugin: &[u8]) {
        self.0.write("put.wasm", plugin);
        fs::rename(self.0.path("put.wasm"), self.0.path("say.wasm")).unwrap();
    }

    fn produce(&self, words: &str) {
        self.0.run_with(["produce", "words", "--data-dir", "data"], words.as_bytes()).ok();
    }

    /// So many words that were said.
    fn said(&self, count: &str) -> Vec<String> {
        let consume = ["consume", "said", "--data-dir", "data", "--from-beginning", "--max-messages", count];
        let mut words: Vec<_> = self.0.run(consume).ok().lines().map(str::to_owned).collect();
        words.sort();
        words
    }
}

/// 4 partitions, 2 workers, sled, the embedded log: another version of a plugin has the records behind the reload; what is no
/// plugin, or does not fit, is told and changes nothing.
#[test]
fn the_next_version_has_the_next_records_and_what_does_not_fit_changes_nothing() {
    let spoken = Spoken::new();
    let arguments = ["run", "pipeline.yaml", "--data-dir", "data", "--workers", "2", "--reload-on-hangup"];
    let node = Node::start(spoken.0.command(arguments));
    node.until("its start", |said| said.says("running spoken"));
    spoken.produce("One\nTwo\nThree\n");
    assert_eq!(spoken.said("3"), ["ONE", "THREE", "TWO"]);

    let first = fs::read_to_string(spoken.0.path(Spoken::SOURCE)).unwrap();
    let second = changed(&first, "to_uppercase", "to_lowercase");
    spoken.build(&second);
    reload(&node);
    spoken.produce("Four\nFive\n");
    assert_eq!(spoken.said("5"), ["ONE", "THREE", "TWO", "five", "four"]);
    tells(&node, WORKERS, "no plugin has changed");

    spoken.put(b"no plugin");
    tells(&node, 1, "its plugins stay as they are: operator say: ./say.wasm");
    let count = repository().join("examples/word-count/count").display().to_string();
    spoken.0.run(["build", &count, "--out", "count.wasm"]).ok();
    spoken.put(&fs::read(spoken.0.path("count.wasm")).unwrap());
    tells(&node, 1, "its plugins stay as they are: the next plugins need other topics of the pipeline's own");
    spoken.build(&declaring(&second, "setup.counter(\"spoken\", \"words\");"));
    tells(&node, 1, "its plugins stay as they are: operator say has other metrics than before");
    spoken.produce("Six\n");
    assert_eq!(spoken.said("6"), ["ONE", "THREE", "TWO", "five", "four", "six"]);

    // An output that nothing reads is welcome, and must stay.
    spoken.build(&declaring(&first, "setup.output(\"side\", wasmill_sdk::Keys::Kept);"));
    reload(&node);
    spoken.build(&second);
    tells(&node, WORKERS, "its plugins stay as they are: reload operator say: the next version does not fit");
    spoken.produce("Seven\n");
    assert_eq!(spoken.said("7"), ["ONE", "SEVEN", "THREE", "TWO", "five", "four", "six"]);
    assert_eq!(node.stop().reloads(), 2 * WORKERS);
}
