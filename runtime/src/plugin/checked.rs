//! A checked component.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use wasmill_core::operator::{CallError, Role};
use wasmtime::component::{Component, InstancePre};

use super::cache::{Cache, CacheError};
use super::component::Digest;
use super::declaration::{self, DeclarationError};
use super::engine::Engine;
use super::exports::{ExportError, Exports};
use super::guest::Guest;
use super::host::Host;
use super::limits::Limits;
use super::linker::{self, ImportError};
use super::place::{Place, Placed};

/// Processor time of `describe`.
const DESCRIBE: Duration = Duration::from_secs(1);

/// A plugin that cannot be used, and why.
#[derive(Debug, Error)]
#[error("{path} {reason}")]
pub struct PluginError {
    /// Where the plugin comes from.
    pub path: String,
    /// What is wrong with it.
    pub reason: Reason,
}

/// Why a plugin cannot be used.
#[derive(Debug, Error)]
pub enum Reason {
    /// It cannot be compiled.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// It imports what it does not get.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// It does not export what is called.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// It cannot be instantiated, or does not say what it is.
    #[error("cannot describe itself: {0}")]
    Describe(CallError),
    /// It says what cannot be.
    #[error(transparent)]
    Declaration(#[from] DeclarationError),
}

/// A component whose imports are granted and whose exports have the types of the contract.
#[derive(Clone)]
pub struct Plugin {
    checked: Arc<Checked>,
}

pub(super) struct Checked {
    pub(super) engine: Engine,
    pub(super) linked: InstancePre<Host>,
    pub(super) exports: Exports,
    /// The start of its digest.
    pub(super) short: String,
    pub(super) digest: Digest,
    path: String,
}

impl Plugin {
    /// Compiles a component, or a module that carries its types, or finds it compiled, and checks it. `path` is what
    /// messages call it.
    pub fn load(engine: &Engine, cache: &Cache, bytes: &[u8], path: &str) -> Result<Self, PluginError> {
        let check = || {
            let digest = Digest::of(bytes);
            let component = cache.component(engine, digest, bytes)?;
            check(engine, &component, digest, path)
        };
        check().map_err(|reason| PluginError { path: path.into(), reason })
    }

    /// The digest of the bytes that it was loaded from.
    pub fn digest(&self) -> Digest {
        self.checked.digest
    }

    /// How it is called.
    pub fn role(&self) -> Role {
        self.checked.exports.role()
    }

    /// The names of the interfaces that it imports.
    pub fn imports(&self) -> Vec<String> {
        let component = self.checked.linked.component();
        component.component_type().imports(self.checked.engine.inner()).map(|(name, _)| name.to_owned()).collect()
    }

    /// Has it describe itself for a place in a pipeline.
    pub fn place(&self, place: Place) -> Result<Placed, PluginError> {
        let describe = || {
            let limits = Limits { open: DESCRIBE, ..place.limits };
            let mut guest = Guest::start(&self.checked, Arc::clone(&place.operator), limits, None, Arc::default())
                .map_err(Reason::Describe)?;
            let info = guest.describe(&place.settings, DESCRIBE).map_err(Reason::Describe)?;
            Ok(declaration::check(info, self.role())?)
        };
        match describe() {
            Ok(declaration) => Ok(Placed::new(Arc::clone(&self.checked), place, declaration)),
            Err(reason) => Err(PluginError { path: self.checked.path.clone(), reason }),
        }
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin").field("path", &self.checked.path).field("digest", &self.checked.short).finish()
    }
}

fn check(engine: &Engine, component: &Component, digest: Digest, path: &str) -> Result<Plugin, Reason> {
    let linked = linker::link(engine, component)?;
    let exports = Exports::of(engine, component)?;
    let (engine, short, path) = (engine.clone(), digest.short(), path.to_owned());
    let checked = Arc::new(Checked { engine, linked, exports, short, digest, path });
    let limits = Limits { open: DESCRIBE, ..Limits::default() };
    let guest = Guest::start(&checked, "".into(), limits, None, Arc::default()).map_err(Reason::Describe)?;
    guest.check().map_err(|error| ExportError::Types(format!("{error:#}")))?;
    Ok(Plugin { checked })
}
