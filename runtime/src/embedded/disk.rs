//! The database under the log, and its fsync.

use std::fs;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::error::LogError;

const CACHE: u64 = 16 << 20;
const JOURNAL: u64 = 64 << 20;
const MEMTABLE: u64 = 8 << 20;
const MAKE_ROOM: &str = "make room for it and run again: nothing that was committed is lost";
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// The database and its keyspaces.
pub(super) struct Disk {
    path: PathBuf,
    database: Database,
    pub(super) meta: Keyspace,
    pub(super) records: Keyspace,
    committed: AtomicU64,
    synced: AtomicU64,
    /// Why the database takes no writes any more.
    failed: OnceLock<String>,
}

impl Disk {
    /// Opens the database in a directory, which is made if there is none.
    pub(super) fn open(path: &Path) -> Result<Self, LogError> {
        guarded(path, "open it", &OnceLock::new(), || {
            let database =
                Database::builder(path).cache_size(CACHE).max_journaling_size(JOURNAL).worker_threads(2).open()?;
            let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE);
            let meta = database.keyspace("meta", options)?;
            let records = database.keyspace("records", options)?;
            let (committed, synced, failed) = (AtomicU64::new(0), AtomicU64::new(0), OnceLock::new());
            Ok(Self { path: path.to_path_buf(), database, meta, records, committed, synced, failed })
        })
    }

    /// A batch that is written whole or not at all.
    pub(super) fn batch(&self, items: usize) -> fjall::OwnedWriteBatch {
        let durability = Some(PersistMode::Buffer);
        fjall::OwnedWriteBatch::with_capacity(self.database.clone(), items).durability(durability)
    }

    /// What is committed at this moment.
    pub(super) fn snapshot(&self) -> fjall::Snapshot {
        self.database.snapshot()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads, with the database's panics as errors.
    pub(super) fn guarded<T>(
        &self,
        doing: &'static str,
        read: impl FnOnce() -> fjall::Result<T>,
    ) -> Result<T, LogError> {
        guarded(&self.path, doing, &self.failed, read)
    }

    /// Says what was found not to be what was written.
    pub(super) fn damaged(&self, reason: impl Into<String>) -> LogError {
        LogError::Damaged { path: self.path.clone(), reason: reason.into() }
    }

    /// Notes that a commit was written. Called in their order.
    pub(super) fn committed(&self, commit: u64) {
        self.committed.store(commit, Ordering::Release);
    }

    /// The last commit that an fsync has covered.
    pub(super) fn synced(&self) -> u64 {
        self.synced.load(Ordering::Acquire)
    }

    /// Flushes to disk all that is committed. A failure is final: the database takes no writes behind it.
    pub(super) fn sync(&self) -> Result<(), LogError> {
        let committed = self.committed.load(Ordering::Acquire);
        if committed == self.synced() {
            return Ok(());
        }
        self.guarded("flush it to disk", || self.database.persist(PersistMode::SyncAll))?;
        self.synced.fetch_max(committed, Ordering::AcqRel);
        // An older note is a weaker check, nothing worse.
        let _ = fs::write(self.witness(), committed.to_be_bytes());
        Ok(())
    }

    /// Compares the last commit with the last one that an fsync has covered. A torn or missing note says nothing.
    pub(super) fn check_witness(&self, last: u64) -> Result<(), LogError> {
        let note = fs::read(self.witness()).ok().and_then(|bytes| super::layout::decode_u64(&bytes));
        match note {
            Some(synced) if synced > last => {
                Err(self.damaged(format!("it ends with commit {last}, but commit {synced} had been flushed to disk")))
            }
            note => {
                self.synced.store(note.unwrap_or(0), Ordering::Release);
                self.committed(last);
                Ok(())
            }
        }
    }

    fn witness(&self) -> PathBuf {
        self.path.with_extension("synced")
    }
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk").field("path", &self.path).finish_non_exhaustive()
    }
}

/// `failed` is kept for those that come later: the database tells them only that something failed before.
fn guarded<T>(
    path: &Path,
    doing: &'static str,
    failed: &OnceLock<String>,
    run: impl FnOnce() -> fjall::Result<T>,
) -> Result<T, LogError> {
    let (reason, damaged) = match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(fjall::Error::Poisoned)) => {
            let unknown = || format!("an earlier write to disk failed: if the disk is full, {MAKE_ROOM}");
            (failed.get().cloned().unwrap_or_else(unknown), false)
        }
        Ok(Err(fjall::Error::Io(error))) if is_full(error.kind()) => {
            (failed.get_or_init(|| format!("{error}; {MAKE_ROOM}")).clone(), false)
        }
        Ok(Err(fjall::Error::Io(error))) => (error.to_string(), is_damage(error.kind())),
        Ok(Err(error)) => (error.to_string(), true),
        Err(panic) => (crate::store::panic_message(&*panic), true),
    };
    let path = path.to_path_buf();
    Err(if damaged {
        LogError::Damaged { path, reason: format!("{doing}: {reason}") }
    } else {
        LogError::Storage { path, doing, reason }
    })
}

fn is_full(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
}

/// Whether this is about what is in the files, not about whether the system lets us have them.
fn is_damage(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::UnexpectedEof | ErrorKind::InvalidData | ErrorKind::NotFound | ErrorKind::Other)
}

/// The thread that flushes to disk every second; when dropped, once more.
#[derive(Debug)]
pub(super) struct Syncer {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    pub(super) fn start(disk: Arc<Disk>) -> Result<Self, LogError> {
        let (stop, stopped) = mpsc::channel::<()>();
        let path = disk.path.clone();
        let run = move || {
            loop {
                let last = stopped.recv_timeout(SYNC_EVERY) != Err(RecvTimeoutError::Timeout);
                // The database refuses every later commit, which is where the failure is reported.
                if disk.sync().is_err() || last {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("log-sync".into()).spawn(run).map_err(|error| LogError::Storage {
            path,
            doing: "start its flushing thread",
            reason: error.to_string(),
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
