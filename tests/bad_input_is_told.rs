//! Bad input: a message that says what to do, the right exit status, nothing lost.

use std::fs;
use std::time::Duration;

use crate::support::command::{Place, repository};
use crate::support::fleet::Node;
use crate::support::kafka::Broker;

/// A pipeline with the word splitter of the examples.
fn splitter(extra: &str) -> String {
    let split = repository().join("examples/word-count/split");
    format!(
        "format-version: 1\nname: bad\nsources:\n  lines: {{topic: lines}}\noperators:\n  \
         split: {{plugin: {}, from: lines{extra}}}\nsinks:\n  words: {{topic: words, from: split}}\n",
        split.display()
    )
}

#[test]
fn a_file_that_is_no_plugin_is_refused() {
    let place = Place::new();
    place.write("text.wasm", "hello");
    place.write(
        "pipeline.yaml",
        splitter("").replace(&repository().join("examples/word-count/split").display().to_string(), "./text.wasm"),
    );
    place.run(["run", "pipeline.yaml", "--until-end"]).failed(78, &["operator split", "text.wasm", "WebAssembly"]);
}

#[test]
fn a_plugin_file_that_is_not_there_is_named() {
    let place = Place::new();
    place.write(
        "pipeline.yaml",
        "format-version: 1\nname: bad\nsources: {s: {topic: s}}\noperators: {a: {plugin: ./gone.wasm, from: s}}\n\
         sinks: {k: {topic: k, from: a}}\n",
    );
    place.run(["run", "pipeline.yaml", "--until-end"]).failed(1, &["operator a", "gone.wasm"]);
}

#[test]
fn a_pipeline_file_that_is_wrong_is_shown_with_its_place() {
    let place = Place::new();
    #[rustfmt::skip]
    let table: [(&str, &[&str]); 8] = [
        ("name: [",                                   &["pipeline.yaml:1:"]),
        ("",                                          &["empty"]),
        ("- a\n",                                     &["pipeline.yaml:1:1"]),
        ("format-version: 1\nname: x\nsorces: {}\n",  &["pipeline.yaml:3:1", "did you mean `sources`"]),
        ("format-version: 1\nname: x\nsources: {s: {topic: s}}\noperators: {a: {plugin: ./a.wasm, from: t}}\n\
          sinks: {k: {topic: k, from: a}}\n",         &["pipeline.yaml:4:", "`t`"]),
        ("format-version: 1\nname: x\nsources: {s: {topic: s}}\noperators: {a: {plugin: ./a.wasm, from: [s, b]}, \
          b: {plugin: ./b.wasm, from: a}}\nsinks: {k: {topic: k, from: b}}\n", &["cycle", "a -> b -> a"]),
        ("format-version: 9\nname: x\nsources: {s: {topic: s}}\noperators: {a: {plugin: ./a.wasm, from: s}}\n\
          sinks: {k: {topic: k, from: a}}\n",         &["pipeline.yaml:1:", "9"]),
        ("format-version: 1\nname: x\n",              &["the file needs the key `sources`"]),
    ];
    for (text, says) in table {
        place.write("pipeline.yaml", text);
        place.run(["validate", "pipeline.yaml"]).failed(78, says);
        place.run(["run", "pipeline.yaml", "--until-end"]).failed(78, says);
    }
    assert!(!place.path(".wasmill").exists(), "nothing was made for a pipeline that is wrong");
}

#[test]
fn a_port_that_the_plugin_does_not_have_is_named_with_those_it_has() {
    let place = Place::new();
    place.write("pipeline.yaml", splitter("").replace("from: split}", "from: split.rejected}"));
    place.run(["run", "pipeline.yaml", "--until-end"]).failed(78, &["rejected", "main"]);
}

#[test]
fn a_feed_that_is_not_there_stops_before_anything_is_made() {
    let place = Place::new();
    place.write("pipeline.yaml", splitter(""));
    place
        .run(["run", "pipeline.yaml", "--feed", "lines=gone.txt"])
        .failed(1, &["--feed lines", "cannot read gone.txt"]);
    place.run(["run", "pipeline.yaml", "--feed", "line=gone.txt"]).failed(1, &["no source of this name, only lines"]);
    place.run(["run", "pipeline.yaml", "--feed", "lines"]).failed(2, &["SOURCE=FILE"]);
    place.run(["run", "pipeline.yaml", "--print", "wrds"]).failed(1, &["there is no sink wrds, only words"]);
    assert!(!place.path(".wasmill").exists());
}

