//! Stateless operators.

use crate::{Output, Record, Result, Setup};

/// A stateless operator: one record in, any number out. Map, filter, flat-map, parse, route.
///
/// ```
/// use wasmill_sdk::{Output, Record, Result, Setup, Transform};
///
/// struct Shout;
///
/// impl Transform for Shout {
///     fn open(_: &mut Setup) -> Result<Self> {
///         Ok(Self)
///     }
///
///     fn process(&mut self, record: Record<'_>, out: &mut Output) -> Result<()> {
///         out.emit(record.with_value(record.text()?.to_uppercase()));
///         Ok(())
///     }
/// }
///
/// wasmill_sdk::export!(transform Shout);
/// # fn main() {}
/// ```
pub trait Transform: Sized {
    /// Reads the settings and declares outputs and metrics. Any error is permanent.
    fn open(setup: &mut Setup) -> Result<Self>;

    /// Handles one record. On an error nothing that was emitted for it stays.
    ///
    /// What `self` remembers is a cache: the host may drop an instance between any two calls.
    fn process(&mut self, record: Record<'_>, out: &mut Output<'_>) -> Result<()>;
}
