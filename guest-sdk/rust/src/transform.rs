//! Stateless operators.

use crate::{Open, Output, Record, Result};

/// A stateless operator: one record in, any number out. Map, filter, flat-map, parse, route.
///
/// ```
/// use wasmill_sdk::{Output, Record, Result, Transform};
///
/// #[derive(Default)]
/// struct Shout;
///
/// impl Transform for Shout {
///     fn process(&mut self, record: Record<'_>, out: &mut Output) -> Result<()> {
///         out.emit(record.with_value(record.text()?.to_uppercase()))
///     }
/// }
///
/// wasmill_sdk::export!(transform Shout);
/// # fn main() {}
/// ```
pub trait Transform: Open {
    /// Handles one record. On an error nothing that was emitted for it stays.
    ///
    /// What `self` remembers is a cache: the host may drop an instance between any two calls.
    fn process(&mut self, record: Record<'_>, out: &mut Output<'_>) -> Result<()>;
}
