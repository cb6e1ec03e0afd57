//! Whether a version of an operator can go on where another one left off.

use thiserror::Error;

use super::{Declaration, OutputDeclaration, Role, StateDeclaration, StateKind};

/// Why a version of an operator cannot go on where the running one leaves off.
#[derive(Clone, Debug, Error, Eq, PartialEq)]
pub enum Unfit {
    /// It is called in another way.
    #[error(
        "it is a {next} and the running version a {running}: give the operator another name and deploy the pipeline"
    )]
    Role {
        /// Of the running version.
        running: &'static str,
        /// Of the next one.
        next: &'static str,
    },
    /// Its inputs are others, or stand in another order.
    #[error("its inputs are {next:?} and those of the running version {running:?}: deploy the pipeline")]
    Inputs {
        /// Of the running version.
        running: Vec<String>,
        /// Of the next one.
        next: Vec<String>,
    },
    /// An output is gone.
    #[error("it has no output `{0}`, which the running version has: keep it, or deploy the pipeline without it")]
    Output(String),
    /// An output no longer keeps keys, and what reads it counts on that.
    #[error("its output `{0}` does not keep keys, as that of the running version does: deploy the pipeline")]
    Keys(String),
    /// A state is gone.
    #[error("it has no state `{0}`, of which the running version keeps rows: declare it, used or not")]
    State(String),
    /// A state is kept in another way.
    #[error("its state `{name}` is {next}, that of the running version {running}: give the new one another name")]
    Kind {
        /// The state.
        name: String,
        /// In the running version.
        running: &'static str,
        /// In the next one.
        next: &'static str,
    },
    /// A state has values that it may not understand.
    #[error(
        "its state `{name}` has encoding {next}, that of the running version {running}: \
         read the later encoding too, and declare it"
    )]
    Encoding {
        /// The state.
        name: String,
        /// In the running version.
        running: u8,
        /// In the next one.
        next: u8,
    },
}

impl Declaration {
    /// Checks that a version that says this of itself can go on where the running one leaves off. `back`: it has run here
    /// before, so what came since may be missing from it.
    ///
    /// Outputs and states are told by name; both may be more, and in another order.
    pub fn follows(&self, running: &Self, back: bool) -> Result<(), Unfit> {
        if self.role != running.role {
            return Err(Unfit::Role { running: role(running.role), next: role(self.role) });
        }
        if self.inputs != running.inputs {
            return Err(Unfit::Inputs { running: running.inputs.clone(), next: self.inputs.clone() });
        }
        running.outputs.iter().filter(|_| !back).try_for_each(|output| self.continues_output(output))?;
        running.states.iter().try_for_each(|state| self.continues_state(state, back))
    }

    fn continues_output(&self, running: &OutputDeclaration) -> Result<(), Unfit> {
        match self.outputs.iter().find(|next| next.name == running.name) {
            None => Err(Unfit::Output(running.name.clone())),
            Some(next) if running.keeps_keys && !next.keeps_keys => Err(Unfit::Keys(running.name.clone())),
            Some(_) => Ok(()),
        }
    }

    fn continues_state(&self, running: &StateDeclaration, back: bool) -> Result<(), Unfit> {
        let name = running.name.clone();
        match self.states.iter().find(|next| next.name == name) {
            None if back => Ok(()),
            None => Err(Unfit::State(name)),
            Some(next) if next.kind != running.kind => {
                Err(Unfit::Kind { name, running: kind(running.kind), next: kind(next.kind) })
            }
            Some(next) if next.encoding < running.encoding && !back => {
                Err(Unfit::Encoding { name, running: running.encoding, next: next.encoding })
            }
            Some(_) => Ok(()),
        }
    }
}

const fn role(role: Role) -> &'static str {
    match role {
        Role::Transform => "transform",
        Role::Process => "process",
    }
}

const fn kind(kind: StateKind) -> &'static str {
    match kind {
        StateKind::Single => "a single value",
        StateKind::OrderedMap => "an ordered map",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running() -> Declaration {
        let output = |name: &str, keeps_keys| OutputDeclaration { name: name.into(), keeps_keys };
        let state =
            |name: &str, kind| StateDeclaration { name: name.into(), kind, prefetch: true, ttl: None, encoding: 2 };
        Declaration {
            name: "o".into(),
            version: "1".into(),
            role: Role::Process,
            inputs: vec!["in".into()],
            outputs: vec![output("out", true), output("late", false)],
            states: vec![state("sum", StateKind::Single), state("seen", StateKind::OrderedMap)],
            metrics: Vec::new(),
        }
    }

    #[test]
    fn what_cannot_go_on_says_why() {
        type Change = fn(&mut Declaration);
        #[rustfmt::skip]
        let table: [(Change, &str, bool); 7] = [
            // change                                   what is said                                            fits going back
            (|next| next.role = Role::Transform,        "it is a transform and the running version a process",  false),
            (|next| next.inputs.push("side".into()),    "its inputs are [\"in\", \"side\"]",                    false),
            (|next| next.outputs.truncate(1),           "it has no output `late`",                              true),
            (|next| next.outputs[0].keeps_keys = false, "its output `out` does not keep keys",                  true),
            (|next| next.states.truncate(1),            "it has no state `seen`",                               true),
            (|next| next.states[1].kind = StateKind::Single, "its state `seen` is a single value",              false),
            (|next| next.states[0].encoding = 1,        "its state `sum` has encoding 1",                       true),
        ];
        for (change, said, back) in table {
            let mut next = running();
            change(&mut next);
            let unfit = next.follows(&running(), false).unwrap_err().to_string();
            assert!(unfit.starts_with(said), "{unfit}");
            assert_eq!(next.follows(&running(), true).is_ok(), back, "{unfit}");
        }
    }

    #[test]
    fn more_and_in_another_order_fits() {
        let mut next = running();
        next.outputs.push(OutputDeclaration { name: "more".into(), keeps_keys: false });
        next.outputs.reverse();
        next.outputs[1].keeps_keys = true;
        let more = StateDeclaration { name: "more".into(), encoding: 1, ttl: Some(5), ..next.states[0].clone() };
        next.states.insert(0, more);
        next.states.reverse();
        next.states[1].encoding = 3;
        (next.states[1].prefetch, next.states[1].ttl) = (false, Some(7));
        assert_eq!(next.follows(&running(), false), Ok(()));
    }
}
