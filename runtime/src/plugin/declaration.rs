//! What a plugin says of itself, checked.

use std::collections::HashSet;

use thiserror::Error;
use wasmill_core::operator::{
    Declaration, MetricDeclaration, MetricKind, OutputDeclaration, Role, StateDeclaration, StateKind,
};

use super::contract::{self, OperatorInfo};

/// Bytes in a name.
const LONGEST: usize = 100;

/// A declaration that cannot be.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum DeclarationError {
    /// A name that cannot be used in a pipeline file or as a metric.
    #[error("declares {what} `{name}`: a name has 1 to {LONGEST} of the characters a-z, 0-9, `-` and `_`")]
    Name {
        /// What is named.
        what: &'static str,
        /// How.
        name: String,
    },
    /// The operator's own name or version is empty or does not fit a line.
    #[error("declares no {0} that fits on a line: give it 1 to {LONGEST} printable characters")]
    Label(&'static str),
    /// A name that stands twice.
    #[error("declares {what} `{name}` twice")]
    Twice {
        /// What is named.
        what: &'static str,
        /// How.
        name: String,
    },
    /// Something that there must be at least one of.
    #[error("declares no {0}, it needs one at least")]
    None(&'static str),
    /// Too many of something.
    #[error("declares {count} {what}s, {most} are the most")]
    Many {
        /// Of what.
        what: &'static str,
        /// How many.
        count: usize,
        /// How many there may be.
        most: usize,
    },
    /// A transformer has no state.
    #[error("declares state `{0}`, but a transformer keeps none: export `processor` instead")]
    Stateless(String),
    /// A map cannot be handed over whole.
    #[error("declares state `{0}` as prefetched, but only a single value can be")]
    Prefetch(String),
    /// A state that forgets everything at once.
    #[error("declares state `{0}` with a time to live of 0 ms: leave it out to keep values for ever")]
    Ttl(String),
}

const MOST_PORTS: usize = 64;
const MOST_STATES: usize = 64;
const MOST_PREFETCHED: usize = 16;
const MOST_METRICS: usize = 1000;

/// Checks what a plugin says of itself.
pub(super) fn check(info: OperatorInfo, role: Role) -> Result<Declaration, DeclarationError> {
    check_label("name", &info.name)?;
    check_label("version", &info.version)?;
    check_names("input", MOST_PORTS, info.inputs.iter())?;
    check_names("output", MOST_PORTS, info.outputs.iter().map(|output| &output.name))?;
    check_names("state", MOST_STATES, info.states.iter().map(|state| &state.name))?;
    check_names("metric", MOST_METRICS, info.metrics.iter().map(|metric| &metric.name))?;
    if info.inputs.is_empty() {
        return Err(DeclarationError::None("input"));
    }
    if info.outputs.is_empty() {
        return Err(DeclarationError::None("output"));
    }
    let states: Vec<_> = info.states.into_iter().map(state).collect();
    check_states(&states, role)?;
    let outputs =
        info.outputs.into_iter().map(|output| OutputDeclaration { name: output.name, keeps_keys: output.keeps_keys });
    Ok(Declaration {
        name: info.name,
        version: info.version,
        role,
        inputs: info.inputs,
        outputs: outputs.collect(),
        states,
        metrics: info.metrics.into_iter().map(metric).collect(),
    })
}

fn check_label(what: &'static str, label: &str) -> Result<(), DeclarationError> {
    let fits = (1..=LONGEST).contains(&label.len()) && !label.contains(char::is_control);
    if fits { Ok(()) } else { Err(DeclarationError::Label(what)) }
}

fn check_names<'a>(
    what: &'static str,
    most: usize,
    names: impl ExactSizeIterator<Item = &'a String>,
) -> Result<(), DeclarationError> {
    if names.len() > most {
        return Err(DeclarationError::Many { what, count: names.len(), most });
    }
    let mut seen = HashSet::new();
    for name in names {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
        if !(1..=LONGEST).contains(&name.len()) || !name.bytes().all(allowed) {
            let name = super::lines::cut(name, LONGEST).into();
            return Err(DeclarationError::Name { what, name });
        }
        if !seen.insert(name) {
            return Err(DeclarationError::Twice { what, name: name.clone() });
        }
    }
    Ok(())
}

