//! Nodes that end at a step of the commit protocol, and what the log says of their tasks afterwards: the outcome that the
//! step has by design, whether the node comes back or another one takes over.

use std::collections::BTreeMap;
use std::fs;

use crate::support::counting::Counting;
use crate::support::fleet::{Node, Said};

const PARTITIONS: usize = 4;
const LINES: usize = 3_000;

/// Steps at which the open epoch was not committed.
const UNDONE: [&str; 9] = ["claim", "begin", "process", "seal", "changelog", "flush", "token", "rows", "restore"];
/// The one at which it may have been.
const EITHER: &str = "commit";
/// Those at which it was.
const DONE: [&str; 3] = ["answer", "apply", "publish"];

/// The epochs of tasks.
type Epochs = BTreeMap<String, u64>;

/// What a node left, by what it had said.
#[derive(Debug, Default)]
struct Left {
    /// Committed, and the answer was there.
    answered: Epochs,
    /// By thread, what was sealed last and not answered.
    sealed: BTreeMap<String, Epochs>,
    /// The thread that took the last step.
    last: String,
}

impl Left {
    fn of(said: &Said) -> Self {
        let mut left = Self::default();
        for line in &said.lines {
            let Some((what, rest)) = line.split_once(" thread=") else { continue };
            let (thread, tasks) = rest.split_once(" tasks=").unwrap_or((rest, ""));
            let [thread, tasks] = [thread, tasks].map(|text| text.trim_matches('"'));
            let tasks = tasks.split(',').filter_map(|task| task.split_once('@'));
            let epochs: Epochs = tasks.map(|(task, epoch)| (task.to_owned(), epoch.parse().unwrap())).collect();
            if what.ends_with("sealed") {
                left.sealed.insert(thread.to_owned(), epochs);
            } else if what.ends_with("answered") {
                left.sealed.remove(thread);
                left.answered.extend(epochs);
            } else if what.starts_with("ended at") {
                thread.clone_into(&mut left.last);
            }
        }
        left
    }

    /// Fails unless tasks were found as they were left at a step.
    #[track_caller]
    fn check(&self, step: &str, before: &Epochs, found: &Epochs) {
        for (task, &at) in found {
            let committed = self.answered.get(task).or(before.get(task)).copied().unwrap_or_default();
            let open = self.sealed.iter().find_map(|(thread, sealed)| Some((thread, *sealed.get(task)?)));
            let as_left = match open {
                // Another worker may have been at any step.
                Some((thread, open)) if *thread != self.last || step == EITHER => at == committed || at == open,
                _ => at == committed,
            };
            assert!(as_left, "{step}: task {task} was found at {at}, not at {committed}: {self:?}");
        }
    }
}

/// Has all tasks commit, so that there is something to restore, and answers where they stand then.
fn begin(cluster: &mut Counting, data: &str) -> Epochs {
    cluster.produce(LINES, 0);
    cluster.finish(data);
    all_tasks(cluster.node(data, &[])).epochs
}

/// Has a node acquire all tasks and stop.
fn all_tasks(node: Node) -> Said {
    node.until("all tasks", |said| said.tasks.len() == 2 * PARTITIONS);
    node.stop()
}

/// Ends a node at each step in turn, each behind some epochs. `data` is the directory of the next node by its number.
fn end_at_each_step(cluster: &mut Counting, data: impl Fn(usize) -> &'static str) {
    let mut found = begin(cluster, data(0));
    let mut before: Option<(&str, Left, Epochs)> = None;
    let steps = UNDONE.iter().chain([&EITHER]).chain(&DONE).chain([&""]);
    for (number, &step) in steps.enumerate() {
        let directory = data(number);
        let time = if ["claim", "restore"].contains(&step) { 1 } else { 7 };
        let last = format!("{step}:{time}");
        let options: &[&str] = match step {
            "" => &[],
            "apply" => &["--end-at", &last, "--row-cache", "0B"],
            _ => &["--end-at", &last],
        };
        if step == "restore" {
            // A store without rows is behind any changelog.
            drop(fs::remove_dir_all(cluster.path(directory).join("store")));
        }
        let node = cluster.node(directory, options);
        let said = if step.is_empty() {
            all_tasks(node)
        } else {
            cluster.feed(&node, LINES, step, |said| said.ended);
            node.kill()
        };
        if let Some((step, left, known)) = &before {
            left.check(step, known, &said.epochs);
        }
        let left = Left::of(&said);
        assert_eq!(left.last.is_empty(), step.is_empty(), "{step}: {}", said.lines.join("\n"));
        assert!(!DONE.contains(&step) || !left.answered.is_empty(), "{step}: nothing was answered");
        found.extend(said.epochs);
        let known = found.clone();
        found.extend(left.answered.clone());
        before = Some((step, left, known));
    }
}

/// 2 stages of 4 partitions, 2 workers, sled: the node comes back each time.
#[test]
fn a_node_that_comes_back_finds_what_its_last_step_left() {
    let mut cluster = Counting::new("restarted", PARTITIONS);
    end_at_each_step(&mut cluster, |_| "node");
    cluster.check();
}

/// 2 stages of 4 partitions, 2 workers, sled, sessions of 15 s: another node takes over each time, two in turn.
#[test]
fn a_node_that_takes_over_finds_what_the_last_step_left() {
    let mut cluster = Counting::new("taken-over", PARTITIONS);
    end_at_each_step(&mut cluster, |number| if number % 2 == 0 { "even" } else { "odd" });
    cluster.check();
}
