//! The thread that copies what is committed in a sink's topic to its file.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use tracing::{error, warn};
use wasmill_core::record::{Offset, Partition};

use super::progress::Progress;
use crate::broker::{Broker, BrokerError, Chunk, Cursor};
use crate::store::panic_message;

/// How long one look at the topic waits for records.
const WAIT: Duration = Duration::from_millis(50);
/// How long a log may be away.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long a log that is away is left alone.
const PAUSE: Duration = Duration::from_millis(200);

/// What is copied where.
#[derive(Clone, Debug)]
pub struct Job {
    /// The sink's name.
    pub sink: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// The file.
    pub path: PathBuf,
    /// The topic that the sink's records go to.
    pub topic: String,
    /// What tells the topic's log from every other.
    pub log: String,
    /// Where the topic ends, before anything more is written to it.
    pub end: Offset,
    /// Where it is recorded how far it has come.
    pub directory: PathBuf,
}

/// A writer that runs.
#[derive(Debug)]
pub struct Writer {
    topic: String,
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    standing: Mutex<Standing>,
    changed: Condvar,
    stop: AtomicBool,
}

#[derive(Clone, Debug, Default)]
struct Standing {
    next: i64,
    failed: Option<String>,
}

impl Shared {
    fn update(&self, change: impl FnOnce(&mut Standing)) {
        change(&mut self.standing.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    fn read(&self) -> Standing {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Writer {
    /// Opens the file, and begins to copy.
    pub fn start(job: Job, broker: Box<dyn Broker + Send>) -> Result<Self> {
        let context = format!("sink {} of {}", job.sink, job.pipeline);
        let target = Target::open(&job).with_context(|| context.clone())?;
        let shared = Arc::new(Shared::default());
        shared.update(|standing| standing.next = target.progress.next);
        let (topic, heard) = (job.topic.clone(), shared.clone());
        let thread = std::thread::Builder::new().name(format!("file/{}", job.sink)).spawn(move || {
            let life = || copy(&job.topic, target, broker, &heard);
            let failed = match catch_unwind(AssertUnwindSafe(life)) {
                Ok(ended) => ended.err().map(|error| format!("{context}: {error:#}")),
                Err(panic) => Some(format!("{context}: its writer died: {}", panic_message(&*panic))),
            };
            heard.update(|standing| standing.failed = failed);
        })?;
        Ok(Self { topic, shared, thread })
    }

    /// The topic that it reads.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The first record of the topic that is not in the file for good.
    pub fn next(&self) -> Offset {
        Offset(self.shared.read().next)
    }

    /// Why it ended, if it did not end well.
    pub fn failed(&self) -> Option<String> {
        self.shared.read().failed
    }

    /// Copies what is there now, and ends.
    pub fn stop(self) -> Option<String> {
        self.shared.stop.store(true, Ordering::SeqCst);
        if self.thread.join().is_err() {
            error!("the writer of a file panicked");
        }
        self.shared.read().failed
    }
}

fn copy(topic: &str, mut target: Target, mut broker: Box<dyn Broker + Send>, shared: &Shared) -> Result<()> {
    let mut cursors = [Cursor { partition: Partition(0), next: Offset(target.progress.next) }];
    let mut heard = Instant::now();
    loop {
        let stopping = shared.stop.load(Ordering::SeqCst);
        let wait = if stopping { Duration::ZERO } else { WAIT };
        match broker.fetch(topic, &mut cursors, wait) {
            Ok(chunks) => {
                heard = Instant::now();
                let next = cursors[0].next.0;
                if next > target.progress.next {
                    target.append(&chunks, next)?;
                    shared.update(|standing| standing.next = next);
                }
                if stopping && chunks.is_empty() {
                    return Ok(());
                }
            }
            Err(BrokerError::Gone(reason)) if heard.elapsed() < PATIENCE && !stopping => {
                warn!(topic, reason, "the log does not answer; trying again");
                std::thread::sleep(PAUSE);
            }
            Err(error) => return Err(anyhow!(error).context(format!("read {topic} from record {}", cursors[0].next.0))),
        }
    }
}

/// The file of a sink, and how far it has come.
struct Target {
    job: Job,
    at: PathBuf,
    file: File,
    progress: Progress,
    buffer: Vec<u8>,
}

impl Target {
    /// Opens the file, and brings it to what is recorded.
    fn open(job: &Job) -> Result<Self> {
        let at = job.directory.join(&job.topic);
        fs::create_dir_all(&job.directory).with_context(|| format!("make {}", job.directory.display()))?;
        let recorded = Progress::read(&at).with_context(|| {
            format!("read {}, which says how much of {} is written", at.display(), job.path.display())
        })?;
        let recorded = recorded.filter(|recorded| recorded.log == job.log);
        if let Some(recorded) = recorded.as_ref().filter(|recorded| recorded.next > job.end.0) {
            bail!(
                "{} has the records of {} up to {}, but the log ends at {}: it lost its last ones in a power cut, and will \
                 make them again; start over with --fresh, which takes out of the file what was written",
                job.path.display(),
                job.topic,
                recorded.next,
                job.end
            );
        }
        let file = open(job)?;
        let metadata = file.metadata()?;
        let begun = |next: i64| {
            let path = std::path::absolute(&job.path).unwrap_or_else(|_| job.path.clone());
            Progress::begin(path, job.log.clone(), next, &metadata)
        };
        let progress = match recorded {
            None => begun(0),
            Some(recorded) if !recorded.is_of(&metadata) => {
                warn!(
                    "{} is not the file that was written before: what is new goes behind its end",
                    job.path.display()
                );
                begun(recorded.next)
            }
            Some(recorded) if metadata.len() < recorded.length => {
                return Err(cut(job, metadata.len(), recorded.length));
            }
            Some(recorded) => {
                // What is behind was appended by a process that was killed before it recorded it.
                file.set_len(recorded.length).with_context(|| format!("cut {}", job.path.display()))?;
                recorded
            }
        };
        progress.write(&at).with_context(|| format!("write {}", at.display()))?;
        Ok(Self { job: job.clone(), at, file, progress, buffer: Vec::new() })
    }

    /// Appends records, and records that the file has all before `next`.
    fn append(&mut self, chunks: &[Chunk], next: i64) -> Result<()> {
        self.follow()?;
        self.buffer.clear();
        for message in chunks.iter().flat_map(|chunk| chunk.records.iter()) {
            self.buffer.extend_from_slice(message.value.unwrap_or(b"null"));
            self.buffer.push(b'\n');
        }
        if !self.buffer.is_empty() {
            let length = self.progress.length;
            let written = self.file.write_all_at(&self.buffer, length).and_then(|()| self.file.sync_data());
            if let Err(error) = written {
                // Whoever reads the file meanwhile sees no half of a line. The next start does it anyway.
                let _ = self.file.set_len(length);
                return Err(self.refused("append to", &error));
            }
            self.progress.length += self.buffer.len() as u64;
        }
        self.progress.next = next;
        self.progress.write(&self.at).map_err(|error| self.refused("record how much is written of", &error))
    }

    /// Makes sure that the file is as it was left; one that was moved away gets a successor.
    fn follow(&mut self) -> Result<()> {
        let there = match fs::metadata(&self.job.path) {
            Ok(metadata) => Some(metadata),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(self.refused("look at", &error)),
        };
        if !there.is_some_and(|metadata| self.progress.is_of(&metadata)) {
            warn!(sink = self.job.sink, "{} was moved or removed: a new file is begun", self.job.path.display());
            self.file = open(&self.job)?;
            let metadata = self.file.metadata()?;
            let Progress { path, log, next, .. } = self.progress.clone();
            self.progress = Progress::begin(path, log, next, &metadata);
            return self.progress.write(&self.at).map_err(|error| self.refused("record the start of", &error));
        }
        let length = self.file.metadata()?.len();
        if length < self.progress.length {
            return Err(cut(&self.job, length, self.progress.length));
        }
        if length > self.progress.length {
            bail!(
                "{} has {length} bytes, but {} were written to it: another process writes it too; give it a file of its \
                 own and run again, nothing is lost",
                self.job.path.display(),
                self.progress.length
            );
        }
        Ok(())
    }

    fn refused(&self, doing: &str, error: &io::Error) -> anyhow::Error {
        let what = match error.kind() {
            ErrorKind::StorageFull | ErrorKind::FileTooLarge | ErrorKind::QuotaExceeded => "make room for it",
            _ => "make it writable",
        };
        let path = self.job.path.display();
        anyhow!("{doing} {path}: {error}; {what} and run again: what is not in it yet waits in the log")
    }
}

fn cut(job: &Job, length: u64, written: u64) -> anyhow::Error {
    anyhow!(
        "{} has {length} bytes, but {written} were written to it: another process has cut it off; put back what it held, or \
         remove it and what comes next begins a new file",
        job.path.display()
    )
}

/// Opens the file for this process alone, as far as others of Wasmill go.
fn open(job: &Job) -> Result<File> {
    let shown = job.path.display();
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&job.path);
    let file = opened.with_context(|| format!("cannot write {shown}"))?;
    if !file.metadata()?.is_file() {
        bail!("cannot write {shown}: it is not a regular file");
    }
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!("cannot write {shown}: another sink or process of Wasmill writes it; give each a file of its own")
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {shown}")),
    }
}
