//! The compiler of plugins and its settings.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use thiserror::Error;
use wasmtime::{Config, Inlining};

/// How often running guests are asked whether they are late.
pub const TICK: Duration = Duration::from_millis(10);

/// Stack of a guest, in bytes.
pub const STACK: usize = 512 * 1024;

/// An engine that cannot be had.
#[derive(Debug, Error)]
pub enum EngineError {
    /// This machine or system lacks what the settings ask for.
    #[error("set up the WebAssembly engine: {0:#}")]
    Settings(wasmtime::Error),
    /// There is no thread for the clock.
    #[error("start the thread of the WebAssembly engine's clock: {0}")]
    Thread(#[from] std::io::Error),
}

/// Compiles and runs plugins. Clones are the same engine; its clock stops with the last of them.
#[derive(Clone)]
pub struct Engine {
    inner: wasmtime::Engine,
    _ticker: Arc<Ticker>,
}

impl Engine {
    /// An engine with the settings that all plugins run under.
    pub fn new() -> Result<Self, EngineError> {
        let inner = wasmtime::Engine::new(&config()).map_err(EngineError::Settings)?;
        let ticker = Arc::new(Ticker::start(&inner)?);
        Ok(Self { inner, _ticker: ticker })
    }

    pub(super) fn inner(&self) -> &wasmtime::Engine {
        &self.inner
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

fn config() -> Config {
    let mut config = Config::new();
    // Inlining across the modules of a component keeps all of it in memory until it is compiled: 8 GB for an operator in
    // Python, instead of 370 MB.
    config
        .epoch_interruption(true)
        .compiler_inlining(Inlining::No)
        .parallel_compilation(true)
        .max_wasm_stack(STACK)
        .wasm_memory64(false)
        .relaxed_simd_deterministic(true)
        .concurrency_support(false);
    config
}

/// A thread that advances an engine's epoch until it is dropped.
struct Ticker {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    fn start(engine: &wasmtime::Engine) -> Result<Self, std::io::Error> {
        let (stop, stopped) = mpsc::channel();
        let engine = engine.clone();
        let thread = thread::Builder::new().name("wasm-ticks".into()).spawn(move || {
            while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                engine.increment_epoch();
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.take();
        // The thread cannot panic, and there would be nobody left to tell.
        self.thread.take().map(JoinHandle::join);
    }
}
