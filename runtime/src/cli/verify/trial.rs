//! Lives of a pipeline in processes of its own, on a log of its own.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::Read as _;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use uuid::Uuid;
use wasmill_core::batch::Batch;

use super::Args;
use super::outcome::{Outcome, Watched};
use super::records;
use crate::broker::{Broker, find};
use crate::cli::run::feed::{self, Feed};
use crate::embedded;
use crate::kafka::records::Records;
use crate::kafka::{Client, Lookup, admin};
use crate::node::plugins::{Plugins, declarations};
use crate::node::widths::DEFAULT_PARTITIONS;
use crate::pipeline::Graph;
use crate::pipeline::count::Count;
use crate::pipeline::plan::{DEFAULT_CLUSTER, Plan, Purpose};
use crate::pipeline::spec::Create;
use crate::step::{Last, Step};

/// How long a life may take.
const PATIENCE: Duration = Duration::from_mins(3);

/// How often it is looked whether a process has ended.
const LOOK: Duration = Duration::from_millis(5);

/// How many epochs each worker is to have at least, if there are as many records.
const EPOCHS: usize = 8;

/// Which time of taking a step is the last, tried in turn: in the midst of the work, or else the first.
const TIMES: [u64; 2] = [3, 1];

/// What the sources of a pipeline read.
pub(super) struct Input(BTreeMap<String, Batch>);

impl Input {
    /// Reads what is fed to each source, or else its sample.
    pub(super) fn read(graph: &Graph, feeds: &[Feed]) -> Result<Self> {
        if let Some(sink) = graph.sinks().iter().find(|sink| sink.file.is_some()) {
            bail!("verify {}: sink {} writes to a file of yours: name a topic instead", graph.name(), sink.name);
        }
        let graphs = std::slice::from_ref(graph);
        feed::check(feeds, graphs)?;
        let mut inputs = BTreeMap::new();
        for source in graph.sources() {
            let fed = feeds.iter().find(|feed| feed.source() == source.name).map(Feed::file);
            let file = fed.or(source.sample.as_deref());
            match (file, source.topics.first(), &source.file) {
                (_, _, Some(_)) => {}
                (Some(file), Some(topic), None) => {
                    let records = feed::read(file).with_context(|| format!("source {}", source.name))?;
                    inputs.insert(topic.clone(), records);
                }
                _ => bail!(
                    "verify {}: there is nothing for source {} to read: give it a file with --feed {}=FILE, or a `sample`",
                    graph.name(),
                    source.name,
                    source.name
                ),
            }
        }
        Ok(Self(inputs))
    }

    fn records(&self) -> usize {
        self.0.values().map(Batch::len).sum()
    }
}

/// Where processes ended, one after the other.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Died(Vec<Last>);

impl fmt::Display for Died {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [before @ .., last] = self.0.as_slice() else { return Ok(()) };
        write!(f, "killed the {}", ordinal(last.time))?;
        before.iter().try_for_each(|before| write!(f, ", and at {} before", before.step))
    }
}

fn ordinal(time: u64) -> String {
    match time {
        1 => "first time".to_owned(),
        3 => "third time".to_owned(),
        time => format!("{time}th time"),
    }
}

/// How a process ended.
enum End {
    /// Where it was to.
    Died,
    /// All was done.
    Done,
}

/// All that trials of a pipeline have in common.
pub(super) struct Rehearsal {
    args: Args,
    graph: Graph,
    input: Input,
    client: Option<Client>,
    /// How wide the user's topics are.
    widths: BTreeMap<String, u32>,
    /// The changelogs, without the cluster's name, and their operators.
    changelogs: Vec<(String, String)>,
    directory: PathBuf,
    id: String,
}

impl Rehearsal {
    /// Prepares trials in a new directory, whose plugins are compiled already.
    pub(super) fn new(args: &Args, graph: Graph, input: Input) -> Result<Self> {
        let id = Uuid::new_v4().simple().to_string()[..8].to_owned();
        let directory = std::env::temp_dir().join(format!("wasmill-verify-{id}"));
        let placed = Plugins::new(&directory.join("plugins"))?.place(&graph)?;
        let plan = Plan::new(&graph, &declarations(&graph, &placed), DEFAULT_CLUSTER)?;
        let changelog = |topic: &crate::pipeline::plan::Topic| match &topic.purpose {
            Purpose::Changelog { operator, .. } => {
                Some((topic.name[DEFAULT_CLUSTER.len()..].to_owned(), operator.clone()))
            }
            _ => None,
        };
        let changelogs = plan.topics.iter().filter_map(changelog).collect();
        let client = args.kafka.client()?;
        let listed = match &client {
            Some(client) => Records::connect(client.clone())?.topics()?,
            None => Vec::new(),
        };
        let width = |(topic, create): (&String, Option<&Create>)| {
            let there = find(&listed, topic).ok().map(|found| found.partitions.len() as u32);
            let asked = create.and_then(|create| create.partitions.map(Count::get));
            (topic.clone(), there.or(asked).unwrap_or(DEFAULT_PARTITIONS))
        };
        let sources = graph.sources().iter().filter(|source| source.file.is_none());
        let sources = sources.flat_map(|source| source.topics.iter().map(|topic| (topic, source.create.as_ref())));
        let sinks = graph.sinks().iter().map(|sink| (&sink.topic, sink.create.as_ref()));
        let widths = sources.chain(sinks).map(width).collect();
        Ok(Self { args: args.clone(), graph, input, client, widths, changelogs, directory, id })
    }

