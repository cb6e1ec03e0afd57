//! Other versions of a pipeline's plugins, put in place of the running ones while it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use tracing::{info, warn};
use wasmill_core::operator::OutputDeclaration;
use wasmill_core::port::Fault;
use wasmill_core::record::Now;
use wasmill_core::stage::Edge;
use wasmill_core::worker::Worker;
use wasmill_core::worker::reload::{ReloadError, Replacement, Replacements};

use super::assembly::{Assembly, Maker};
use super::metered;
use super::running::Running;
use super::worker::Command;
use crate::metrics::meter::{Calls, Meter};
use crate::pipeline::Graph;
use crate::plugin::Placed;
use crate::topology::Topology;

/// What to do where a running pipeline cannot go on with a plugin.
const RESTART: &str = "start the pipeline again with it";

impl Running {
    /// Has the workers of a pipeline go on with other plugins, each behind the epoch that it has open. A worker that cannot
    /// says so, and goes on with those that it has.
    pub fn reload(&self, graph: &Graph, placed: &BTreeMap<String, Placed>, cluster: &str) -> Result<()> {
        let pipeline = self.pipeline(graph.name());
        let Some((prepared, workers)) = pipeline else { bail!("pipeline {} does not run", graph.name()) };
        let next = prepared.reassemble(graph, placed, cluster, self.backend())?;
        prepared.assembly.check(&next)?;
        workers.iter().for_each(|worker| worker.tell(Command::Reload(Arc::clone(&next))));
        Ok(())
    }
}

impl Assembly {
    /// Fails if workers that began with this cannot go on with the plugins of another assembly of the same pipeline. Which
    /// state and which outputs a version must have is for the worker to say.
    fn check(&self, next: &Self) -> Result<()> {
        let fits = self.topology.own() == next.topology.own();
        ensure!(fits, "the next plugins need other topics of the pipeline's own: {RESTART}");
        for (stage, makers) in next.makers.iter().enumerate() {
            for (node, maker) in makers.iter().enumerate() {
                self.check_operator(next, (stage, node), maker)?;
            }
        }
        Ok(())
    }

    fn check_operator(&self, next: &Self, place: (usize, usize), maker: &Maker) -> Result<()> {
        let Maker::Plugin(operator, placed) = maker else { return Ok(()) };
        let Some(Maker::Plugin(_, running)) = self.maker(place) else {
            bail!("operator {operator} would be elsewhere in the pipeline: {RESTART}")
        };
        let fits = self.ways(place, running) == next.ways(place, placed);
        ensure!(fits, "the records of operator {operator} would go elsewhere, by the order of its outputs: {RESTART}");
        // What a worker measures was laid out for the metrics that the plugin had when it began.
        let fits = running.declaration().metrics == placed.declaration().metrics;
        ensure!(fits, "operator {operator} has other metrics than before: {RESTART}");
        // One that cannot be opened is found before any worker has it.
        maker.make(&Calls::new(Some(&placed.declaration().metrics)))?;
        Ok(())
    }

    fn maker(&self, (stage, node): (usize, usize)) -> Option<&Maker> {
        self.makers.get(stage)?.get(node)
    }

    fn ways(&self, (stage, node): (usize, usize), placed: &Placed) -> Ways {
        let node = self.stages.get(stage).and_then(|stage| stage.nodes.get(node));
        let edges = node.map_or(&[][..], |node| &node.outputs);
        ways(&self.topology, &placed.declaration().outputs, edges)
    }

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
                let operator = metered::operator(maker.make(calls)?, calls);
                let replacement = Replacement { operator, plugin: shape.plugin.clone(), back: false };
                replacements.insert((index as u16, node), replacement);
            }
        }
        Ok(replacements)
    }
}

/// Where the records of outputs go, by the outputs' names, without those that go nowhere.
type Ways = BTreeMap<String, BTreeSet<String>>;

fn ways(topology: &Topology, outputs: &[OutputDeclaration], edges: &[Vec<Edge>]) -> Ways {
    let way = |edge: &Edge| match edge {
        Edge::Node { node, input } => format!("{node}:{input}"),
        Edge::Target(target) => topology.target(*target).unwrap_or_default().to_owned(),
    };
    let ways = outputs.iter().zip(edges).filter(|(_, edges)| !edges.is_empty());
    ways.map(|(output, edges)| (output.name.clone(), edges.iter().map(way).collect())).collect()
}

/// The versions of the operators that a worker runs.
pub(super) struct Versions {
    pub(super) assembly: Arc<Assembly>,
    pub(super) meter: Arc<Meter>,
    pub(super) pipeline: String,
    pub(super) worker: usize,
}

impl Versions {
    /// Has the worker go on with other versions. If they do not fit, it says so, and goes on as before.
    pub(super) fn reload(&mut self, running: &mut Worker, next: Arc<Assembly>, now: Now) -> Result<(), Fault> {
        // Opening instances may take long, and nothing is to wait for that.
        running.seal(now)?;
        let (pipeline, worker) = (self.pipeline.as_str(), self.worker);
        let replacements = match self.assembly.replacements(&next, &self.meter) {
            Ok(replacements) if replacements.is_empty() => {
                info!(pipeline, worker, "no plugin has changed");
                return Ok(());
            }
            Ok(replacements) => replacements,
            Err(error) => {
                warn!(pipeline, worker, "its plugins stay as they are: {error:#}");
                return Ok(());
            }
        };
        let operators = replacements.len();
        match running.reload(replacements, now) {
            Ok(_) => {
                info!(pipeline, worker, operators, "reloaded");
                self.assembly = next;
            }
            Err(ReloadError::Fault(fault)) => return Err(fault),
            Err(error) => warn!(pipeline, worker, "its plugins stay as they are: {error}"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use wasmill_core::port::Target;

    use super::*;

    /// Outputs by name, each to the topics of these numbers.
    fn told(targets: &[&str], outputs: &[(&str, &[u16])]) -> Ways {
        let targets = targets.iter().map(|&target| target.to_owned()).collect();
        let topology = Topology { targets, ..Topology::default() };
        let declared = |&(name, _): &(&str, _)| OutputDeclaration { name: name.to_owned(), keeps_keys: false };
        let edges = |(_, to): &(_, &[u16])| to.iter().map(|&target| Edge::Target(Target(target))).collect();
        let (declared, edges) = (outputs.iter().map(declared).collect::<Vec<_>>(), outputs.iter().map(edges));
        ways(&topology, &declared, &edges.collect::<Vec<_>>())
    }

    #[test]
    fn records_go_elsewhere_when_another_output_is_the_first() {
        let running = told(&["a", "b"], &[("main", &[0]), ("side", &[1])]);
        let turned = told(&["b", "a"], &[("side", &[0]), ("main", &[1])]);
        assert_eq!(running, turned, "each has its name in the pipeline file");
        assert_eq!(running, told(&["a", "b"], &[("main", &[0]), ("side", &[1]), ("new", &[])]), "nothing reads it");
        assert_ne!(running, told(&["a", "b"], &[("side", &[0, 1]), ("main", &[])]), "the first one has no name there");
        assert_ne!(running, told(&["a", "b"], &[("new", &[0]), ("side", &[1]), ("main", &[])]));
        let both = told(&["a", "b"], &[("main", &[0, 1])]);
        assert_eq!(both, told(&["b", "a"], &[("main", &[0, 1])]), "in any order");
    }
}
