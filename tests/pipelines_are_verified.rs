//! `wasmill verify`: kills at every step of the commit protocol, by the built binary.

use crate::guests;
use crate::support::command::{Place, repository};
use crate::support::fleet::STEPS;
use crate::support::kafka::Broker;
use crate::support::words;

/// Word count over 4 partitions, which reads 2,000 lines.
fn word_count(name: &str, guarantee: &str) -> Place {
    let place = Place::new();
    let example = repository().join("examples/word-count");
    let pipeline = format!(
        "format-version: 1\nname: {name}\nguarantee: {guarantee}\n\
         sources:\n  lines: {{topic: {name}-lines, create: {{partitions: 4}}, sample: lines.txt}}\n\
         operators:\n  split: {{plugin: {split}, from: lines}}\n  count: {{plugin: {count}, from: split}}\n\
         sinks:\n  counts: {{topic: {name}-counts, create: {{partitions: 4}}, from: count}}\n",
        split = example.join("split").display(),
        count = example.join("count").display()
    );
    place.write("pipeline.yaml", pipeline);
    place.write("lines.txt", words::lines(2_000, 11));
    place
}

/// Fails unless each step was taken, and made no difference.
#[track_caller]
fn no_step_shows(printed: &str) {
    for step in STEPS {
        let said = printed.lines().find(|line| line.starts_with(step)).unwrap_or_default();
        assert!(said.contains(" same, killed the "), "{step} in:\n{printed}");
    }
}

/// 4 partitions, 2 workers, all stores.
#[test]
fn no_kill_shows_on_the_embedded_log() {
    let place = word_count("embedded", "exactly-once");
    for store in ["sled", "fjall", "memory"] {
        no_step_shows(&place.run(["verify", "pipeline.yaml", "--store", store]).ok());
    }
}

/// 4 partitions, 2 workers, sled. It leaves nothing on the cluster, and does not touch the pipeline's own topics.
#[test]
fn no_kill_shows_on_kafka() {
    let place = word_count("clean", "exactly-once");
    let brokers = Broker::shared().address();
    no_step_shows(&place.run(["verify", "pipeline.yaml", "--brokers", &brokers]).ok());
    let topics = place.run(["topics", "--brokers", &brokers]).ok();
    // Its own and the user's have the pipeline's name in theirs.
    let left: Vec<_> = topics.lines().filter(|topic| topic.contains("clean")).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// 4 partitions, 2 workers, sled: what is sent at once and not withdrawn is there twice, and is found.
#[test]
fn a_step_at_which_a_kill_shows_is_named() {
    let place = word_count("twice", "at-least-once");
    let arguments = ["verify", "pipeline.yaml", "--steps", "flush,publish", "--brokers", &Broker::shared().address()];
    let ended = place.run(arguments);
    let said = || format!("{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("flush      DIFFERENT, killed the third time"), "{}", said());
    assert!(ended.stdout.contains("too many, for example "), "{}", ended.stdout);
    ended.failed(1, &["twice does not get over a kill at flush", "differ from those of a run that was not killed"]);
}

/// 4 partitions, 2 workers, sled: a plugin that takes its memory for its state stops when it comes back without. By then
/// rows of its own are at rest.
#[test]
fn a_step_behind_which_a_pipeline_does_not_go_on_is_named() {
    let place = Place::new();
    let pipeline = "format-version: 1\nname: forgetful\n\
                    sources:\n  lines: {topic: lines, create: {partitions: 4}, sample: lines.txt}\n\
                    operators:\n  guest: {plugin: ./process.wasm, key: /key, from: lines, settings: {does: trusts}, \
                    on-error: stop}\nsinks:\n  counts: {topic: counts, create: {partitions: 4}, from: guest.out}\n";
    place.write("pipeline.yaml", pipeline);
    place.write("process.wasm", guests::built("process"));
    let lines: Vec<_> = (0..4_000).map(|line| format!("{{\"key\": \"key-{}\"}}\n", line % 40)).collect();
    place.write("lines.txt", lines.concat());
    let ended = place.run(["verify", "pipeline.yaml", "--steps", "apply"]);
    assert!(ended.stdout.contains("apply      DIFFERENT, killed the "), "{}", ended.stdout);
    assert!(
        ended.stdout.contains("it does not go on: ") && ended.stdout.contains("are remembered"),
        "{}",
        ended.stdout
    );
    ended.failed(1, &["forgetful does not get over a kill at apply"]);
}

#[test]
fn what_cannot_be_verified_is_told() {
    let place = word_count("refused", "exactly-once");
    let pipeline = "format-version: 1\nname: copy\nsources:\n  a: {topic: a}\n";
    place.write("empty.yaml", format!("{pipeline}sinks:\n  b: {{topic: b, from: a}}\n"));
    place.run(["verify", "empty.yaml"]).failed(1, &["nothing for source a to read", "--feed a=FILE"]);
    place.write("file.yaml", format!("{pipeline}sinks:\n  b: {{file: out.txt, from: a}}\n"));
    place.run(["verify", "file.yaml"]).failed(1, &["sink b writes to a file of yours: name a topic instead"]);
    place.run(["verify", "pipeline.yaml", "--steps", "row"]).failed(2, &["[possible values: claim, restore, begin"]);
}
