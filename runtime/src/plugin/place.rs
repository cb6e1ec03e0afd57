//! A plugin at its place in a pipeline.

use std::sync::Arc;

use wasmill_core::operator::{CallError, Declaration};

use super::checked::Checked;
use super::component::Digest;
use super::guest::Guest;
use super::instance::Instance;
use super::limits::Limits;
use super::tally::Tally;

/// The place that a pipeline has for a plugin.
#[derive(Clone, Debug)]
pub struct Place {
    /// Name of the operator.
    pub operator: Arc<str>,
    /// Its settings, as one JSON object.
    pub settings: Arc<str>,
    /// What an instance may use.
    pub limits: Limits,
}

/// A plugin at its place: it has described itself and is ready to be started by any worker.
#[derive(Clone)]
pub struct Placed {
    plugin: Arc<Checked>,
    place: Place,
    declaration: Arc<Declaration>,
}

impl Placed {
    pub(super) fn new(plugin: Arc<Checked>, place: Place, declaration: Declaration) -> Self {
        Self { plugin, place, declaration: Arc::new(declaration) }
    }

    /// What the plugin says of itself here.
    pub fn declaration(&self) -> &Declaration {
        &self.declaration
    }

    /// The digest of the plugin's bytes.
    pub fn digest(&self) -> Digest {
        self.plugin.digest
    }

    /// An operator for one worker. Its guest starts with the first call, or with [`Instance::open`].
    pub fn instance(&self) -> Instance {
        self.counted(Arc::default())
    }

    /// The same, counted in a tally.
    pub fn counted(&self, tally: Arc<Tally>) -> Instance {
        Instance::new(self.clone(), tally)
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.place.limits
    }

    /// The operator's name.
    pub(super) fn operator(&self) -> &str {
        &self.place.operator
    }

    pub(super) fn short(&self) -> &str {
        &self.plugin.short
    }

    /// Starts and opens a guest.
    pub(super) fn start(&self, tally: &Arc<Tally>) -> Result<Guest, CallError> {
        let (operator, limits) = (Arc::clone(&self.place.operator), self.place.limits);
        let (declaration, tally) = (Some(Arc::clone(&self.declaration)), Arc::clone(tally));
        let mut guest = Guest::start(&self.plugin, operator, limits, declaration, tally)?;
        guest.open(&self.place.settings, limits.open)?;
        Ok(guest)
    }
}
