//! Other versions of a pipeline's plugins, put in place of the running ones while it runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use tracing::{info, warn};
use wasmill_core::port::Fault;
use wasmill_core::record::Now;
use wasmill_core::worker::Worker;
use wasmill_core::worker::reload::{ReloadError, Replacement, Replacements};

use super::assembly::{Assembly, Maker};
use super::metered;
use super::running::{Prepared, Running};
use super::worker::Command;
use crate::metrics::meter::Meter;
use crate::node::backend::Backend;
use crate::pipeline::Graph;
use crate::plugin::Placed;

impl Running {
    /// Has the workers of a pipeline go on with other plugins, each behind the epoch that it has open. A worker that cannot
    /// says so, and goes on with those that it has.
    pub fn reload(&self, graph: &Graph, placed: &BTreeMap<String, Placed>, cluster: &str) -> Result<()> {
        let pipeline = self.pipeline(graph.name());
        let Some((prepared, workers)) = pipeline else { bail!("pipeline {} does not run", graph.name()) };
        let next = prepared.next(graph, placed, cluster, self.backend())?;
        workers.iter().for_each(|worker| worker.tell(Command::Reload(Arc::clone(&next))));
        Ok(())
    }
}

impl Prepared {
    /// The same pipeline with other plugins.
    fn next(
        &self,
        graph: &Graph,
        placed: &BTreeMap<String, Placed>,
        cluster: &str,
        backend: &dyn Backend,
    ) -> Result<Arc<Assembly>> {
        let next = self.reassemble(graph, placed, cluster, backend)?;
        ensure!(
            next.topology == self.assembly.topology,
            "the next plugins need other topics than those that run: start the pipeline again with them"
        );
        Ok(Arc::new(next))
    }
}

impl Assembly {
    /// The operators of which another assembly has another version, made of that for one worker.
    fn replacements(&self, next: &Self, meter: &Meter) -> Result<Replacements> {
        let mut replacements = Replacements::new();
        for (index, (stage, makers)) in next.stages.iter().zip(&next.makers).enumerate() {
            let running = self.stages.get(index).map_or(&[][..], |stage| &stage.nodes);
            for (node, (maker, shape)) in makers.iter().zip(&stage.nodes).enumerate() {
                let Some(calls) = meter.nodes.get(index).and_then(|nodes| nodes.get(node)) else { continue };
                if running.get(node).is_none_or(|running| running.plugin == shape.plugin) {
                    continue;
                }
                self.check_metrics(index, node, maker)?;
                let operator = metered::operator(maker.make(calls)?, calls);
                let replacement = Replacement { operator, plugin: shape.plugin.clone(), back: false };
                replacements.insert((index as u16, node), replacement);
            }
        }
        Ok(replacements)
    }

    /// What a worker measures was laid out for the metrics that the plugin had when it began.
    fn check_metrics(&self, stage: usize, node: usize, next: &Maker) -> Result<()> {
        let running = self.makers.get(stage).and_then(|makers| makers.get(node));
        if let (Some(Maker::Plugin(_, running)), Maker::Plugin(operator, next)) = (running, next) {
            let same = running.declaration().metrics == next.declaration().metrics;
            ensure!(same, "operator {operator} has other metrics than before: start the pipeline again with it");
        }
        Ok(())
    }
}

/// The versions of the operators that a worker runs.
pub(super) struct Versions {
    pub(super) assembly: Arc<Assembly>,
    pub(super) meter: Arc<Meter>,
    pub(super) pipeline: String,
    pub(super) worker: usize,
}

impl Versions {
    /// Has the worker go on with other versions, if they fit.
    pub(super) fn reload(&mut self, running: &mut Worker, next: Arc<Assembly>, now: Now) -> Result<(), Fault> {
        let (pipeline, worker) = (self.pipeline.as_str(), self.worker);
        match self.assembly.replacements(&next, &self.meter) {
            Ok(replacements) if replacements.is_empty() => info!(pipeline, worker, "no plugin has changed"),
            Ok(replacements) => {
                let operators = replacements.len();
                match running.reload(replacements, now) {
                    Ok(_) => {
                        info!(pipeline, worker, operators, "reloaded");
                        self.assembly = next;
                    }
                    Err(ReloadError::Fault(fault)) => return Err(fault),
                    Err(error) => warn!(pipeline, worker, "its plugins stay as they are: {error}"),
                }
            }
            Err(error) => warn!(pipeline, worker, "its plugins stay as they are: {error:#}"),
        }
        Ok(())
    }
}
