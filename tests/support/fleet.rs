//! Nodes of one cluster: processes of the built binary that share a pipeline on Kafka.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// The steps of a commit that a process may end at.
pub(crate) const STEPS: [&str; 13] = [
    "claim",
    "restore",
    "begin",
    "process",
    "seal",
    "changelog",
    "flush",
    "token",
    "rows",
    "commit",
    "answer",
    "apply",
    "publish",
];

/// What a node said of itself so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    /// The tasks that it acquired, and did not lose or let go since.
    pub(crate) tasks: BTreeSet<String>,
    /// The epoch that it found each task at, when it acquired it last.
    pub(crate) epochs: BTreeMap<String, u64>,
    /// Rows that it restored for them.
    pub(crate) restored: u64,
    /// How it acquired each task last.
    pub(crate) acquired: BTreeMap<String, Acquired>,
    /// Epochs that each worker committed.
    pub(crate) commits: BTreeMap<String, usize>,
    /// How often the group gave it tasks or took some.
    pub(crate) moves: usize,
    /// How often it lost its membership.
    pub(crate) losses: usize,
    /// Epochs that were begun, and those that ended.
    pub(crate) begun: usize,
    pub(crate) committed: usize,
    pub(crate) aborted: usize,
    /// The tasks that the group gave it, acquired or not.
    granted: BTreeSet<String>,
    /// Whether it says no more, as its process has ended.
    pub(crate) ended: bool,
    /// All of it.
    pub(crate) lines: Vec<String>,
}

/// Which worker acquired a task, and how many rows it restored for it.
#[derive(Clone, Debug)]
pub(crate) struct Acquired {
    pub(crate) worker: String,
    pub(crate) restored: u64,
}

impl Said {
    /// Whether it has tasks, and each worker that has some committed so many epochs more than it had before.
    pub(crate) fn went_on(&self, before: &Self, epochs: usize) -> bool {
        let commits = |said: &Self, worker: &str| said.commits.get(worker).copied().unwrap_or_default();
        let busy = self.tasks.iter().filter_map(|task| self.acquired.get(task));
        let mut busy = busy.map(|acquired| acquired.worker.as_str()).peekable();
        busy.peek().is_some() && busy.all(|worker| commits(self, worker) >= commits(before, worker) + epochs)
    }

    /// Whether a line of its log has this.
    pub(crate) fn says(&self, what: &str) -> bool {
        self.lines.iter().any(|line| line.contains(what))
    }

    /// How often workers have reloaded.
    pub(crate) fn reloads(&self) -> usize {
        self.lines.iter().filter(|line| line.contains("reload: reloaded")).count()
    }

    /// Epochs that are open.
    pub(crate) fn open(&self) -> usize {
        self.begun.saturating_sub(self.committed + self.aborted)
    }

    fn hear(&mut self, line: &str) {
        self.begun += usize::from(line.contains("epoch begun"));
        if let Some((_, worker)) = line.split_once("epoch committed") {
            self.committed += 1;
            *self.commits.entry(field(worker, "worker=").unwrap_or_default().to_owned()).or_default() += 1;
        }
        self.aborted += usize::from(line.contains("an epoch was lost"));
        let named = |list: &str| -> Vec<String> {
            let tasks = field(list, "tasks=").unwrap_or_default().trim_matches('"').split(',');
            tasks.map(str::to_owned).collect()
        };
        if let Some((_, given)) = line.split_once("the group gives tasks to this node") {
            self.moves += 1;
            self.granted.extend(named(given));
        }
        if let Some((_, taken)) =
            line.split_once("takes tasks from this node").or_else(|| line.split_once("this node lost its tasks"))
        {
            self.moves += 1;
            self.losses += usize::from(line.contains("lost"));
            for task in named(taken) {
                self.granted.remove(&task);
                self.tasks.remove(&task);
            }
        }
        if let Some(said) = line.split_once(" acquired ").map(|(_, said)| said) {
            let part = |name| field(said, name).unwrap_or_default().to_owned();
            let (task, worker, restored) =
                (part("task="), part("worker="), part("restored=").parse().unwrap_or_default());
            self.restored += restored;
            self.epochs.extend(part("epoch=").parse().map(|epoch| (task.clone(), epoch)));
            self.acquired.insert(task.clone(), Acquired { worker, restored });
            // One that was taken meanwhile is told to be acquired all the same.
            if self.granted.contains(&task) {
                self.tasks.insert(task);
            }
        }
        self.lines.push(line.to_owned());
    }
}

fn field<'l>(said: &'l str, name: &str) -> Option<&'l str> {
    said.split(' ').find_map(|word| word.strip_prefix(name))
}

/// Waits until nodes share so many tasks as evenly as it goes, and each worker that has some has committed.
#[track_caller]
pub(crate) fn await_shares(nodes: &[&Node], tasks: usize) {
    let is_shared = || {
        let said: Vec<_> = nodes.iter().map(|node| node.said()).collect();
        let even = said.iter().all(|said| said.tasks.len().abs_diff(tasks / nodes.len()) <= 1);
        even && said.iter().map(|said| said.tasks.len()).sum::<usize>() == tasks
    };
    let deadline = Instant::now() + PATIENCE;
    while !is_shared() {
        let lines = || nodes.iter().flat_map(|node| node.said().lines).collect::<Vec<_>>().join("\n");
        assert!(Instant::now() < deadline, "the nodes do not share {tasks} tasks:\n{}", lines());
        nodes[0].waits(Duration::from_millis(50), |_| false);
    }
    for node in nodes {
        node.until("commits", |said| said.went_on(&Said::default(), 5));
    }
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
