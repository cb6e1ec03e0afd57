//! `wasmill run`: runs pipelines in the foreground.

pub(super) mod feed;
mod output;
mod reload;
mod restores;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use wasmill_core::task::memory::Counts;

use self::feed::Feed;
use self::output::{Printer, Top};
use self::reload::Reloads;
use self::restores::Restores;
use super::KafkaArgs;
use super::signals::Signals;
use crate::data_dir::{DataDir, FILES};
use crate::files;
use crate::kafka::{Leave, Timing};
use crate::node::backend::Backend;
use crate::node::embedded::{Embedded, StoreKind};
use crate::node::kafka::Kafka;
use crate::node::plugins::Plugins;
use crate::node::running::{OperatorTotals, Prepared, Reading, Running, Settings, Totals};
use crate::observe::{self, Server};
use crate::pipeline::size::ByteSize;
use crate::pipeline::{self, Graph};
use crate::plugin::Placed;
use crate::step::{self, Last};

/// How often it is looked whether all is done.
const LOOK: Duration = Duration::from_millis(20);

/// How long the log may fail to say where it ends.
const PATIENCE: Duration = Duration::from_mins(1);

/// How often what is done with is deleted from the repartition topics.
const PURGE: Duration = Duration::from_secs(30);

/// How often it is looked whether sources have more partitions.
const GROW: Duration = Duration::from_secs(10);

/// Run pipelines in the foreground, on the log in this process
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    wasmill run examples/word-count --until-end --top counts=10\n  \
    wasmill run pipeline.yaml --feed orders=orders.jsonl --print revenue\n  \
    tail -f access.log | wasmill run . --feed lines=-")]
pub struct Args {
    /// Pipeline files, or directories that hold a pipeline.yaml
    #[arg(required = true, value_name = "PIPELINE")]
    pub pipelines: Vec<PathBuf>,
    /// First write a file to a source's topic; `-` is standard input
    #[arg(long, value_name = "SOURCE=FILE")]
    pub feed: Vec<Feed>,
    /// Print what arrives at a sink
    #[arg(long, value_name = "SINK")]
    pub print: Vec<String>,
    /// At the end print the N greatest last values of a sink
    #[arg(long, value_name = "SINK=N")]
    pub top: Vec<Top>,
    /// Stop when all input that is there, and what comes of it, is processed and committed
    #[arg(long)]
    pub until_end: bool,
    /// Where the log and the rows are kept [default: `.wasmill/PIPELINE`, by the first]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Start over: forget all that the pipelines did before. Users' topics on Kafka stay
    #[arg(long)]
    pub fresh: bool,
    /// Where rows are kept
    #[arg(long, default_value = "sled")]
    pub store: StoreKind,
    /// Rows that each worker keeps in memory, over the store
    #[arg(long, value_name = "SIZE", default_value = "128MiB")]
    pub row_cache: ByteSize,
    /// Worker threads of each pipeline [default: as many as there are processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub workers: Option<u16>,
    /// Which Kafka cluster, if any
    #[command(flatten)]
    pub kafka: KafkaArgs,
    /// How long a node may be silent on Kafka before others get its tasks
    #[arg(long, value_name = "DURATION", default_value = "45s", value_parser = session)]
    pub session_timeout: Seconds,
    /// At the end keep the tasks on Kafka for a restart within the session timeout, instead of leaving them to other nodes
    #[arg(long)]
    pub stay: bool,
    /// Serve /livez, /readyz and /metrics here, for example 127.0.0.1:9400
    #[arg(long, value_name = "ADDR")]
    pub observe: Option<SocketAddr>,
    /// First part of the names of all topics that belong to the pipelines
    #[arg(long, value_name = "NAME", default_value = pipeline::plan::DEFAULT_CLUSTER)]
    pub cluster: String,
    /// How `wasmill verify` runs it
    #[command(flatten)]
    pub rehearsal: Rehearsal,
}

/// How `wasmill verify` has a pipeline run
#[derive(Clone, Debug, clap::Args)]
pub struct Rehearsal {
    /// End the process at a step of the commit protocol
    #[arg(long, hide = true, value_name = "STEP[:N]")]
    pub end_at: Option<Last>,
    /// Have a worker come no further than a step of the commit protocol
    #[arg(long, hide = true, value_name = "STEP[:N]", conflicts_with = "end_at")]
    pub hang_at: Option<Last>,
    /// On SIGHUP go on with the plugins that are there by then
    #[arg(long, hide = true)]
    pub reload_on_hangup: bool,
    /// How long a transaction may be open on Kafka
    #[arg(long, hide = true, value_name = "DURATION", default_value = "60s")]
    pub transaction_timeout: Seconds,
    /// End an epoch after so many records
    #[arg(long, hide = true, value_name = "N")]
    pub epoch_records: Option<u64>,
    /// Put this before the names of the topics that the pipeline file names
    #[arg(long, hide = true, value_name = "PREFIX", default_value = "")]
    pub topic_prefix: String,
}

