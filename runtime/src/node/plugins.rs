//! The plugins of a pipeline: found, built where they are sources, compiled, and asked what they are.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use wasmill_core::operator::Declaration;

use crate::build;
use crate::pipeline::Graph;
use crate::pipeline::graph::{self, Operator};
use crate::plugin::{Cache, Engine, Limits, Place, Placed, Plugin};

/// Compiles plugins, each once.
pub struct Plugins {
    engine: Engine,
    cache: Cache,
    loaded: BTreeMap<PathBuf, Plugin>,
}

impl Plugins {
    /// Compiles into a directory, so that the next start need not.
    pub fn new(cache: &Path) -> Result<Self> {
        Ok(Self { engine: Engine::new()?, cache: Cache::open(cache)?, loaded: BTreeMap::new() })
    }

    /// Compiles in memory only.
    pub fn transient() -> Result<Self> {
        Ok(Self { engine: Engine::new()?, cache: Cache::none(), loaded: BTreeMap::new() })
    }

    /// How many plugins were compiled, and how many were found compiled.
    pub fn counts(&self) -> crate::plugin::Counts {
        self.cache.counts()
    }

    /// Forgets what was read, so that files that have changed since are read again.
    pub fn forget(&mut self) {
        self.loaded.clear();
    }

    /// The plugins of all operators that have one, by the operators' names.
    pub fn place(&mut self, graph: &Graph) -> Result<BTreeMap<String, Placed>> {
        let mut placed = BTreeMap::new();
        for operator in graph.operators() {
            let one = self.place_one(operator).with_context(|| format!("operator {}", operator.name))?;
            placed.extend(one.map(|one| (operator.name.clone(), one)));
        }
        Ok(placed)
    }

    fn place_one(&mut self, operator: &Operator) -> Result<Option<Placed>> {
        let path = match &operator.plugin {
            graph::Plugin::BuiltIn(_) => return Ok(None),
            graph::Plugin::Path(path) => path,
            graph::Plugin::Digest(digest) => {
                bail!(
                    "plugin sha256:{digest} is of a deployed one, and nothing is deployed here: name a file or a directory"
                )
            }
        };
        let plugin = self.load(path)?;
        let place = Place {
            operator: operator.name.as_str().into(),
            settings: operator.settings.to_json().into(),
            limits: limits(&operator.limits),
        };
        Ok(Some(plugin.place(place)?))
    }

    /// The plugin of a file, or of a source directory, which is built first.
    pub fn load(&mut self, path: &Path) -> Result<Plugin> {
        let file = if path.is_dir() { build::build(path)? } else { path.to_path_buf() };
        if let Some(plugin) = self.loaded.get(&file) {
            return Ok(plugin.clone());
        }
        let bytes = fs::read(&file).with_context(|| format!("cannot read plugin {}", file.display()))?;
        let plugin = Plugin::load(&self.engine, &self.cache, &bytes, &file.display().to_string())?;
        self.loaded.insert(file, plugin.clone());
        Ok(plugin)
    }
}

/// What plugins and built-ins say of themselves, by the names of their operators.
pub fn declarations(graph: &Graph, placed: &BTreeMap<String, Placed>) -> BTreeMap<String, Declaration> {
    let of = |operator: &Operator| match &operator.plugin {
        graph::Plugin::BuiltIn(built_in) => Some(built_in.declaration()),
        _ => placed.get(&operator.name).map(|placed| placed.declaration().clone()),
    };
    let declared = |operator: &Operator| Some((operator.name.clone(), of(operator)?));
    graph.operators().iter().filter_map(declared).collect()
}

fn limits(limits: &graph::Limits) -> Limits {
    let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    Limits {
        memory: size(limits.memory),
        growth: size(limits.growth),
        table: size(u64::from(limits.table_elements)),
        deadline: limits.deadline,
        open: limits.open_deadline,
        lines: limits.log_lines,
        ..Limits::default()
    }
}
