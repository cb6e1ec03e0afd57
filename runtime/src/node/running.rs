//! Pipelines that run: their workers, and whether they are done.

mod observed;
pub mod offsets;
mod prepared;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};
use tracing::{info, warn};
use wasmill_core::commit::{Bounds, Repair, RowCache};
use wasmill_core::record::Partition;
use wasmill_core::state::Size;
use wasmill_core::task::memory::Counts;

pub use self::observed::{Observed, Restoring, Seen};
pub use self::prepared::Prepared;
use super::alone::Gate;
use super::backend::{Backend, Membership, Site};
use super::division::Division;
use super::widths::{Unfit, Widths};
use super::worker::{Board, Command, Handle, Job, Status, spawn};
use crate::embedded::Stops;
use crate::files::Writer;
use crate::kafka::Leave;
use crate::metrics::meter::Meter;

/// How pipelines are run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Workers of each pipeline.
    pub workers: usize,
    /// What to read.
    pub reading: Reading,
    /// Bytes of committed rows that each worker keeps in memory.
    pub row_cache: usize,
    /// Records after which an epoch ends, where that is not to be as ever.
    pub epoch_records: Option<u64>,
    /// Where it is recorded how much of the files of sinks is written.
    pub files: PathBuf,
    /// Whether the tasks go to other nodes at the end.
    pub leave: Leave,
}

/// What pipelines read of their inputs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reading {
    /// What is there and what comes.
    All,
    /// What is there now, and what comes of it.
    UntilEnd,
    /// Nothing: the tasks are only acquired, with this done about rows that contradict their changelogs.
    Nothing(Repair),
}

/// Pipelines that run.
pub struct Running {
    backend: Arc<dyn Backend>,
    pipelines: Arc<[Pipeline]>,
    workers: Vec<Handle>,
    writers: Vec<Writer>,
    board: Arc<Board>,
    gate: Arc<Gate>,
    leave: Leave,
}

struct Pipeline {
    prepared: Prepared,
    /// The partitions of its sources' topics, as they were seen last.
    seen: Mutex<BTreeMap<String, u32>>,
    site: Arc<dyn Site>,
    stops: Stops,
    /// Its workers, as indexes into the board.
    workers: std::ops::Range<usize>,
    /// What is measured of each of them.
    meters: Vec<Arc<Meter>>,
}

impl Pipeline {
    fn grow(&self, backend: &dyn Backend) -> Result<()> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for (source, topic, _) in self.prepared.sources() {
            // A cluster that does not answer now is asked again.
            let (Ok(Some(now)), Some(before)) = (backend.partitions(topic), seen.get(topic).copied()) else { continue };
            if now <= before {
                continue;
            }
            let pipeline = &self.prepared.plan.pipeline;
            let what = format!("topic {topic} of source {source} has {now} partitions now, and had {before}");
            match Widths::settle(&self.prepared.plan, backend) {
                Ok(widths)
                    if (0..self.prepared.plan.stages.len())
                        .any(|stage| widths.stage(stage) > self.prepared.widths.stage(stage)) =>
                {
                    info!(
                        pipeline,
                        source, topic, now, before, "a source has more partitions: they are read from their beginning"
                    );
                }
                // Another input of the stage is as wide.
                Ok(_) => warn!(pipeline, "{what}: a task that runs reads them when it is started again"),
                Err(error) if error.is::<Unfit>() => {
                    return Err(error.context(format!("pipeline {pipeline} stopped: {what}")));
                }
                Err(error) => {
                    warn!(pipeline, "{what}: they are taken up at the next try: {error:#}");
                    continue;
                }
            }
            seen.insert(topic.to_owned(), now);
        }
        Ok(())
    }
}

/// What became of the records that an operator was given, since its pipeline began, and what it remembers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OperatorTotals {
    /// The pipeline.
    pub pipeline: String,
    /// The operator.
    pub operator: String,
    /// On all tasks of this process.
    pub counts: Counts,
    /// On all tasks of this process; `None` for an operator without state.
    pub size: Option<Size>,
}

impl OperatorTotals {
    /// Adds what it is at another place.
    fn add(&mut self, counts: &Counts, size: Option<Size>) {
        self.counts.add(counts);
        if let Some(size) = size {
            self.size.get_or_insert_default().add(&size);
        }
    }
}

/// What was done.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Totals {
    /// Records read from sources and committed.
    pub records: u64,
    /// Epochs committed.
    pub epochs: u64,
    /// Rows that were restored.
    pub restored: u64,
    /// What became of the records of each operator.
    pub operators: Vec<OperatorTotals>,
}

