//! Where the tasks of a stopped pipeline stand, and how they are moved.

use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use wasmill_core::commit::Repair;
use wasmill_core::port::{Mark, Position};
use wasmill_core::record::{Epoch, Offset, Partition, TaskId};
use wasmill_core::worker::reset::Moves;

use super::{Prepared, Running};
use crate::files;
use crate::node::backend::Backend;
use crate::node::worker::Command;

/// How long it may take until this process has all tasks, rows read included, and until they are moved.
const PATIENCE: Duration = Duration::from_mins(10);

/// How long a first row may not be decided yet.
const DECIDED: Duration = Duration::from_secs(5);

/// How often it is looked whether it is.
const LOOK: Duration = Duration::from_millis(100);

/// Where a task stands in one of its inputs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Standing {
    /// The task.
    pub task: TaskId,
    /// Index of the input in the task's stage.
    pub input: u32,
    /// The source, or the operator whose repartition topic it is.
    pub name: String,
    /// Whether it is a source.
    pub source: bool,
    /// Whether it is a file.
    pub file: bool,
    /// Whether the task has a changelog, which knows where it stands.
    pub remembered: bool,
    /// The topic, or the file.
    pub topic: String,
    /// The last committed epoch; `None`: the task never ran.
    pub epoch: Option<Epoch>,
    /// The next record; `None`: nothing is committed.
    pub next: Option<Offset>,
    /// The first that is kept.
    pub start: Offset,
    /// The end.
    pub end: Offset,
}

/// A reset as its tasks' worker is told of it.
#[derive(Debug)]
pub struct Reset {
    /// Where inputs go on.
    pub moves: Moves,
    /// Whether the tasks forget all that they remember.
    pub forget: bool,
    /// Takes what came of it.
    pub done: Sender<Result<(), String>>,
}

impl Prepared {
    /// Where each task stands in each of its inputs, as the log has it now.
    pub fn standings(&self, backend: &dyn Backend, repair: Repair) -> Result<Vec<Standing>> {
        let rows = backend.rows(&self.plan.group, &self.assembly.topology, &self.assembly.tasks, repair)?;
        let mut standings = Vec::new();
        for (task, input, topic) in self.inputs() {
            let row = rows.get(&task);
            let (start, end) = match self.file(task, input) {
                Some(file) => (Offset(0), files::size(&file.path)?),
                None => (backend.start(topic, task.partition)?, backend.end(topic, task.partition)?),
            };
            let (name, source) = self.name(task, input);
            standings.push(Standing {
                task,
                input,
                name,
                source,
                file: self.file(task, input).is_some(),
                remembered: self
                    .assembly
                    .stages
                    .get(usize::from(task.stage))
                    .is_some_and(|stage| stage.home().is_some()),
                topic: topic.to_owned(),
                epoch: row.map(|row| row.epoch),
                next: row.and_then(|row| row.next.get(input as usize).copied()),
                start,
                end,
            });
        }
        standings.sort_by(|a, b| (!a.source, &a.name, &a.topic, a.task).cmp(&(!b.source, &b.name, &b.topic, b.task)));
        Ok(standings)
    }

    /// Fails where a changelog has rows of a task, and the log does not say where the task stands. Nothing was claimed yet, so
    /// that what is lost can still be told from what never was.
    pub(super) fn check_rows(&self, backend: &dyn Backend) -> Result<()> {
        let deadline = Instant::now() + DECIDED;
        loop {
            let (group, tasks) = (&self.plan.group, &self.assembly.tasks);
            let rows = backend.rows(group, &self.assembly.topology, tasks, Repair::Never)?;
            let mut lost = None;
            for &task in tasks.iter().filter(|task| !rows.contains_key(task)) {
                let stage = self.assembly.stages.get(usize::from(task.stage));
                for (_, changelog) in stage.into_iter().flat_map(|stage| stage.changelogs()) {
                    let topic = self.assembly.topology.changelog(changelog).unwrap_or_default();
                    if backend.end(topic, task.partition)? > Offset(0) {
                        lost = Some((task, topic));
                    }
                }
            }
            match lost {
                None => return Ok(()),
                // Another node may have begun just now.
                Some(_) if Instant::now() < deadline => std::thread::sleep(LOOK),
                Some((task, topic)) => bail!(
                    "pipeline {} stopped: task {task}: its row in group {group} is gone, but {topic} has rows of it: go on from \
                     the changelogs with `wasmill offsets PIPELINE --from-changelog`",
                    self.plan.pipeline
                ),
            }
        }
    }