/// Runs the pipelines until they are done, or a signal comes.
pub fn run(args: &Args, signals: &Signals) -> Result<()> {
    let mut graphs = args.pipelines.iter().map(|path| load(path)).collect::<Result<Vec<_>>>()?;
    graphs.iter_mut().for_each(|graph| graph.prefix_topics(&args.rehearsal.topic_prefix));
    if let Some(last) = args.rehearsal.end_at {
        step::end_at(last);
    }
    args.rehearsal.hang_at.into_iter().for_each(step::hang_at);
    check_names(&graphs)?;
    feed::check(&args.feed, &graphs)?;
    output::check(args.print.iter().map(String::as_str).chain(args.top.iter().map(Top::sink)), &graphs)?;
    files::check::check(&graphs)?;
    let data_dir = data_dir(args, &graphs)?;
    if args.fresh {
        start_over(&data_dir)?;
    }
    let dir = DataDir::open(&data_dir)?;
    let mut plugins = Plugins::new(&data_dir.join("plugins"))?;
    let placed = graphs.iter().map(|graph| plugins.place(graph)).collect::<Result<Vec<_>>>()?;
    let counts = plugins.counts();
    tracing::debug!(compiled = counts.compiled, found = counts.found, "plugins are ready");
    let backend = open(args, dir)?;
    let session = Session { args, graphs: &graphs, backend, data_dir: &data_dir };
    session.run(plugins, &placed, signals)
}

fn open(args: &Args, dir: DataDir) -> Result<Arc<dyn Backend>> {
    let Some(client) = args.kafka.client()? else { return Ok(Arc::new(Embedded::open(dir, args.store)?)) };
    let transaction = args.rehearsal.transaction_timeout.0;
    let timing = Timing { session: args.session_timeout.0, ..Timing::of(transaction) };
    Ok(Arc::new(Kafka::open(client.with_timing(timing), dir, args.store)?))
}

/// A duration as users write it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Seconds(Duration);

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse::<crate::pipeline::duration::Duration>().map(|duration| Self(duration.into()))
    }
}

/// A session that a client of Kafka can have. The brokers have limits of their own.
fn session(text: &str) -> Result<Seconds, String> {
    let session: Seconds = text.parse()?;
    let fits = (Duration::from_secs(1)..=Duration::from_hours(1)).contains(&session.0);
    if fits { Ok(session) } else { Err(format!("`{text}` is not from 1s to 1h")) }
}

/// Reads a pipeline file, and tells what in it is hardly meant.
pub fn load(path: &Path) -> Result<Graph> {
    let graph = pipeline::load(path)?;
    for warning in graph.warnings() {
        eprintln!("{warning}");
    }
    Ok(graph)
}

fn check_names(graphs: &[Graph]) -> Result<()> {
    let mut names = BTreeMap::new();
    for graph in graphs {
        if let Some(other) = names.insert(graph.name(), graph.file()) {
            bail!(
                "{} and {} are both named {}: pipelines that run together need different names",
                other.display(),
                graph.file().display(),
                graph.name()
            );
        }
    }
    Ok(())
}

fn data_dir(args: &Args, graphs: &[Graph]) -> Result<PathBuf> {
    match (&args.data_dir, graphs.first()) {
        (Some(path), _) => Ok(path.clone()),
        (None, Some(first)) => Ok(Path::new(super::BASE).join(first.name())),
        (None, None) => bail!("no pipeline was given"),
    }
}

/// Removes what is in a data directory that nobody uses. Compiled plugins stay: they do not depend on it.
fn start_over(path: &Path) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let dir = DataDir::open(path)?;
    files::withdraw(&dir.files()).context("cannot take out of the files what was written to them")?;
    dir.empty().with_context(|| format!("cannot start over in {}", path.display()))
}

/// Pipelines with all that they need to run.
struct Session<'a> {
    args: &'a Args,
    graphs: &'a [Graph],
    backend: Arc<dyn Backend>,
    data_dir: &'a Path,
}