impl Running {
    /// Starts the workers of pipelines, and gives them their tasks.
    pub fn start(
        backend: Arc<dyn Backend>,
        cluster: &str,
        prepared: Vec<Prepared>,
        settings: &Settings,
    ) -> Result<Self> {
        let written: BTreeSet<String> = prepared.iter().flat_map(Prepared::writes).map(str::to_owned).collect();
        let written: BTreeSet<&str> = written.iter().map(String::as_str).collect();
        let per_pipeline = |prepared: &Prepared| settings.workers.clamp(1, prepared.assembly.tasks.len().max(1));
        let board = Board::new(prepared.iter().map(per_pipeline).sum());
        let mut writers = Vec::new();
        for prepared in &prepared {
            writers.extend(prepared.writers(backend.as_ref(), &settings.files)?);
        }
        let (pipelines, workers, gate) = (Arc::default(), Vec::new(), Arc::default());
        let leave = settings.leave;
        let mut running = Self { backend, pipelines, workers, writers, board, gate, leave };
        let mut pipelines = Vec::new();
        for prepared in prepared {
            if !matches!(settings.reading, Reading::Nothing(_)) {
                prepared.check_rows(running.backend.as_ref())?;
            }
            let stops = match settings.reading {
                Reading::UntilEnd => prepared.stops(running.backend.as_ref(), &written)?,
                Reading::All | Reading::Nothing(_) => Stops::new(),
            };
            let first = running.workers.len();
            let workers = first..first + per_pipeline(&prepared);
            let meters: Vec<_> = workers.clone().map(|_| Arc::new(prepared.assembly.meter())).collect();
            let site = running.spawn(&prepared, cluster, &stops, settings, &meters)?;
            let seen = Mutex::new(prepared.sources().map(|(_, topic, width)| (topic.to_owned(), width)).collect());
            pipelines.push(Pipeline { prepared, seen, site, stops, workers, meters });
        }
        running.pipelines = pipelines.into();
        Ok(running)
    }

    fn spawn(
        &mut self,
        prepared: &Prepared,
        cluster: &str,
        stops: &Stops,
        settings: &Settings,
        meters: &[Arc<Meter>],
    ) -> Result<Arc<dyn Site>> {
        let bounds = Bounds::default();
        let records = settings.epoch_records.unwrap_or(bounds.records);
        let bounds = Bounds { age: prepared.plan.commit_interval, records, ..bounds };
        let (pipeline, topology) = (&prepared.plan.pipeline, &prepared.assembly.topology);
        let site = self.backend.site(cluster, pipeline, topology, stops)?;
        let row_cache = RowCache { bytes: settings.row_cache, ..RowCache::default() };
        let assembly = prepared.assembly.clone();
        let (pipeline, gate) = (pipeline.clone(), self.gate.clone());
        let (idle, repair) = match settings.reading {
            Reading::Nothing(repair) => (true, repair),
            Reading::All | Reading::UntilEnd => (false, Repair::Never),
        };
        let job = Job { pipeline, assembly, site: site.clone(), gate, bounds, row_cache, idle, repair };
        let (job, first) = (Arc::new(job), self.workers.len());
        for (worker, meter) in meters.iter().enumerate() {
            self.workers.push(spawn(job.clone(), worker, first + worker, self.board.clone(), meter.clone())?);
        }
        let commands = self.workers.get(first..).unwrap_or_default().iter().map(Handle::commands).collect();
        let division = Division::new(commands);
        match site.membership() {
            Membership::Alone => division.acquire(&prepared.assembly.tasks),
            Membership::Group(group, events) => division.follow(group, events)?,
        }
        Ok(site)
    }

    /// Takes up partitions that sources have got. Fails if a pipeline cannot go on with them.
    pub fn grow(&self) -> Result<()> {
        self.pipelines.iter().try_for_each(|pipeline| pipeline.grow(self.backend.as_ref()))
    }

    /// A pipeline by its name, with its workers.
    pub(super) fn pipeline(&self, name: &str) -> Option<(&Prepared, &[Handle])> {
        let pipeline = self.pipelines.iter().find(|pipeline| pipeline.prepared.plan.pipeline == name)?;
        Some((&pipeline.prepared, self.workers.get(pipeline.workers.clone())?))
    }

    pub(super) fn backend(&self) -> &dyn Backend {
        self.backend.as_ref()
    }

    /// What can be seen of it from outside, from any thread.
    pub fn observed(&self) -> Observed {
        Observed { backend: self.backend.clone(), pipelines: self.pipelines.clone(), board: self.board.clone() }
    }

    /// What is restored, and how far it is.
    pub fn restoring(&self) -> Vec<Restoring> {
        let statuses = self.board.read();
        self.pipelines.iter().flat_map(|pipeline| pipeline.restoring(&statuses)).collect()
    }

    /// Waits for news, at most so long.
    pub fn wait(&self, at_most: Duration) {
        self.board.wait(at_most);
    }

