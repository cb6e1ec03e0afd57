//! What can go wrong, sorted by what the host does about it.

use std::fmt;

/// The result of an operator's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a record, or a whole call, could not be handled.
///
/// Every [`std::error::Error`] becomes a [`Failure`](Error::Failure) of the record at hand by `?`:
///
/// ```
/// use wasmill_sdk::{Error, Record, Result};
///
/// fn amount(record: Record<'_>) -> Result<u64> {
///     let amount: u64 = record.text()?.parse()?;
///     if amount == 0 {
///         return Err(Error::failure("an amount of 0"));
///     }
///     Ok(amount)
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// This record can not be handled; the others of the call are not concerned. It goes to the dead-letter topic with
    /// the reason, or where the pipeline's `on-error` says.
    Failure(String),
    /// The call may work later: nothing of it takes effect, and it is made again after a pause (`retry`).
    Transient(String),
    /// The call will not work: nothing of it takes effect, and `on-error` decides.
    Permanent(String),
}

impl Error {
    /// A [`Failure`](Error::Failure) with a reason for the person who reads the dead letter.
    pub fn failure(reason: impl Into<String>) -> Self {
        Self::Failure(reason.into())
    }

    /// A [`Transient`](Error::Transient) error.
    pub fn transient(reason: impl Into<String>) -> Self {
        Self::Transient(reason.into())
    }

    /// A [`Permanent`](Error::Permanent) error.
    pub fn permanent(reason: impl Into<String>) -> Self {
        Self::Permanent(reason.into())
    }

    /// The reason given.
    pub fn reason(&self) -> &str {
        match self {
            Self::Failure(reason) | Self::Transient(reason) | Self::Permanent(reason) => reason,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

// `Error` itself is no `std::error::Error`: that is what lets every other error become one by `?`.
impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        Self::Failure(error.to_string())
    }
}
