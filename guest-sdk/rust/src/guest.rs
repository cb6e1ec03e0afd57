//! The exports of a component, over the traits that operators implement. [`export!`](crate::export!) uses it.

mod processor;
mod transformer;

pub use processor::Processor;
pub use transformer::Transformer;

use std::cell::RefCell;
use std::thread::LocalKey;

use crate::bindings::operator::exports::wasmill::plugin::lifecycle::OperatorInfo;
use crate::bindings::operator::wasmill::plugin::types::{Error as CallError, Failure};
use crate::{Error, Open, Record, Result, Setup};

/// The type of [`describe`].
pub type Describe = fn(&str, &str, &str) -> Result<OperatorInfo, CallError>;

/// The one operator of an instance, once it is open.
pub type Instance<T> = LocalKey<RefCell<Option<T>>>;

/// Answers `lifecycle.describe`.
pub fn describe<T: Open>(settings: &str, name: &str, version: &str) -> Result<OperatorInfo, CallError> {
    #[cfg(target_arch = "wasm32")]
    crate::log::panics();
    let mut setup = Setup::new(settings);
    T::open(&mut setup).and_then(|_| setup.finish(name, version)).map_err(whole_call)
}

/// Answers `lifecycle.open`.
pub fn open<T: Open>(instance: &'static Instance<T>, settings: &str) -> Result<(), CallError> {
    #[cfg(target_arch = "wasm32")]
    crate::log::panics();
    let opened = T::open(&mut Setup::new(settings)).map_err(whole_call)?;
    instance.set(Some(opened));
    Ok(())
}

/// Makes a call to the open operator.
pub fn call<T: Open, R>(
    instance: &'static Instance<T>,
    call: impl FnOnce(&mut T) -> Result<R, CallError>,
) -> Result<R, CallError> {
    instance.with_borrow_mut(|operator| match operator {
        Some(operator) => call(operator),
        None => Err(CallError::Permanent("call the operator: it was not opened".to_owned())),
    })
}

/// An error where there is no record that it could be the failure of.
fn whole_call(error: Error) -> CallError {
    match error {
        Error::Transient(reason) => CallError::Transient(reason),
        Error::Failure(reason) | Error::Permanent(reason) => CallError::Permanent(reason),
    }
}

/// The failure of a record, or the error that ends the call.
fn failure(record: &Record<'_>, error: Error) -> Result<Failure, CallError> {
    match error {
        Error::Failure(reason) => Ok(Failure { index: record.index, reason }),
        error => Err(whole_call(error)),
    }
}
