//! Plugins that are reloaded when SIGHUP asks for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::signals;
use crate::node::plugins::Plugins;
use crate::node::running::Running;
use crate::pipeline::Graph;

/// Listens to SIGHUP, which ends a process otherwise.
pub(super) struct Reloads {
    asked: Arc<AtomicBool>,
    plugins: Plugins,
}

impl Reloads {
    /// Begins to listen, on a thread of its own.
    pub(super) fn listen(plugins: Plugins) -> Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        let (heard, runtime) = (Arc::clone(&asked), signals::runtime()?);
        let mut hangup = {
            let _entered = runtime.enter();
            signal(SignalKind::hangup())?
        };
        let listen = async move {
            while hangup.recv().await.is_some() {
                heard.store(true, Ordering::SeqCst);
            }
        };
        std::thread::Builder::new().name("reloads".into()).spawn(move || runtime.block_on(listen))?;
        Ok(Self { asked, plugins })
    }

    /// If it was asked for, pipelines go on with the plugins that are there now. What does not fit is told, and stays as
    /// it is.
    pub(super) fn look(&mut self, running: &Running, graphs: &[Graph], cluster: &str) {
        if !self.asked.swap(false, Ordering::SeqCst) {
            return;
        }
        self.plugins.forget();
        for graph in graphs {
            let placed = self.plugins.place(graph);
            if let Err(error) = placed.and_then(|placed| running.reload(graph, &placed, cluster)) {
                tracing::warn!(pipeline = graph.name(), "its plugins stay as they are: {error:#}");
            }
        }
    }
}
