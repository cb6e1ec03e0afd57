//! Nodes of one cluster: processes of the built binary that share a pipeline on Kafka.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// What a node said of itself so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    /// The tasks that it acquired, and did not lose or let go since.
    pub(crate) tasks: BTreeSet<String>,
    /// The epoch that it found each task at, when it acquired it last.
    pub(crate) epochs: BTreeMap<String, u64>,
    /// Rows that it restored for them.
    pub(crate) restored: u64,
    /// How often the group gave it tasks or took some.
    pub(crate) moves: usize,
    /// How often it lost its membership.
    pub(crate) losses: usize,
    /// Epochs that were begun, and those that ended.
    pub(crate) begun: usize,
    pub(crate) committed: usize,
    pub(crate) aborted: usize,
    /// Whether it says no more, as its process has ended.
    pub(crate) ended: bool,
    /// All of it.
    pub(crate) lines: Vec<String>,
}

impl Said {
    /// Epochs that are open.
    pub(crate) fn open(&self) -> usize {
        self.begun.saturating_sub(self.committed + self.aborted)
    }

    fn hear(&mut self, line: &str) {
        self.begun += usize::from(line.contains("epoch begun"));
        self.committed += usize::from(line.contains("epoch committed"));
        self.aborted += usize::from(line.contains("an epoch was lost"));
        if line.contains("the group gives tasks") {
            self.moves += 1;
        }
        if let Some((_, taken)) =
            line.split_once("takes tasks from this node").or_else(|| line.split_once("this node lost its tasks"))
        {
            self.moves += 1;
            self.losses += usize::from(line.contains("lost"));
            let taken = field(taken, "tasks=").unwrap_or_default();
            taken.trim_matches('"').split(',').for_each(|task| _ = self.tasks.remove(task));
        }
        if let Some(said) = line.split_once(" acquired ").map(|(_, said)| said) {
            let task = field(said, "task=").unwrap_or_default();
            self.tasks.insert(task.to_owned());
            self.epochs.extend(field(said, "epoch=").map(|epoch| (task.to_owned(), epoch.parse().unwrap())));
            self.restored += field(said, "restored=").and_then(|rows| rows.parse::<u64>().ok()).unwrap_or_default();
        }
        self.lines.push(line.to_owned());
    }
}

fn field<'l>(said: &'l str, name: &str) -> Option<&'l str> {
    said.split(' ').find_map(|word| word.strip_prefix(name))
}

/// A process that runs a pipeline with others.
pub(crate) struct Node {
    child: Child,
    said: Arc<(Mutex<Said>, Condvar)>,
    ear: Option<JoinHandle<()>>,
}

impl Node {
    pub(crate) fn start(mut command: Command) -> Self {
        command.env("WASMILL_LOG", "wasmill=debug").stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let said = Arc::new((Mutex::new(Said::default()), Condvar::new()));
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let heard = Arc::clone(&said);
        let hear = move || {
            for line in lines.map_while(Result::ok) {
                heard.0.lock().unwrap_or_else(PoisonError::into_inner).hear(&line);
                heard.1.notify_all();
            }
            heard.0.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
            heard.1.notify_all();
        };
        Self { child, said, ear: Some(std::thread::spawn(hear)) }
    }

    pub(crate) fn said(&self) -> Said {
        self.said.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until what it said is as wanted; `false` if that takes longer.
    pub(crate) fn waits(&self, at_most: Duration, wanted: impl Fn(&Said) -> bool) -> bool {
        let deadline = Instant::now() + at_most;
        let mut said = self.said.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !wanted(&said) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            said = self.said.1.wait_timeout(said, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// The same, and fails if it takes too long.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, wanted: impl Fn(&Said) -> bool) {
        assert!(self.waits(PATIENCE, wanted), "{what} did not come:\n{}", self.said().lines.join("\n"));
    }

    /// Kills it. Answers what it had said.
    pub(crate) fn kill(mut self) -> Said {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.rest()
    }

    /// Has it stop, and waits until it has. Answers what it had said.
    #[track_caller]
    pub(crate) fn stop(mut self) -> Said {
        self.signal("TERM");
        let status: ExitStatus = self.child.wait().unwrap();
        let said = self.rest();
        assert!(status.success(), "{status}:\n{}", said.lines.join("\n"));
        said
    }

    fn rest(&mut self) -> Said {
        if let Some(ear) = self.ear.take() {
            ear.join().unwrap();
        }
        self.said()
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.child.id())]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Not there any more, as a rule.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
