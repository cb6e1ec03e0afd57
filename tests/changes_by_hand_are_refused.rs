//! Topics and offsets that somebody changed by hand while a pipeline was stopped: it says what it found, and does not go on
//! from it.

use crate::support::kafka::{Broker, ask};
use crate::support::ledger::Ledger;

/// A ledger whose entries are processed; 8 partitions, 2 workers, sled.
fn stopped(name: &str) -> Ledger {
    let ledger = Ledger::new(name, &Broker::shared().address());
    ledger.feed(2_000);
    ledger.finish("node");
    ledger
}

/// Changes something by Kafka's own client, and fails unless the pipeline refuses to go on with these words.
#[track_caller]
fn refuses(ledger: &Ledger, command: &str, arguments: &[&str], says: &[&str]) {
    let brokers = Broker::shared().address();
    ask(command, &brokers, arguments);
    for data in ["node", "another"] {
        let arguments = ledger.arguments(data, &brokers).into_iter().chain(["--until-end".into()]);
        ledger.place.run(arguments).failed(1, says);
    }
}

#[test]
fn rows_that_were_reset_are_refused() {
    let ledger = stopped("reset-rows");
    let says = [
        "read the rows of group wasmill.reset-rows: the offset 0 was committed by something else",
        "the offset 0 was committed by something else than wasmill",
        "wasmill offsets",
        "--from-changelog",
    ];
    refuses(&ledger, "reset", &[&ledger.group(), &ledger.own("entries-tasks")], &says);
}

/// Each changelog by itself: one that has what its stage remembers, one that does not, and that of another stage.
#[test]
fn a_changelog_that_was_made_anew_is_refused() {
    for operator in ["numbers", "balances", "shops"] {
        let name = format!("anew-{operator}");
        let ledger = stopped(&name);
        let says = format!("the changelog of {operator} has nothing");
        let says = [&format!("pipeline {name} stopped: task "), says.as_str(), "was the topic deleted or made anew?"];
        refuses(&ledger, "recreate", &[&ledger.own(&format!("{operator}-changelog"))], &says);
        if operator == "balances" {
            // What the stage remembers is there, so it can go on without these rows.
            let brokers = Broker::shared().address();
            let offsets = ["offsets", "pipeline.yaml", "--from-changelog", "--brokers", &brokers];
            ledger.place.run(offsets).ok();
            ledger.finish("node");
            ledger.finish("another");
        }
    }
}

#[test]
fn records_that_were_deleted_before_they_were_read_are_told() {
    let ledger = stopped("retained");
    ledger.feed(2_000);
    let says = [
        "pipeline retained stopped: read retained-entries/",
        "is at offset",
        "which is not in the topic any more (it has ",
        "wasmill offsets",
        "--reset",
    ];
    refuses(&ledger, "delete-records", &[&ledger.topic("entries")], &says);
}