impl Session<'_> {
    fn run(&self, plugins: Plugins, placed: &[BTreeMap<String, Placed>], signals: &Signals) -> Result<()> {
        let started = Instant::now();
        let counts = plugins.counts();
        let reloads = self.args.rehearsal.reload_on_hangup.then(|| Reloads::listen(plugins));
        let mut reloads = reloads.transpose()?;
        let listener = self.args.observe.map(observe::listen).transpose()?;
        let fed = feed::feed(self.backend.as_ref(), &self.args.feed, self.graphs)?;
        let prepared = self.graphs.iter().zip(placed);
        let prepared = prepared
            .map(|(graph, placed)| {
                Prepared::new(graph, placed, &self.args.cluster, self.backend.as_ref(), self.args.fresh)
            })
            .collect::<Result<Vec<_>>>()?;
        let workers = self.args.workers.map_or_else(processors, usize::from);
        let row_cache = usize::try_from(self.args.row_cache.bytes()).unwrap_or(usize::MAX);
        let files = self.data_dir.join(FILES);
        let leave = if self.args.stay { Leave::Stay } else { Leave::Now };
        let epoch_records = self.args.rehearsal.epoch_records;
        let reading = if self.args.until_end { Reading::UntilEnd } else { Reading::All };
        let settings = Settings { workers, reading, row_cache, epoch_records, files, leave };
        let mut printer = Printer::new(self.backend.as_ref(), self.graphs, &self.args.print)?;
        let running = Running::start(self.backend.clone(), &self.args.cluster, prepared, &settings)?;
        let server = listener.map(|listener| Server::start(listener, running.observed(), counts)).transpose();
        if let Ok(Some(server)) = &server {
            eprintln!("metrics are at http://{}/metrics", server.address());
        }
        if !self.args.until_end {
            eprintln!("running {}; stop it with Ctrl-C", self.names());
        }
        let watched = server.and_then(|server| {
            let watched = self.watch(&running, &mut printer, &mut reloads, signals);
            drop(server);
            watched
        });
        let totals = running.stop();
        watched?;
        let totals = totals?;
        for sink in self.graphs.iter().flat_map(Graph::sinks).filter(|sink| self.shows(&sink.name)) {
            self.backend.settle(&sink.topic)?;
        }
        printer.finish(&mut io::stdout().lock())?;
        for top in &self.args.top {
            top.print(self.backend.as_ref(), self.graphs, &mut io::stdout().lock())?;
        }
        self.summarize(&totals, fed, started.elapsed());
        Ok(())
    }

    /// Whether anything of a sink is printed.
    fn shows(&self, sink: &str) -> bool {
        self.args.print.iter().any(|name| name == sink) || self.args.top.iter().any(|top| top.sink() == sink)
    }

    fn names(&self) -> String {
        self.graphs.iter().map(Graph::name).collect::<Vec<_>>().join(", ")
    }

    fn watch(
        &self,
        running: &Running,
        printer: &mut Printer,
        reloads: &mut Option<Reloads>,
        signals: &Signals,
    ) -> Result<()> {
        let (mut purged, mut asked, mut grown) = (Instant::now(), Instant::now(), Instant::now());
        let mut restores = Restores::new();
        loop {
            running.wait(LOOK);
            running.check()?;
            restores.tell(&running.restoring());
            if purged.elapsed() > PURGE {
                running.purge();
                purged = Instant::now();
            }
            if grown.elapsed() > GROW && !self.args.until_end {
                running.grow()?;
                grown = Instant::now();
            }
            if let Some(reloads) = reloads {
                reloads.look(running, self.graphs, &self.args.cluster);
            }
            printer.print(&mut io::stdout().lock())?;
            if signals.stop() {
                return Ok(());
            }
            match self.args.until_end.then(|| running.is_done()) {
                Some(Ok(true)) => return Ok(()),
                // A log that does not answer for a while is no reason to end.
                Some(Err(error)) if asked.elapsed() > PATIENCE => return Err(error),
                Some(Err(_)) => {}
                Some(Ok(false)) | None => asked = Instant::now(),
            }
        }
    }

    fn summarize(&self, totals: &Totals, fed: u64, took: Duration) {
        let mut err = io::stderr().lock();
        let Totals { records, epochs, .. } = *totals;
        let line = if records == 0 {
            format!(
                "nothing new: all {} input was processed before; start over with --fresh, or feed more with --feed",
                self.names()
            )
        } else {
            let rate = records as f64 / took.as_secs_f64().max(0.001);
            let seconds = took.as_secs_f64();
            format!("{records} records in {epochs} epochs and {seconds:.1} s, {rate:.0} records/s")
        };
        // Who closed standard error does not want to know.
        let _ = writeln!(err, "{line}");
        for line in totals.operators.iter().filter(|operator| operator.counts.input > 0).map(counted) {
            let _ = writeln!(err, "{line}");
        }
        if fed == 0 && records == 0 {
            let _ = writeln!(err, "the log is in {}", self.data_dir.display());
        }
    }
}

/// What became of an operator's records, in a line.
fn counted(operator: &OperatorTotals) -> String {
    let OperatorTotals { pipeline, operator, counts, .. } = operator;
    let failed = [(counts.late, "late"), (counts.dead_lettered.total(), "dead letters"), (counts.skipped, "skipped")];
    let failed = failed.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!(", {count} {what}"));
    let Counts { input, emitted, .. } = counts;
    format!("  {pipeline}.{operator}: {input} in so far, {emitted} out{}", failed.collect::<String>())
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
