//! How operators come to be.

use crate::{Error, Result, Setup};

/// An operator that can be opened: it reads its settings and declares states, outputs and metrics.
///
/// A type with [`Default`] opens as its default value, and takes no settings.
pub trait Open: Sized {
    /// Opens the operator, once on each new instance. Any error is permanent.
    fn open(setup: &mut Setup) -> Result<Self>;
}

impl<T: Default> Open for T {
    fn open(setup: &mut Setup) -> Result<Self> {
        if setup.has_settings() {
            return Err(Error::permanent("read the settings: this operator takes none"));
        }
        Ok(Self::default())
    }
}
