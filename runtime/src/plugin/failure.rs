//! How a failed call is told.

use wasmill_core::operator::CallError;
use wasmill_core::scope::Refusal;
use wasmtime::{Trap, WasmBacktrace};

use super::clock::Missed;
use super::engine::STACK;
use super::host::Host;
use super::limits::Broken;
use super::lines::cut;

/// Frames that are named.
const FRAMES: usize = 6;

/// Bytes of one name.
const LONGEST_NAME: usize = 120;

/// Bytes of a whole message.
pub(super) const LONGEST: usize = 4096;

/// Explains how a call ended that did not return: what broke, the last error lines that the guest logged, where it
/// was, and which plugin it is.
pub(super) fn explain(error: &wasmtime::Error, host: &Host, plugin: &str) -> CallError {
    if let Some(Refusal::Fault(fault)) = error.downcast_ref::<Refusal>() {
        return CallError::Fault(fault.clone());
    }
    let mut message = cause(error);
    for line in host.lines.errors() {
        message.push_str(": ");
        message.push_str(line);
    }
    let frames = frames(error);
    if !frames.is_empty() {
        message.push_str("; at ");
        message.push_str(&frames.join(" < "));
    }
    let message = format!("{}; plugin {plugin}", cut(&message, LONGEST));
    if error.is::<Missed>() { CallError::Deadline(message) } else { CallError::Permanent(message) }
}

fn cause(error: &wasmtime::Error) -> String {
    if let Some(refusal) = error.downcast_ref::<Refusal>() {
        return refusal.to_string();
    }
    if let Some(broken) = error.downcast_ref::<Broken>() {
        return broken.to_string();
    }
    if let Some(missed) = error.downcast_ref::<Missed>() {
        return missed.to_string();
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => format!("stack limit of {} KiB reached", STACK / 1024),
        Some(Trap::UnreachableCodeReached) => "panicked".into(),
        Some(trap) => trap.to_string().trim_start_matches("wasm trap: ").into(),
        None => error.root_cause().to_string(),
    }
}

/// The names of the innermost frames. The backtrace's own text is read, since only it has the names demangled.
fn frames(error: &wasmtime::Error) -> Vec<String> {
    let Some(trace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    let text = trace.to_string();
    let names = text.lines().filter_map(|line| line.split_once('!')).map(|(_, name)| name.trim());
    names.filter(|name| !is_plumbing(name)).take(FRAMES).map(|name| cut(name, LONGEST_NAME).to_owned()).collect()
}

/// Frames of a panic on its way out, and functions that have no name.
fn is_plumbing(name: &str) -> bool {
    let outer = ["__rustc::", "std::panicking::", "core::panicking::", "std::sys::", "<unknown>", "<wasm function"];
    outer.iter().any(|prefix| name.starts_with(prefix))
}
