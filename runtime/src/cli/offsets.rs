//! `wasmill offsets`: shows where a stopped pipeline stands, and moves it.

mod target;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, bail};
use serde::Serialize;
use wasmill_core::commit::Repair;
use wasmill_core::record::{Epoch, Offset};

use self::target::Target;
use super::run::load;
use super::topics::Output;
use super::{BASE, KafkaArgs, until_closed};
use crate::data_dir::{DataDir, DataDirError, is_data_dir};
use crate::kafka::Leave;
use crate::node::backend::Backend;
use crate::node::embedded::{Embedded, StoreKind};
use crate::node::kafka::Kafka;
use crate::node::plugins::Plugins;
use crate::node::running::offsets::{Standing, place};
use crate::node::running::{Prepared, Reading, Running, Settings};
use crate::pipeline::{self, Graph};
use crate::plugin::Placed;

/// Show where a pipeline that is stopped stands in its inputs, or move it
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    wasmill offsets pipeline.yaml\n  \
    wasmill offsets pipeline.yaml --reset latest\n  \
    wasmill offsets pipeline.yaml --reset orders=earliest --drop-state\n  \
    wasmill offsets pipeline.yaml --reset orders/3=1200 --brokers localhost:9092")]
pub struct Args {
    /// A pipeline file, or a directory that holds a pipeline.yaml
    #[arg(value_name = "PIPELINE")]
    pub pipeline: PathBuf,
    /// Where the log is kept [default: `.wasmill/PIPELINE`]
    #[arg(long, value_name = "DIR", conflicts_with = "brokers")]
    pub data_dir: Option<PathBuf>,
    /// Which Kafka cluster, if any
    #[command(flatten)]
    pub kafka: KafkaArgs,
    /// First part of the names of all topics that belong to the pipeline
    #[arg(long, value_name = "NAME", default_value = pipeline::plan::DEFAULT_CLUSTER)]
    pub cluster: String,
    /// Move all sources, one, or a partition of one: `earliest`, `latest`, a time, or an offset
    #[arg(long, value_name = "[SOURCE[/PARTITION]=]WHERE")]
    pub reset: Vec<Target>,
    /// Forget all that the operators remember, with a reset
    #[arg(long, requires = "reset", conflicts_with = "from_changelog")]
    pub drop_state: bool,
    /// Go on from what the changelogs say, where somebody has changed or lost the group's offsets
    #[arg(long)]
    pub from_changelog: bool,
    /// How to print them
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub output: Output,
}

impl Args {
    fn repair(&self) -> Repair {
        match (self.from_changelog, self.reset.is_empty()) {
            (true, _) => Repair::FromChangelog,
            (false, true) => Repair::Never,
            (false, false) => Repair::Forget,
        }
    }
}

/// Shows the offsets, after it has moved them where that is asked for.
pub fn run(args: &Args, to: &mut impl Write) -> Result<()> {
    let graph = load(&args.pipeline)?;
    let site = Site::open(args, graph)?;
    let before = site.standings()?;
    if args.reset.is_empty() && !args.from_changelog {
        return Ok(until_closed(print(&before, args.output, to))?);
    }
    let moves = moves(args, &site, &before)?;
    site.reset(&moves, args.drop_state)?;
    Ok(until_closed(print(&site.standings()?, args.output, to))?)
}

/// A pipeline that is not running, and its log.
struct Site<'a> {
    args: &'a Args,
    graph: Graph,
    placed: BTreeMap<String, Placed>,
    backend: Arc<dyn Backend>,
    /// Where rows are read to on Kafka: this process is a node of a moment.
    directory: Option<PathBuf>,
}

impl<'a> Site<'a> {
    fn open(args: &'a Args, graph: Graph) -> Result<Self> {
        let placed = Plugins::transient()?.place(&graph)?;
        if let Some(client) = args.kafka.client()?.filter(|_| args.data_dir.is_none()) {
            let directory = std::env::temp_dir().join(format!("wasmill-offsets-{}", uuid::Uuid::new_v4()));
            let backend = Kafka::open(client, DataDir::open(&directory)?, StoreKind::Sled)?;
            return Ok(Self { args, graph, placed, backend: Arc::new(backend), directory: Some(directory) });
        }
        let path = args.data_dir.clone().unwrap_or_else(|| PathBuf::from(BASE).join(graph.name()));
        if !is_data_dir(&path) {
            return Err(DataDirError::Missing(path).into());
        }
        let backend = Embedded::open(DataDir::open(&path)?, StoreKind::Memory)?;
        Ok(Self { args, graph, placed, backend: Arc::new(backend), directory: None })
    }

    fn prepared(&self) -> Result<Prepared> {
        Prepared::existing(&self.graph, &self.placed, &self.args.cluster, self.backend.as_ref())
    }

    fn standings(&self) -> Result<Vec<Standing>> {
        self.prepared()?.standings(self.backend.as_ref(), self.args.repair())
    }