fn check_states(states: &[StateDeclaration], role: Role) -> Result<(), DeclarationError> {
    if let (Role::Transform, Some(state)) = (role, states.first()) {
        return Err(DeclarationError::Stateless(state.name.clone()));
    }
    for state in states {
        if state.prefetch && state.kind != StateKind::Single {
            return Err(DeclarationError::Prefetch(state.name.clone()));
        }
        if state.ttl == Some(0) {
            return Err(DeclarationError::Ttl(state.name.clone()));
        }
    }
    let count = states.iter().filter(|state| state.prefetch).count();
    if count > MOST_PREFETCHED {
        return Err(DeclarationError::Many { what: "prefetched state", count, most: MOST_PREFETCHED });
    }
    Ok(())
}

fn state(state: contract::StateDecl) -> StateDeclaration {
    let kind = match state.kind {
        contract::StateKind::Single => StateKind::Single,
        contract::StateKind::OrderedMap => StateKind::OrderedMap,
    };
    let (prefetch, ttl, encoding) = (state.prefetch, state.ttl_ms, state.encoding);
    StateDeclaration { name: state.name, kind, prefetch, ttl, encoding }
}

fn metric(metric: contract::MetricDecl) -> MetricDeclaration {
    let kind = match metric.kind {
        contract::MetricKind::Counter => MetricKind::Counter,
        contract::MetricKind::Gauge => MetricKind::Gauge,
        contract::MetricKind::Histogram => MetricKind::Histogram,
    };
    MetricDeclaration { name: metric.name, kind, unit: metric.unit }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> OperatorInfo {
        OperatorInfo {
            name: "Count words".into(),
            version: "1.0".into(),
            inputs: vec!["in".into()],
            outputs: vec![contract::OutputDecl { name: "out".into(), keeps_keys: true }],
            states: vec![declared("count", contract::StateKind::Single, true, None)],
            metrics: vec![],
        }
    }

    fn declared(name: &str, kind: contract::StateKind, prefetch: bool, ttl_ms: Option<u64>) -> contract::StateDecl {
        contract::StateDecl { name: name.into(), kind, prefetch, ttl_ms, encoding: 1 }
    }

    #[test]
    fn a_whole_declaration_is_taken_over() -> Result<(), DeclarationError> {
        let declaration = check(info(), Role::Process)?;
        assert_eq!(declaration.prefetched().collect::<Vec<_>>(), [0]);
        assert!(declaration.outputs.iter().all(|output| output.keeps_keys));
        Ok(())
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_name() {
        use contract::StateKind::{OrderedMap, Single};
        type Change = fn(&mut OperatorInfo);
        #[rustfmt::skip]
        let table: [(Change, Role, &str); 11] = [
            (|i| i.name.clear(),                        Role::Process, "declares no name that fits on a line"),
            (|i| i.version = "1\n".into(),              Role::Process, "declares no version that fits on a line"),
            (|i| i.inputs.clear(),                      Role::Process, "declares no input"),
            (|i| i.outputs.clear(),                     Role::Process, "declares no output"),
            (|i| i.inputs.push("In".into()),            Role::Process, "declares input `In`: a name has"),
            (|i| i.inputs.push("in".into()),            Role::Process, "declares input `in` twice"),
            (|i| i.inputs = vec!["in".into(); 65],      Role::Process, "declares 65 inputs, 64 are the most"),
            (|_| (),                                    Role::Transform, "declares state `count`, but a transformer"),
            (|i| i.states.push(declared("m", OrderedMap, true, None)), Role::Process, "declares state `m` as prefetched"),
            (|i| i.states.push(declared("s", Single, false, Some(0))), Role::Process, "declares state `s` with a time to live of 0"),
            (|i| i.states.extend((0..16).map(|n| declared(&format!("s{n}"), Single, true, None))),
                                                        Role::Process, "declares 17 prefetched states, 16 are the most"),
        ];
        for (change, role, expected) in table {
            let mut info = info();
            change(&mut info);
            let message = check(info, role).map(drop).map_err(|error| error.to_string());
            assert!(message.as_ref().is_err_and(|message| message.starts_with(expected)), "{message:?}");
        }
    }
}
