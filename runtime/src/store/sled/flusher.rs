//! Brings to disk what sled has taken, every second and before it is closed.
//!
//! sled has a thread of its own for that, which ends the process when it cannot write. It is left to wait for ever, and
//! must not be told to end once something failed: then the database is not closed.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tracing::warn;
use wasmill_core::port::StoreError;

use super::Disk;

const EVERY: Duration = Duration::from_secs(1);

/// The thread that flushes. When this is dropped, it does so once more.
pub(super) struct Flusher {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Flusher {
    pub(super) fn start(disk: Disk) -> Result<Self, StoreError> {
        let (stop, stopped) = mpsc::channel();
        let run = move || {
            while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                // Who uses the store next is told.
                let _ = disk.flush();
            }
            if !disk.has_failed()
                && let Err(error) = disk.flush()
            {
                warn!("{error}");
            }
        };
        let thread = thread::Builder::new().name("store-flusher".into()).spawn(run);
        let thread = thread.map_err(|error| StoreError::Broken(format!("start the store's flusher: {error}")))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