    fn reset(&self, moves: &[(Standing, Offset)], forget: bool) -> Result<()> {
        let prepared = self.prepared()?;
        let members = self.backend.members(prepared.group())?;
        if !members.is_empty() {
            bail!(
                "reset {}: it runs, or has stopped with --stay and holds its place: stop {}, or wait until its session ends",
                self.graph.name(),
                members.join(", ")
            );
        }
        let files = self.directory.clone().unwrap_or_default();
        let settings = Settings {
            workers: 1,
            reading: Reading::Nothing(self.args.repair()),
            row_cache: 0,
            epoch_records: None,
            files,
            leave: Leave::Now,
        };
        let running = Running::start(self.backend.clone(), &self.args.cluster, vec![prepared], &settings)?;
        let reset = running.reset(moves, forget);
        let stopped = running.stop();
        reset?;
        stopped?;
        Ok(())
    }
}

impl Drop for Site<'_> {
    fn drop(&mut self) {
        if let Some(directory) = &self.directory {
            // It is in the system's directory for such things.
            let _ = std::fs::remove_dir_all(directory);
        }
    }
}

/// Which inputs go where.
fn moves(args: &Args, site: &Site<'_>, standings: &[Standing]) -> Result<Vec<(Standing, Offset)>> {
    let (name, prepared) = (site.graph.name(), site.prepared()?);
    let stateful = prepared.stateful();
    if !stateful.is_empty() && !args.drop_state && !args.from_changelog {
        bail!(
            "reset {name}: what is read again would count twice, for {} remembers what was read before: say --drop-state \
             to have all of that forgotten",
            stateful.join(", ")
        );
    }
    knows_all(args, name, standings)?;
    let mut moves: Vec<(Standing, Offset)> = Vec::new();
    for target in &args.reset {
        let sources = || standings.iter().filter(|standing| standing.source);
        if !sources().any(|standing| target.names(standing)) {
            let places: Vec<_> = sources().map(place).collect();
            bail!("reset {name}: no source is named by {target}; the sources are those of {}", places.join(", "));
        }
        for standing in sources().filter(|standing| target.names(standing)) {
            let next = target.offset(standing, site.backend.as_ref())?;
            moves.retain(|(other, _)| (other.task, other.input) != (standing.task, standing.input));
            moves.push((standing.clone(), next));
        }
    }
    if args.drop_state {
        // What the operators upstream made is made anew: what waits of it is left out.
        moves.extend(standings.iter().filter(|standing| !standing.source).map(|own| (own.clone(), own.end)));
    }
    Ok(moves)
}

/// Fails where nothing says where a task of a source is to go on: its offset is lost, no changelog knows it, and no reset
/// names it. A changelog does not know which file an offset counts in.
fn knows_all(args: &Args, name: &str, standings: &[Standing]) -> Result<()> {
    let has_run = standings.iter().any(|standing| standing.epoch.is_some());
    let is_lost = |standing: &&Standing| {
        let known = args.from_changelog && standing.remembered && !standing.file;
        let fresh = args.from_changelog && standing.epoch == Some(Epoch(0));
        standing.source && !known && (standing.epoch.is_none() || fresh)
    };
    let is_told = |standing: &Standing| args.reset.iter().any(|target| target.names(standing));
    let lost =
        standings.iter().filter(is_lost).find(|standing| !is_told(standing)).filter(|_| has_run || args.from_changelog);
    match lost {
        None => Ok(()),
        Some(standing) => bail!(
            "reset {name}: the offset of {} is lost, and no changelog knows it: say where to go on with --reset {}/{}=OFFSET",
            place(standing),
            standing.name,
            standing.task.partition
        ),
    }
}

#[derive(Serialize)]
struct Line<'a> {
    name: &'a str,
    topic: &'a str,
    partition: u32,
    next: Option<i64>,
    start: i64,
    end: i64,
    lag: i64,
    epoch: Option<u64>,
}

impl<'a> Line<'a> {
    fn of(standing: &'a Standing) -> Self {
        let Standing { name, topic, task, next, start, end, epoch, .. } = standing;
        let from = next.unwrap_or(*start);
        Self {
            name,
            topic,
            partition: task.partition.0,
            next: next.map(|next| next.0),
            start: start.0,
            end: end.0,
            lag: (end.0 - from.0).max(0),
            epoch: epoch.map(|epoch| epoch.0),
        }
    }
}

fn print(standings: &[Standing], output: Output, to: &mut impl Write) -> io::Result<()> {
    let lines: Vec<_> = standings.iter().map(Line::of).collect();
    if output == Output::Json {
        serde_json::to_writer_pretty(&mut *to, &lines)?;
        return writeln!(to);
    }
    let width = |of: fn(&Line<'_>) -> usize, title: &str| lines.iter().map(of).max().unwrap_or(0).max(title.len());
    let (name, topic) = (width(|line| line.name.len(), "INPUT"), width(|line| line.topic.len(), "TOPIC"));
    writeln!(
        to,
        "{:name$}  {:topic$}  {:>9}  {:>12}  {:>12}  {:>12}  {:>8}",
        "INPUT", "TOPIC", "PARTITION", "NEXT", "END", "LAG", "EPOCH"
    )?;
    let told = |number: Option<String>| number.unwrap_or_else(|| "-".to_owned());
    for line in &lines {
        let (next, epoch) = (told(line.next.map(|n| n.to_string())), told(line.epoch.map(|n| n.to_string())));
        writeln!(
            to,
            "{:name$}  {:topic$}  {:>9}  {next:>12}  {:>12}  {:>12}  {epoch:>8}",
            line.name, line.topic, line.partition, line.end, line.lag
        )?;
    }
    Ok(())
}
