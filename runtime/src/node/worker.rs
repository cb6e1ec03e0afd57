//! A worker's thread, and what it tells of itself.

mod publisher;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use tracing::{debug, error};
use wasmill_core::commit::{Bounds, Repair, RowCache, Slice, Terms};
use wasmill_core::port::Fault;
use wasmill_core::record::{Offset, TaskId, Timestamp};
use wasmill_core::recovery::Left;
use wasmill_core::state::Size;
use wasmill_core::task::memory::Counts;
use wasmill_core::worker::{self, Ports};

use super::alone::{Gate, Gated};
use super::assembly::Assembly;
use super::backend::Site;
use super::reload::Versions;
use super::running::offsets::Reset;
use super::{metered, stepped};
use crate::clock::Clocks;
use crate::metrics::meter::Meter;
use crate::store::panic_message;
use publisher::Publisher;

/// The longest wait for records, and so the longest until a command is heard.
const WAIT: Duration = Duration::from_millis(50);

/// What a worker is told.
pub enum Command {
    /// Take over tasks.
    Acquire(Vec<TaskId>),
    /// Let go of tasks, and answer.
    Release(Vec<TaskId>, Sender<()>),
    /// Move tasks, and answer.
    Reset(Reset),
    /// Go on with the plugins of another assembly of the same pipeline.
    Reload(Arc<Assembly>),
    /// Commit, and end.
    Stop,
}

/// What a worker tells of itself.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// Tasks that run.
    pub tasks: usize,
    /// What is left of changelogs before others do.
    pub restoring: Vec<Left>,
    /// Whether it was told of no more tasks than it has, nothing is open, and nothing waits.
    pub quiet: bool,
    /// Where its inputs are read to their end.
    pub ends: BTreeMap<(TaskId, u32), Option<Offset>>,
    /// The next record of each input, as committed.
    pub next: BTreeMap<(TaskId, u32), Offset>,
    /// Source records in committed epochs, by stage.
    pub records: BTreeMap<u16, u64>,
    /// Committed epochs.
    pub epochs: u64,
    /// Rows restored.
    pub restored: u64,
    /// Epochs that were lost.
    pub aborted: u64,
    /// What became of the records that each node of a task's stage was given, since the pipeline began.
    pub counts: BTreeMap<TaskId, Vec<Counts>>,
    /// How much each node of a task's stage remembers; nothing for those that have no state.
    pub sizes: BTreeMap<TaskId, Vec<Option<Size>>>,
    /// Up to when each task knows event time.
    pub watermarks: BTreeMap<TaskId, Timestamp>,
    /// Why it ended, if it did not end well.
    pub failed: Option<String>,
    /// Whether it ended.
    pub ended: bool,
}

/// Where all workers tell of themselves, and wake who waits for it.
#[derive(Debug, Default)]
pub struct Board {
    statuses: Mutex<Vec<Status>>,
    changed: Condvar,
}

impl Board {
    /// A board for so many workers.
    pub fn new(workers: usize) -> Arc<Self> {
        Arc::new(Self { statuses: Mutex::new(vec![Status::default(); workers]), changed: Condvar::new() })
    }

    fn update(&self, worker: usize, change: &mut dyn FnMut(&mut Status)) {
        let mut statuses = self.statuses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(status) = statuses.get_mut(worker) {
            change(status);
        }
        self.changed.notify_all();
    }

    /// What all workers tell now.
    pub fn read(&self) -> Vec<Status> {
        self.statuses.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until a worker tells something, at most so long.
    pub fn wait(&self, at_most: Duration) {
        let statuses = self.statuses.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_timeout(statuses, at_most));
    }
}

/// A running worker.
#[derive(Debug)]
pub struct Handle {
    commands: Sender<Command>,
    thread: JoinHandle<()>,
}

impl Handle {
    /// Tells it something. One that has ended does not hear.
    pub fn tell(&self, command: Command) {
        if self.commands.send(command).is_err() {
            debug!("a worker that has ended was told something");
        }
    }

    /// How it is told something by others.
    pub fn commands(&self) -> Sender<Command> {
        self.commands.clone()
    }

    /// Waits for its end.
    pub fn join(self) {
        if self.thread.join().is_err() {
            error!("a worker panicked");
        }
    }
}

/// What a worker needs to know of its pipeline.
pub struct Job {
    /// The pipeline's name.
    pub pipeline: String,
    /// The pipeline.
    pub assembly: Arc<Assembly>,
    /// Its place on the log.
    pub site: Arc<dyn Site>,
    /// Where the workers of the process wait for each other.
    pub gate: Arc<Gate>,
    /// How large an epoch may grow.
    pub bounds: Bounds,
    /// How much of what is committed stays in memory.
    pub row_cache: RowCache,
    /// Whether nothing is processed: the worker does only what it is told.
    pub idle: bool,
    /// What is done about rows that contradict their changelogs.
    pub repair: Repair,
}

