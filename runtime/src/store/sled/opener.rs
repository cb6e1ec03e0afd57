//! Opens a database that may be damaged.
//!
//! When sled finds damage late in its opening it panics, and its unwinding then waits for ever for a thread that was
//! not started yet. So the opening has a thread of its own, which is left behind if it panics; that it did is known from
//! the panic hook, which runs before the unwinding. The hook is the process's, so one opening has it at a time, and
//! hands on what other threads say.

use std::panic::{self, AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::store::panic_message;

const NAME: &str = "store-open";

static OPENING: Mutex<()> = Mutex::new(());

/// Runs an opening; a panic of it is the error.
pub(super) fn run<T: Send + 'static>(open: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    let _one = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
    let (answer, answered) = mpsc::channel();
    let others: Arc<dyn Fn(&PanicHookInfo<'_>) + Send + Sync> = panic::take_hook().into();
    panic::set_hook(Box::new({
        let (answer, others) = (answer.clone(), Arc::clone(&others));
        move |panicked| match thread::current().name() {
            Some(NAME) => drop(answer.send(Err(panic_message(panicked.payload())))),
            _ => others(panicked),
        }
    }));
    let run = move || {
        let opened = catch_unwind(AssertUnwindSafe(open)).map_err(|panicked| panic_message(&*panicked));
        let _ = answer.send(opened);
    };
    let thread = thread::Builder::new().name(NAME.into()).spawn(run);
    let opened = match thread {
        Ok(_) => answered.recv().unwrap_or_else(|_| Err("its opening ended without an answer".into())),
        Err(error) => Err(format!("start a thread to open it: {error}")),
    };
    panic::set_hook(Box::new(move |panicked| others(panicked)));
    opened
}
