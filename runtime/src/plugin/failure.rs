//! How a failed call is told.

use std::{fmt, iter};

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

/// Times that a function stands on the stack in a row when recursion has no end.
const DEEP: usize = 8;

/// Bytes of one name.
const LONGEST_NAME: usize = 120;

/// Bytes of a whole message.
pub(super) const LONGEST: usize = 4096;

/// Whether it is told where a guest was. Names take longer to find than a guest to start.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Trace {
    /// The functions on its stack are named.
    Named,
    /// Nobody will read it: the call is made again with fewer records.
    Skipped,
}

/// Explains how a call ended that did not return: what broke, the last error lines that the guest logged, where it
/// was, and which plugin it is.
pub(super) fn explain(error: &wasmtime::Error, host: &Host, plugin: &str, trace: Trace) -> CallError {
    if let Some(Refusal::Fault(fault)) = error.downcast_ref::<Refusal>() {
        return CallError::Fault(fault.clone());
    }
    let stack = error.downcast_ref::<WasmBacktrace>().filter(|_| trace == Trace::Named);
    let frames = stack.map(|stack| frames(&stack.to_string())).unwrap_or_default();
    let lines = host.lines.errors().map(|line| line.replace('\n', " "));
    let said: Vec<_> = cause(error, &frames).into_iter().chain(lines).collect();
    let mut message = if said.is_empty() { "panicked".into() } else { said.join(": ") };
    for (frame, joint) in frames.iter().take(FRAMES).zip(iter::once("; at ").chain(iter::repeat(" < "))) {
        message.push_str(joint);
        message.push_str(&frame.to_string());
    }
    let message = format!("{}; plugin {plugin}", cut(&message, LONGEST));
    match error.downcast_ref::<Trap>() {
        _ if error.is::<Missed>() => CallError::Deadline(message),
        Some(Trap::StackOverflow) | None => CallError::Limit(message),
        Some(_) => CallError::Trap(message),
    }
}

/// What broke; nothing if the guest gave up and may have said why.
fn cause(error: &wasmtime::Error, frames: &[Frame]) -> Option<String> {
    if let Some(refusal) = error.downcast_ref::<Refusal>() {
        return Some(refusal.to_string());
    }
    if let Some(broken) = error.downcast_ref::<Broken>() {
        return Some(broken.to_string());
    }
    if let Some(missed) = error.downcast_ref::<Missed>() {
        return Some(missed.to_string());
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => Some(format!("stack limit of {} KiB reached", STACK / 1024)),
        // Compilers put what is addressed on a stack of their own at the bottom of the memory.
        Some(Trap::MemoryOutOfBounds) if frames.first().is_some_and(|frame| frame.times >= DEEP) => {
            Some("out of bounds memory access, its own stack is used up".into())
        }
        Some(Trap::UnreachableCodeReached) => None,
        Some(trap) => Some(trap.to_string().trim_start_matches("wasm trap: ").into()),
        None => Some(error.root_cause().to_string()),
    }
}

/// A function on the stack, and how often it stands there in a row.
#[derive(Debug, Eq, PartialEq)]
struct Frame {
    name: String,
    times: usize,
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if self.times > 1 { write!(f, " ({} times)", self.times) } else { Ok(()) }
    }
}

/// The functions on the stack that have names, innermost first. The backtrace's own text is read, since only it has
/// the names demangled.
fn frames(trace: &str) -> Vec<Frame> {
    let mut frames: Vec<Frame> = Vec::new();
    for name in trace.lines().filter_map(|line| line.split_once('!')).map(|(_, name)| plain(name.trim())) {
        match frames.last_mut() {
            Some(last) if last.name == name => last.times += 1,
            _ if is_plumbing(&name) => {}
            _ => frames.push(Frame { name, times: 1 }),
        }
    }
    frames
}

/// A name without the hashes that compilers add.
fn plain(name: &str) -> String {
    let name = match name.rsplit_once("::h") {
        Some((name, hash)) if is_hash(hash) => name,
        _ => name,
    };
    let mut pieces = name.split('[');
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        match piece.split_once(']') {
            Some((hash, rest)) if is_hash(hash) => plain.push_str(rest),
            _ => plain.extend(["[", piece]),
        }
    }
    cut(&plain, LONGEST_NAME).to_owned()
}

fn is_hash(text: &str) -> bool {
    (14..=16).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Functions without a name, and those that lead out of a panic or into the allocator.
fn is_plumbing(name: &str) -> bool {
    let of = [
        "__rust",
        "std::",
        "core::",
        "alloc::",
        "<alloc::",
        "dlmalloc::",
        "<dlmalloc::",
        "<unknown>",
        "<wasm function",
    ];
    of.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_those_that_say_something() {
        let trace = "error while executing at wasm backtrace:
            0:   0x12 - guest.wasm!std[a543996e6e7dbf1e]::panicking::panic_with_hook
            1:   0x34 - guest.wasm!__rustc[b7974e8690430dd9]::rust_begin_unwind
            2:   0x56 - guest.wasm!<unknown>
            3:   0x78 - guest.wasm!count::add::h798a41dcbed727a9
            4:   0x78 - guest.wasm!count::add::h798a41dcbed727a9
            5:   0x9a - guest.wasm!<count[0123456789abcdef]::Count as Guest>::process::<[u8]>";
        let names: Vec<_> = frames(trace).iter().map(Frame::to_string).collect();
        assert_eq!(names, ["count::add (2 times)", "<count::Count as Guest>::process::<[u8]>"]);
    }
}
