//! SIGINT and SIGTERM: the first asks for a clean stop, the second ends the process. SIGXFSZ is heard and left alone, so
//! that a file that may not grow is a write's failure, which is told, and not the end of the process. SIGHUP ends the
//! process as ever, but where it is to have plugins reloaded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

/// Exit status after a second signal.
const INTERRUPTED: i32 = 130;

/// Whether a signal asked for the end.
#[derive(Clone, Debug, Default)]
pub struct Signals(Arc<AtomicBool>);

impl Signals {
    /// Begins to listen, on a thread of its own.
    pub fn listen() -> Result<Self> {
        let signals = Self::default();
        let heard = signals.clone();
        let runtime = runtime()?;
        let (mut interrupt, mut terminate, too_large) = {
            let _entered = runtime.enter();
            let too_large = signal(SignalKind::from_raw(libc::SIGXFSZ))?;
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, too_large)
        };
        let listen = async move {
            let _too_large = too_large;
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if heard.0.swap(true, Ordering::SeqCst) {
                    std::process::exit(INTERRUPTED);
                }
                eprintln!("stopping; a second signal stops at once");
            }
        };
        std::thread::Builder::new().name("signals".into()).spawn(move || runtime.block_on(listen))?;
        Ok(signals)
    }

    /// Whether it is time to stop.
    pub fn stop(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// What listens to signals.
pub(super) fn runtime() -> Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("cannot hear signals")
}