    /// The pipeline's name.
    pub(super) fn pipeline(&self) -> &str {
        self.graph.name()
    }

    /// Where trials leave what they made.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// What is tried, in a line.
    pub(super) fn about(&self) -> String {
        let log = self.args.kafka.brokers.as_ref().map_or("the embedded log".to_owned(), |at| format!("Kafka at {at}"));
        let store = format!("{:?}", self.args.store).to_lowercase();
        let fed = records(self.input.records());
        format!("verifying {} on {log}: {fed}, {} workers, store {store}", self.pipeline(), self.args.workers)
    }

    /// A run that is not killed.
    pub(super) fn reference(&self, name: &str) -> Result<Outcome> {
        let trial = self.trial(name)?;
        trial.feed()?;
        trial.finish()?;
        trial.outcome()
    }

    /// A run that is killed at a step and then goes on, or says why it does not; `None` if it never takes the step.
    pub(super) fn kill(&self, step: Step) -> Result<Option<(Died, Result<Outcome>)>> {
        for time in TIMES {
            let last = Last { step, time };
            let trial = self.trial(&last.to_string().replace(':', "-"))?;
            trial.feed()?;
            let died = match step {
                Step::Restore => trial.kill_restore(last)?,
                _ => trial.life(Some(last))?.then_died(&[last]),
            };
            let Some(died) = died else { continue };
            let outcome = match trial.finish() {
                Ok(()) => Ok(trial.outcome()?),
                Err(error) => Err(error),
            };
            return Ok(Some((Died(died), outcome)));
        }
        Ok(None)
    }

    /// Removes what trials have left on this machine. Where something was found they stay, to be looked at.
    pub(super) fn clean_up(&self) {
        if let Err(error) = fs::remove_dir_all(&self.directory) {
            tracing::warn!(%error, directory = %self.directory.display(), "what was tried cannot be removed");
        }
    }

    fn trial(&self, name: &str) -> Result<Trial<'_>> {
        let directory = self.directory.join(name);
        copy(&self.directory.join("plugins"), &directory.join("plugins"))
            .with_context(|| format!("cannot make {}", directory.display()))?;
        let cluster = match &self.client {
            Some(_) => format!("wasmill-verify-{}-{name}", self.id),
            None => DEFAULT_CLUSTER.to_owned(),
        };
        Ok(Trial { rehearsal: self, directory, cluster })
    }
}

impl End {
    fn then_died(&self, lasts: &[Last]) -> Option<Vec<Last>> {
        match self {
            Self::Died => Some(lasts.to_vec()),
            Self::Done => None,
        }
    }
}

/// One run of the pipeline, in one or more processes one after the other.
struct Trial<'a> {
    rehearsal: &'a Rehearsal,
    directory: PathBuf,
    cluster: String,
}

