//! The operator's log, which the host shows with the operator's name and partition.
//!
//! ```
//! # let amount = 7;
//! wasmill_sdk::warn!("an amount of {amount} is rather small");
//! ```

use std::fmt;

use crate::host;
use crate::host::logging;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Every step.
    Trace,
    /// What helps to find a fault.
    Debug,
    /// What an operator wants to read.
    Info,
    /// What may go wrong.
    Warn,
    /// What went wrong.
    Error,
}

impl From<Level> for logging::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Trace => Self::Trace,
            Level::Debug => Self::Debug,
            Level::Info => Self::Info,
            Level::Warn => Self::Warn,
            Level::Error => Self::Error,
        }
    }
}

/// Whether anybody listens at this level.
pub fn enabled(level: Level) -> bool {
    host::logging::enabled(level.into())
}

/// Writes a line if anybody listens. The macros [`error!`](crate::error!) to [`trace!`](crate::trace!) are shorter. Lines
/// above the host's rate limit are dropped and counted.
pub fn log(level: Level, message: fmt::Arguments<'_>) {
    if enabled(level) {
        host::logging::log(level.into(), &message.to_string());
    }
}

/// Logs what went wrong, as [`format!`] would write it.
#[macro_export]
macro_rules! error {
    ($($message:tt)+) => { $crate::log::log($crate::log::Level::Error, ::std::format_args!($($message)+)) };
}

/// Logs what may go wrong, as [`format!`] would write it.
#[macro_export]
macro_rules! warn {
    ($($message:tt)+) => { $crate::log::log($crate::log::Level::Warn, ::std::format_args!($($message)+)) };
}

/// Logs what an operator wants to read, as [`format!`] would write it.
#[macro_export]
macro_rules! info {
    ($($message:tt)+) => { $crate::log::log($crate::log::Level::Info, ::std::format_args!($($message)+)) };
}

/// Logs what helps to find a fault, as [`format!`] would write it.
#[macro_export]
macro_rules! debug {
    ($($message:tt)+) => { $crate::log::log($crate::log::Level::Debug, ::std::format_args!($($message)+)) };
}

/// Logs a step, as [`format!`] would write it.
#[macro_export]
macro_rules! trace {
    ($($message:tt)+) => { $crate::log::log($crate::log::Level::Trace, ::std::format_args!($($message)+)) };
}

/// Sends the message and the place of a panic to the log before the instance traps.
#[cfg(target_arch = "wasm32")]
pub(crate) fn panics() {
    std::panic::set_hook(Box::new(|panic| log(Level::Error, format_args!("{panic}"))));
}
