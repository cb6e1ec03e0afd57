//! A plugin that misbehaves while it runs loses its call, and the next call finds a new instance.

use std::time::{Duration, Instant};

use crate::guests;
use crate::guests::{Lost, call, place, process, records, scope, scope_over};
use wasmill::plugin::{Limits, Place};
use wasmill_core::operator::{CallError, Domain, Entry, Failure, Operator, Role};
use wasmill_core::port::Fault;
use wasmill_core::scope::{Measurement, Scope};

/// What is said of a call that broke a rule.
fn broken(does: &str) -> String {
    match call(&mut process(does), &["a", "b"]).1 {
        Err(CallError::Limit(message)) => message,
        other => panic!("{does}: {other:?}"),
    }
}

/// What is said of a call that trapped.
fn trapped(does: &str, records: &[&str]) -> String {
    match call(&mut process(does), records).1 {
        Err(CallError::Trap(message)) => message,
        other => panic!("{does}: {other:?}"),
    }
}

fn output(scope: Scope) -> Vec<(u32, Vec<u8>, Vec<u8>)> {
    let (_, flows, ..) = scope.into_parts();
    let bytes = |part: Option<&[u8]>| part.unwrap_or_default().to_vec();
    flows
        .iter()
        .flat_map(|flow| flow.iter().map(|(o, m)| (o, bytes(m.key), bytes(m.value))).collect::<Vec<_>>())
        .collect()
}

#[test]
fn a_good_processor_counts() {
    let mut instance = process("counts");
    assert_eq!(instance.declaration().role, Role::Process);
    let (scope, outcome) = call(&mut instance, &["a", "b", "a"]);
    let outcome = outcome.unwrap();
    assert_eq!(outcome.cells, [0, 1]);
    assert_eq!(outcome.values.iter().collect::<Vec<_>>(), [Some(&[1, 2][..]), Some(&[1, 1])]);
    let expected = [(0, "a", 1), (1, "b", 1), (2, "a", 2)].map(|(o, k, n)| (o, k.as_bytes().to_vec(), vec![n]));
    assert_eq!(output(*scope), expected);
    assert_eq!(instance.started(), 1);
}

#[test]
fn timers_reach_their_own_function() {
    let mut instance = process("counts");
    let scope = scope(&instance, Entry::Timers(Domain::EventTime), records(&["a"]));
    let (scope, outcome) = instance.call(scope);
    let outcome = outcome.unwrap();
    assert_eq!((outcome.cells, outcome.values.get(0)), (vec![0], None));
    assert_eq!(output(*scope), []);
}

#[test]
fn every_import_answers() {
    let (scope, outcome) = call(&mut process("uses-all"), &["a", "b"]);
    outcome.unwrap();
    let (state, _, armed, measurements) = scope.into_parts();
    assert_eq!(measurements, [Measurement::Add(0, 3)]);
    assert_eq!(armed.iter().map(|armed| armed.at.0).collect::<Vec<_>>(), [1000, 3000]);
    assert!(!state.unwrap().overlay().is_empty());
}

#[test]
fn a_transformer_passes_on_and_fails_single_records() {
    let place = Place { operator: "pass".into(), settings: "{}".into(), limits: Limits::default() };
    let mut instance = guests::plugin("transform").place(place).unwrap().instance();
    let (scope, outcome) = call(&mut instance, &["a", "!fail", "c"]);
    assert_eq!(outcome.unwrap().failures, [Failure { index: 1, reason: "not a word".into() }]);
    let expected = [(0, "a"), (2, "c")].map(|(o, text)| (o, text.as_bytes().to_vec(), text.as_bytes().to_vec()));
    assert_eq!(output(*scope), expected);
}

#[test]
fn what_breaks_a_rule_is_told_with_the_rule() {
    #[rustfmt::skip]
    let table = [
        ("hoards",           "memory limit of 64 MiB reached"),
        ("overflows",        "stack limit of 512 KiB reached"),
        ("forges",           "output.emit: record 0: a span of 3 bytes at 1 leaves the 3 bytes of data"),
        ("forges-input",     "output.emit: record 0: a span of 5 bytes at 0 leaves the 4 bytes of data"),
        ("forges-headers",   "output.emit: record 0: its headers are not well-formed"),
        ("strays",           "output.emit: there is no output 7, only 1"),
        ("predates",         "output.emit: record 0: the event time -5 is before 1970, where no log has any"),
        ("turns-back",       "output.emit needs origins that never fall and are below 2"),
        ("swells",           "an output record of 2000000 bytes passes the limit of 1000000"),
        ("floods",           "the output of one call passes the limit of 67108864 bytes"),
        ("trespasses",       "state and timers belong to a key of the call's records"),
        ("peeks",            "state `count` is prefetched, so it is read and written in slots"),
        ("invents-state",    "there is no state 9"),
        ("invents-metric",   "there is no metric 0 that is a gauge"),
        ("fills-up",         "what one call writes to state and timers passes 67108864 bytes"),
        ("oversteps",        "returned cell 2, of 2; plugin "),
        ("repeats",          "returned cell 0 twice; plugin "),
        ("forgets-encoding", "returned a value for cell 0 without the byte of its encoding; plugin "),
        ("blames-nobody",    "returned a failure of record 2, of 2; plugin "),
        ("blames-twice",     "returned two failures of record 0; plugin "),
    ];
    for (does, expected) in table {
        let message = broken(does);
        println!("{does}: {message}");
        assert!(message.starts_with(expected), "{does}: {message}");
    }
}