impl Trial<'_> {
    /// What stands before the names of the user's topics.
    fn prefix(&self) -> String {
        if self.rehearsal.client.is_some() { format!("{}.", self.cluster) } else { String::new() }
    }

    fn log(&self) -> Result<Box<dyn Broker>> {
        Ok(match &self.rehearsal.client {
            Some(client) => Box::new(Records::connect(client.clone())?),
            None => Box::new(embedded::connect(&self.directory)?),
        })
    }

    /// Makes the user's topics and writes the input.
    fn feed(&self) -> Result<()> {
        let (mut log, prefix) = (self.log()?, self.prefix());
        for (topic, &width) in &self.rehearsal.widths {
            log.ensure(&format!("{prefix}{topic}"), width)?;
        }
        for (topic, records) in &self.rehearsal.input.0 {
            log.append(&format!("{prefix}{topic}"), records)?;
        }
        Ok(())
    }

    fn command(&self, last: Option<Last>) -> Result<Command> {
        let args = &self.rehearsal.args;
        let mut command = Command::new(std::env::current_exe().context("cannot find this program")?);
        command.arg("run").arg(&args.pipeline).arg("--data-dir").arg(&self.directory);
        command.args(["--until-end", "--cluster", &self.cluster, "--session-timeout", "10s"]);
        command.args(["--store", &format!("{:?}", args.store).to_lowercase(), "--workers", &args.workers.to_string()]);
        let epoch = self.rehearsal.input.records() / usize::from(args.workers) / EPOCHS;
        command.args(["--epoch-records", &epoch.max(1).to_string(), "--topic-prefix", &self.prefix()]);
        if let Some(last) = last {
            command.args(["--end-at", &last.to_string()]);
            if last.step == Step::Apply {
                // Rows go to the store with each epoch then.
                command.args(["--row-cache", "0B"]);
            }
        }
        match &args.kafka.brokers {
            Some(brokers) => command.args(["--brokers", brokers]),
            None => command.env_remove("WASMILL_BROKERS"),
        };
        if let Some(file) = &args.kafka.kafka_config {
            command.arg("--kafka-config").arg(file);
        }
        command.env_remove("WASMILL_LOG").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        Ok(command)
    }

    /// Runs a process to its end.
    fn life(&self, last: Option<Last>) -> Result<End> {
        let mut child = self.command(last)?.spawn().context("cannot start a process")?;
        let mut stderr = child.stderr.take();
        let said = std::thread::spawn(move || {
            let mut said = Vec::new();
            // What cannot be read was not said.
            let _ = stderr.as_mut().map(|stderr| stderr.read_to_end(&mut said));
            String::from_utf8_lossy(&said).into_owned()
        });
        let status = wait(&mut child);
        let said = said.join().unwrap_or_default();
        match status? {
            Some(status) if status.success() => Ok(End::Done),
            Some(status) if last.is_some() && status.signal() == Some(libc::SIGABRT) => Ok(End::Died),
            Some(status) => bail!("a process of {} ended with {status}:\n{said}", self.directory.display()),
            None => bail!("a process of {} did not end within {PATIENCE:?}:\n{said}", self.directory.display()),
        }
    }

    fn finish(&self) -> Result<()> {
        self.life(None).map(drop)
    }

    /// Restoring takes rows and a store without them: a process dies when it has some, its store is lost, and the next one
    /// dies while it reads the changelog.
    fn kill_restore(&self, last: Last) -> Result<Option<Vec<Last>>> {
        let before = Last { step: Step::Apply, ..last };
        let End::Died = self.life(Some(before))? else { return Ok(None) };
        let store = self.directory.join("store");
        if store.exists() {
            fs::remove_dir_all(&store).with_context(|| format!("cannot remove {}", store.display()))?;
        }
        let last = Last { time: 1, ..last };
        Ok(self.life(Some(last))?.then_died(&[before, last]))
    }

    /// What there is in the end.
    fn outcome(&self) -> Result<Outcome> {
        let (prefix, graph) = (self.prefix(), &self.rehearsal.graph);
        let watch = |name: String, topic: &str| Watched { topic: format!("{prefix}{topic}"), name, state: false };
        let sinks = graph.sinks().iter().map(|sink| watch(format!("sink {}", sink.name), &sink.topic));
        let dead = watch("dead letters".into(), graph.dead_letters());
        let changelogs = self.rehearsal.changelogs.iter().map(|(topic, operator)| Watched {
            topic: format!("{}{topic}", self.cluster),
            name: format!("state of {operator}"),
            state: true,
        });
        let watched: Vec<_> = sinks.chain([dead]).chain(changelogs).collect();
        if let Some(client) = &self.rehearsal.client {
            let lookup = Lookup::new(client)?;
            watched.iter().try_for_each(|watched| lookup.settle(&watched.topic))?;
        }
        Outcome::read(self.log()?.as_mut(), &watched)
    }

    /// Deletes its topics on Kafka, and its group.
    fn delete(&self, client: &Client) -> Result<()> {
        let topics: Vec<_> = admin::list(client)?.into_iter().map(|(topic, _)| topic).collect();
        let own =
            topics.iter().map(String::as_str).filter(|topic| topic.starts_with(&self.prefix())).collect::<Vec<_>>();
        Ok(admin::forget(client, &format!("{}.{}", self.cluster, self.rehearsal.pipeline()), &own)?)
    }
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        let Some(client) = &self.rehearsal.client else { return };
        if let Err(error) = self.delete(client) {
            tracing::warn!(cluster = self.cluster, "what was tried on Kafka cannot be deleted: {error:#}");
        }
    }
}

/// Waits for the end of a process; `None` if it takes too long, and is killed.
fn wait(child: &mut Child) -> Result<Option<ExitStatus>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(LOOK);
    }
}

/// Copies the files of a directory into another one.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}