/// Starts a worker without tasks.
///
/// `place` is its place on the board.
pub fn spawn(job: Arc<Job>, worker: usize, place: usize, board: Arc<Board>, meter: Arc<Meter>) -> Result<Handle> {
    let (commands, inbox) = channel();
    let name = format!("{}/{worker}", job.pipeline);
    let thread = std::thread::Builder::new()
        .name(name)
        .spawn(move || {
            let life = || run(&job, worker, &inbox, &meter, |change| board.update(place, change));
            let failed = match catch_unwind(AssertUnwindSafe(life)) {
                Ok(ended) => ended.err().map(|error| format!("{error:#}")),
                Err(panic) => Some(format!("worker {worker} of {} died: {}", job.pipeline, panic_message(&*panic))),
            };
            board.update(place, &mut |status| {
                status.ended = true;
                status.failed.clone_from(&failed);
            });
        })
        .context("cannot start a worker's thread")?;
    Ok(Handle { commands, thread })
}

fn run(
    job: &Job,
    worker: usize,
    inbox: &Receiver<Command>,
    meter: &Arc<Meter>,
    tell: impl Fn(&mut dyn FnMut(&mut Status)),
) -> Result<()> {
    let ports = metered::ports(stepped::ports(job.site.ports(worker, job.repair)?), meter);
    let ports = Ports { tasks: Box::new(Gated::new(ports.tasks, job.gate.clone())), ..ports };
    let stages = job.assembly.stages.clone();
    let operators = metered::operators(job.assembly.operators(meter)?, meter);
    let (revision, guarantee) = (job.assembly.shape(), job.site.guarantee());
    let (bounds, row_cache, repair) = (job.bounds, job.row_cache, job.repair);
    let terms = Terms { bounds, row_cache, slice: Slice::default(), revision, guarantee, repair };
    let mut running = worker::Worker::new(ports, stages, operators, terms);
    if let Err(fault) = running.prepare() {
        // It is tried again once there are tasks.
        debug!(pipeline = job.pipeline, worker, %fault, "prepare");
    }
    let (assembly, pipeline) = (Arc::clone(&job.assembly), job.pipeline.clone());
    let mut versions = Versions { assembly, meter: Arc::clone(meter), pipeline, worker };
    let mut publisher = Publisher::new(job, worker, meter, tell);
    work(&mut running, &mut versions, job.idle, inbox, &mut |running| publisher.publish(running))
        .map_err(|fault| anyhow::anyhow!("pipeline {} stopped: {fault}", job.pipeline))
}

/// How often a reset is tried.
const RESETS: u32 = 5;

/// Moves tasks. A reset that was lost is made again; where it was not, it makes no difference.
fn move_tasks(running: &mut worker::Worker, reset: &Reset, clocks: &Clocks) -> Result<(), Fault> {
    let mut left = RESETS;
    let answer = loop {
        left -= 1;
        while running.restore_only(clocks.read(), WAIT)? {}
        match running.reset(&reset.moves, reset.forget, clocks.read()) {
            Ok(()) => break Ok(()),
            Err(fault @ Fault::Fatal(_)) => {
                let _ = reset.done.send(Err(fault.to_string()));
                return Err(fault);
            }
            Err(fault) if left == 0 => break Err(fault.to_string()),
            Err(_) => {}
        }
    };
    // Who asked may have given up waiting.
    let _ = reset.done.send(answer);
    Ok(())
}

/// Does what it is told, and in between its work, until it is to stop.
fn work(
    running: &mut worker::Worker,
    versions: &mut Versions,
    idle: bool,
    inbox: &Receiver<Command>,
    publish: &mut dyn FnMut(&mut worker::Worker),
) -> Result<(), Fault> {
    let clocks = Clocks::start();
    loop {
        let told = match idle && !running.restore_only(clocks.read(), WAIT)? {
            true => inbox.recv().map_err(|_| TryRecvError::Disconnected),
            false => inbox.try_recv(),
        };
        match told {
            Ok(Command::Acquire(tasks)) => running.acquire(&tasks, clocks.read())?,
            Ok(Command::Release(tasks, done)) => {
                running.release(&tasks, clocks.read())?;
                // Who asked may have given up waiting.
                let _ = done.send(());
            }
            Ok(Command::Reload(next)) => versions.reload(running, next, clocks.read())?,
            Ok(Command::Reset(reset)) => move_tasks(running, &reset, &clocks)?,
            Ok(Command::Stop) | Err(TryRecvError::Disconnected) => {
                running.seal(clocks.read())?;
                publish(running);
                let tasks: Vec<_> = running.held().collect();
                return running.release(&tasks, clocks.read());
            }
            Err(TryRecvError::Empty) if idle => {}
            Err(TryRecvError::Empty) => {
                running.step(clocks.read(), WAIT)?;
            }
        }
        publish(running);
    }
}