#[test]
fn a_trap_is_told_with_its_last_words_its_frames_and_its_plugin() {
    let message = trapped("panics", &["a"]);
    println!("{message}");
    assert!(message.starts_with("panicked at process/src/takes.rs:"), "{message}");
    assert!(message.contains("no price for a; at process::takes::panics < "), "{message}");
    assert!(message.ends_with(&format!("; plugin {}", guests::plugin("process").digest().short())), "{message}");
    let message = trapped("traps", &["a"]);
    println!("{message}");
    assert!(message.starts_with("panicked; at <process::Guest as "), "{message}");
    let message = trapped("overflows-in-memory", &["a"]);
    let stack = "out of bounds memory access, its own stack is used up; at process::takes::overflows_in_memory (";
    assert!(message.starts_with(stack), "{message}");
    assert!(trapped("babbles", &["a"]).len() < 5000);
    assert!(
        !trapped("traps", &["a", "b"]).contains("; at "),
        "a call of several records is made again, and is not traced"
    );
}

#[test]
fn an_endless_loop_ends_at_its_deadline() {
    let mut instance = process("spins");
    let start = Instant::now();
    let (_, outcome) = call(&mut instance, &["a"]);
    let Err(CallError::Deadline(message)) = outcome else { panic!("{outcome:?}") };
    println!("{message}");
    assert!(message.starts_with("deadline of 200 ms of processor time missed; at process::takes::spins"), "{message}");
    assert!(start.elapsed() >= Duration::from_millis(200));
}

#[test]
fn a_fault_of_the_host_is_not_the_guests() {
    let mut instance = process("uses-all");
    let scope = scope_over(Box::new(Lost), &instance, Entry::Process, records(&["a"]));
    let (_, outcome) = instance.call(scope);
    assert!(matches!(outcome, Err(CallError::Fault(Fault::Store(reason))) if reason == "the disk is gone"));
}

#[test]
fn an_operator_may_refuse_its_records() {
    let (_, outcome) = call(&mut process("refuses"), &["a"]);
    assert!(matches!(outcome, Err(CallError::Permanent(reason)) if reason == "no such currency"));
}

#[test]
fn an_operator_may_ask_for_a_pause() {
    let (_, outcome) = call(&mut process("waits"), &["a"]);
    assert!(matches!(outcome, Err(CallError::Transient(reason)) if reason == "the database is away"));
}

#[test]
fn failures_are_handed_over() {
    let (_, outcome) = call(&mut process("fails-some"), &["a", "b"]);
    assert_eq!(outcome.unwrap().failures, [Failure { index: 0, reason: "record 0 is bad".into() }]);
}

#[test]
fn a_guest_that_cannot_be_opened_says_so() {
    let open = |does| process(does).open().unwrap_err();
    assert!(
        matches!(open("opens-later"), CallError::Transient(m) if m == "open the plugin: the license server sleeps")
    );
    assert!(matches!(open("opens-never"), CallError::Permanent(m) if m == "open the plugin: no license"));
    let CallError::Limit(message) = open("opens-with-state") else { panic!() };
    assert!(message.starts_with("open the plugin: state.get may be used only while records"), "{message}");
}

#[test]
fn a_guest_is_replaced_after_an_error_when_it_has_grown_and_when_told() {
    let mut instance = process("panics");
    (0..3).for_each(|_| drop(call(&mut instance, &["a"])));
    assert_eq!(instance.started(), 3);

    let mut instance = process("leaks");
    let started = [1, 1, 2, 2, 3].map(|expected| {
        call(&mut instance, &["a"]).1.unwrap();
        (instance.started(), expected)
    });
    assert!(started.iter().all(|(started, expected)| started == expected), "{started:?}");

    let mut instance = process("counts");
    call(&mut instance, &["a"]).1.unwrap();
    instance.renew();
    call(&mut instance, &["a"]).1.unwrap();
    assert_eq!(instance.started(), 2);
}

#[test]
fn limits_can_be_lowered() {
    let limits = Limits { memory: 2 << 20, ..Limits::default() };
    let (_, outcome) = call(&mut place("leaks", limits).unwrap().instance(), &["a"]);
    assert!(matches!(outcome, Err(CallError::Limit(m)) if m.starts_with("memory limit of 2 MiB reached")));
}