#[test]
fn a_data_directory_is_for_one_process() {
    let place = Place::new();
    place.write("pipeline.yaml", splitter(""));
    place.write("lines.txt", "one two\n");
    let mut running = place.command(["run", "pipeline.yaml", "--data-dir", "data"]).spawn().unwrap();
    let deadline = std::time::Instant::now() + Duration::from_mins(5);
    while !place.path("data/log.sock").exists() {
        assert!(std::time::Instant::now() < deadline, "it does not start");
        std::thread::yield_now();
    }
    let process = running.id().to_string();
    place
        .run(["run", "pipeline.yaml", "--data-dir", "data", "--until-end"])
        .failed(1, &["data directory data is in use by process", &process, "give another --data-dir"]);
    place.run_with(["produce", "lines", "--data-dir", "data"], b"one two\nthree\n").ok();
    let printed = place.run([
        "consume",
        "words",
        "--data-dir",
        "data",
        "--from-beginning",
        "--max-messages",
        "3",
        "--key-separator",
        "=",
    ]);
    let mut words: Vec<_> = printed.ok().lines().map(str::to_owned).collect();
    words.sort();
    assert_eq!(words, ["one=", "three=", "two="]);
    terminate(running.id());
    assert!(running.wait().unwrap().success(), "a signal is a clean stop");
    place.run(["topics", "--data-dir", "data"]).ok();
}

fn terminate(process: u32) {
    // The shell's own: a small system has no program of that name.
    let killed = std::process::Command::new("sh").args(["-c", &format!("kill {process}")]).status().unwrap();
    assert!(killed.success());
}

#[test]
fn damaged_stores_and_caches_are_made_anew() {
    let place = Place::new();
    let example = repository().join("examples/word-count").display().to_string();
    let run = |extra: &[&str]| {
        let arguments = [&["run", &example, "--until-end", "--top", "counts=1", "--data-dir", "data"], extra].concat();
        place.run(arguments)
    };
    assert_eq!(run(&[]).stdout, "the\t1642\n");
    damage(&place.path("data/store"));
    damage(&place.path("data/plugins"));
    place.run_with(["produce", "lines", "--data-dir", "data"], b"the THE the\n").ok();
    let after = run(&[]);
    assert_eq!(after.stdout, "the\t1645\n", "{}", after.stderr);
    fs::remove_dir_all(place.path("data/store")).unwrap();
    place.run_with(["produce", "lines", "--data-dir", "data"], b"the\n").ok();
    assert_eq!(run(&["--store", "memory"]).stdout, "the\t1646\n");
    place.run_with(["produce", "lines", "--data-dir", "data"], b"the\n").ok();
    assert_eq!(run(&[]).stdout, "the\t1647\n");
}

/// Overwrites the middle of every file.
fn damage(directory: &std::path::Path) {
    let mut damaged = 0;
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            damage(&path);
        } else if let Ok(mut bytes) = fs::read(&path)
            && bytes.len() > 16
        {
            let middle = bytes.len() / 2;
            let end = (middle + 64).min(bytes.len());
            bytes[middle..end].fill(0xa5);
            fs::write(&path, bytes).unwrap();
            damaged += 1;
        }
    }
    assert!(damaged > 0 || directory.read_dir().unwrap().next().is_none() || directory.is_dir());
}

#[test]
fn a_data_directory_that_cannot_be_one_is_told_once() {
    let place = Place::new();
    place.write("pipeline.yaml", splitter(""));
    place.write("plain", "a file");
    let ended = place.run(["run", "pipeline.yaml", "--data-dir", "plain", "--until-end"]);
    assert_eq!(ended.stderr.matches("File exists").count(), 1, "{}", ended.stderr);
    ended.failed(1, &["data directory plain: cannot make it", "give another --data-dir"]);
}

/// One that no client can have, and one that the brokers refuse: 4 partitions, 2 workers, sled.
#[test]
fn a_session_that_cannot_be_is_told() {
    let place = Place::new();
    let topics = |name| format!("{{topic: short-{name}, create: {{partitions: 4}}");
    let pipeline = splitter("").replace("{topic: lines", &topics("lines")).replace("{topic: words", &topics("words"));
    place.write("pipeline.yaml", pipeline);
    for session in ["0s", "999ms", "2h"] {
        let says = [session, "--session-timeout", "is not from 1s to 1h"];
        place.run(["run", "pipeline.yaml", "--session-timeout", session]).failed(2, &says);
    }
    let brokers = Broker::shared().address();
    let run = ["run", "pipeline.yaml", "--data-dir", "data", "--workers", "2", "--brokers", &brokers];
    let node = Node::start(place.command(run.into_iter().chain(["--session-timeout", "3s"])));
    node.until("what is refused", |said| {
        said.says("the brokers refuse a session of 3s, so this node has no tasks: give")
    });
    node.stop();
}

#[test]
fn a_broker_that_is_not_there_is_told() {
    let place = Place::new();
    place.write("pipeline.yaml", splitter(""));
    place
        .run(["run", "pipeline.yaml", "--brokers", "127.0.0.1:1", "--until-end"])
        .failed(1, &["127.0.0.1:1", "--brokers"]);
}