    /// What the pipeline file calls an input, and whether that is a source.
    fn name(&self, task: TaskId, input: u32) -> (String, bool) {
        let stage = self.plan.stages.get(usize::from(task.stage));
        let inputs = stage.into_iter().flat_map(|stage| &stage.inputs);
        let mut topics = inputs.flat_map(|input| input.topics.iter().map(move |_| input.name.clone()));
        (topics.nth(input as usize).unwrap_or_default(), !self.is_own(task, input))
    }

    /// The operators that remember something.
    pub fn stateful(&self) -> Vec<&str> {
        let nodes = self.assembly.stages.iter().flat_map(|stage| &stage.nodes);
        nodes.filter(|node| node.changelog.is_some()).map(|node| node.operator.as_str()).collect()
    }

    /// The group of its nodes.
    pub fn group(&self) -> &str {
        &self.plan.group
    }
}

impl Running {
    /// Moves the tasks of the only pipeline, which has one worker, once it has all of them. The inputs that are moved are
    /// read from their beginning, as far as files go.
    pub fn reset(&self, standings: &[(Standing, Offset)], forget: bool) -> Result<()> {
        let pipeline = self.pipelines.first().context("no pipeline runs")?;
        let mut deadline = Instant::now() + PATIENCE;
        loop {
            self.check()?;
            let statuses = self.board.read();
            let own = statuses.get(pipeline.workers.clone()).unwrap_or_default();
            if own.iter().map(|status| status.tasks).sum::<usize>() == pipeline.prepared.assembly.tasks.len() {
                break;
            }
            if own.iter().any(|status| !status.restoring.is_empty()) {
                deadline = Instant::now() + PATIENCE;
            }
            if Instant::now() > deadline {
                bail!("not all tasks came to this process within {PATIENCE:?}: does another node run the pipeline?");
            }
            self.wait(Duration::from_millis(20));
        }
        // All that have state are committed anew, wherever they stand: that repairs what was changed by hand. Where all is
        // forgotten those upstream tell anew how far event time has come.
        let is_stateful = |task: &&TaskId| {
            let stage = pipeline.prepared.assembly.stages.get(usize::from(task.stage));
            forget || stage.is_some_and(|stage| stage.home().is_some())
        };
        let tasks = pipeline.prepared.assembly.tasks.iter().filter(is_stateful);
        let mut moves: Moves = tasks.map(|&task| (task, Vec::new())).collect();
        for (Standing { task, input, .. }, next) in standings {
            let position = Position { input: *input, next: *next, mark: Mark::NONE };
            moves.entry(*task).or_default().push(position);
        }
        let worker = self.workers.first().context("the pipeline has no worker")?;
        let (done, answer) = mpsc::channel();
        worker.tell(Command::Reset(Reset { moves, forget, done }));
        if let Ok(answer) = answer.recv_timeout(PATIENCE) {
            return answer.map_err(|reason| anyhow!(reason));
        }
        self.check()?;
        bail!("the log did not answer within {PATIENCE:?}: look at the offsets before you try again")
    }
}

/// The partition of a task, for messages.
pub fn place(standing: &Standing) -> String {
    let Partition(partition) = standing.task.partition;
    format!("{}/{partition}", standing.topic)
}