    /// Fails if a worker did.
    pub fn check(&self) -> Result<()> {
        let failed = self.board.read().into_iter().find_map(|status| status.failed);
        match failed.or_else(|| self.writers.iter().find_map(Writer::failed)) {
            Some(reason) => bail!(reason),
            None => Ok(()),
        }
    }

    /// Whether all that was there, and all that came of it, is processed and committed.
    ///
    /// The workers' statuses are read first, the ends of their inputs after: who was quiet with an input read to
    /// where it ends now has had nothing to do since.
    pub fn is_done(&self) -> Result<bool> {
        let statuses = self.board.read();
        for pipeline in self.pipelines.iter() {
            let own = statuses.get(pipeline.workers.clone()).unwrap_or_default();
            let tasks: usize = own.iter().map(|status| status.tasks).sum();
            if tasks < pipeline.prepared.assembly.tasks.len() || !own.iter().all(|status| status.quiet) {
                return Ok(false);
            }
            for (task, input, topic) in pipeline.prepared.inputs() {
                let Some(at) = own.iter().find_map(|status| *status.ends.get(&(task, input))?) else {
                    return Ok(false);
                };
                if pipeline.prepared.file(task, input).is_some() {
                    continue;
                }
                let end = match pipeline.stops.get(&(task, input)) {
                    Some(&stop) => stop,
                    None => self.backend.end(topic, task.partition)?,
                };
                if at < end {
                    return Ok(false);
                }
            }
        }
        for writer in &self.writers {
            // Whoever writes to it was quiet before this is asked.
            if writer.next() < self.backend.end(writer.topic(), Partition(0))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Deletes what the repartition topics hold that is processed and committed, and what is in the files of sinks.
    pub fn purge(&self) {
        let written = self.writers.iter().map(|writer| (writer.topic(), Partition(0), writer.next()));
        let written: Vec<_> = written.filter(|(.., next)| next.0 > 0).collect();
        if let Err(error) = self.backend.purge(&written) {
            warn!("written records stay in the topics of files until the next try: {error:#}");
        }
        let statuses = self.board.read();
        for pipeline in self.pipelines.iter() {
            let own = statuses.get(pipeline.workers.clone()).unwrap_or_default();
            let mut before = Vec::new();
            for (task, input, topic) in pipeline.prepared.repartitioned() {
                let next = own.iter().find_map(|status| status.next.get(&(task, input)));
                before.extend(next.filter(|next| next.0 > 0).map(|&next| (topic, task.partition, next)));
            }
            if let Err(error) = self.backend.purge(&before) {
                let pipeline = &pipeline.prepared.plan.pipeline;
                warn!(pipeline, "processed records stay in the repartition topics until the next try: {error:#}");
            }
        }
    }

    /// What was done so far.
    pub fn totals(&self) -> Totals {
        let statuses = self.board.read();
        let mut totals = Totals::default();
        for pipeline in self.pipelines.iter() {
            let entries: Vec<_> = pipeline.prepared.entries().collect();
            let own = statuses.get(pipeline.workers.clone()).unwrap_or_default();
            own.iter().for_each(|status| totals.add(status, &entries));
            totals.operators.extend(pipeline.prepared.operators(own));
        }
        totals
    }

    /// Has all workers commit and end.
    pub fn stop(mut self) -> Result<Totals> {
        self.workers.iter().for_each(|worker| worker.tell(Command::Stop));
        self.workers.drain(..).for_each(Handle::join);
        self.pipelines.iter().for_each(|pipeline| pipeline.site.leave(self.leave));
        self.check()?;
        self.purge();
        let failed: Vec<_> = self.writers.drain(..).filter_map(Writer::stop).collect();
        if let Some(reason) = failed.into_iter().next() {
            bail!(reason);
        }
        self.backend.finish()?;
        Ok(self.totals())
    }

    /// The tasks' partitions of a topic that a sink of the given name writes.
    pub fn sink(&self, name: &str) -> Option<(&str, Vec<Partition>)> {
        let sinks = self
            .pipelines
            .iter()
            .flat_map(|pipeline| pipeline.prepared.plan.sinks.iter().map(move |sink| (pipeline, sink)));
        let (pipeline, sink) = sinks.into_iter().find(|(_, sink)| sink.name == name)?;
        let partitions = (0..pipeline.prepared.widths.topic(&sink.topic)).map(Partition).collect();
        Some((&sink.topic, partitions))
    }
}

impl Totals {
    fn add(&mut self, status: &Status, entries: &[u16]) {
        self.records += status.records.iter().filter(|(stage, _)| entries.contains(stage)).map(|(_, n)| n).sum::<u64>();
        self.epochs += status.epochs;
        self.restored += status.restored;
    }
}
