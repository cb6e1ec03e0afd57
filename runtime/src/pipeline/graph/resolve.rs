//! From names to what they name.

use std::collections::HashMap;

use super::{Input, Output, Upstream};
use crate::pipeline::{
    error::{Kind, Place, Report, Reported},
    name,
    placed::Placed,
    spec::{self, Inputs, Spec},
};

/// The names that `from` may use.
pub(super) struct Names<'s> {
    known: HashMap<&'s str, Named>,
    /// The names of sources and operators in the order of the file.
    readable: Vec<&'s str>,
    report: &'s Report,
}

/// What a name names, by its index in the file.
#[derive(Clone, Copy)]
enum Named {
    Source(usize),
    Operator(usize),
    Sink,
}

impl<'s> Names<'s> {
    /// The names of `spec`, after what is wrong with them is reported.
    pub(super) fn new(spec: &'s Spec, report: &'s Report) -> Self {
        let sources = spec.sources.iter().enumerate().map(|(n, (name, _))| (name, Named::Source(n)));
        let operators = spec.operators.iter().enumerate().map(|(n, (name, _))| (name, Named::Operator(n)));
        let sinks = spec.sinks.iter().map(|(name, _)| (name, Named::Sink));
        let readable = sources.clone().chain(operators.clone()).map(|(name, _)| name.as_str()).collect();
        let mut names = Self { known: HashMap::new(), readable, report };
        for (name, named) in sources.chain(operators).chain(sinks) {
            if let Err(message) = name::check(name) {
                report.at(Kind::Key, name.place, message);
            }
            match (names.known.get(name.as_str()), named) {
                (None, _) => {
                    names.known.insert(name, named);
                }
                (Some(Named::Source(source)), Named::Operator(_)) => {
                    let line = spec.sources.0.get(*source).map_or(0, |(source, _)| source.place.line);
                    let message = format!("`{}` is a source on line {line} already; give one another name", name.value);
                    report.at(Kind::Key, name.place, message);
                }
                // A sink is never read, so it may share the name of what it reads.
                (Some(_), _) => {}
            }
        }
        names
    }

    /// What an operator reads.
    pub(super) fn inputs(&self, inputs: &Inputs, place: Place) -> Result<Vec<Input>, Reported> {
        match inputs {
            Inputs::One(from) => Ok(vec![Input { name: None, from: self.from(from)? }]),
            Inputs::Named(inputs) if inputs.0.is_empty() => {
                Err(self.report.at(Kind::Value, place, "`from` names nothing; name a source or an operator"))
            }
            Inputs::Named(inputs) => {
                let one =
                    |(name, from): &(Placed<String>, _)| Ok(Input { name: Some(name.clone()), from: self.from(from)? });
                all(inputs.iter().map(one))
            }
        }
    }

    /// What is read as one stream.
    pub(super) fn from(&self, from: &spec::From) -> Result<Vec<Upstream>, Reported> {
        let mut seen: Vec<&str> = Vec::new();
        all(from.0.iter().map(|name| {
            if seen.contains(&name.as_str()) {
                let message = format!("`{}` is in the list twice; remove one", name.value);
                return Err(self.report.at(Kind::Reference, name.place, message));
            }
            seen.push(name);
            self.upstream(name)
        }))
    }

    fn upstream(&self, written: &Placed<String>) -> Result<Upstream, Reported> {
        let (name, port) = match written.split_once('.') {
            // A name with a dot is reported where it is given.
            Some((name, port)) if !self.known.contains_key(written.as_str()) => (name, Some(port)),
            _ => (written.as_str(), None),
        };
        let place = written.place;
        let message = match (self.known.get(name), port) {
            (Some(Named::Source(index)), None) => return Ok(Upstream { place, output: Output::Source(*index) }),
            (Some(Named::Source(_)), Some(_)) => format!("the source `{name}` has no ports; write `{name}`"),
            (Some(Named::Operator(_)), Some("")) => {
                format!("a port's name is missing behind the dot; `{name}` alone is the main port")
            }
            (Some(Named::Operator(index)), port) => {
                let port = port.map(str::to_owned);
                return Ok(Upstream { place, output: Output::Operator { index: *index, port } });
            }
            (Some(Named::Sink), _) => format!("`{name}` is a sink; only sources and operators can be read"),
            (None, _) => {
                let hint = name::hint(name, self.readable.iter().copied());
                format!("no source or operator is named `{name}`{hint}")
            }
        };
        Err(self.report.at(Kind::Reference, place, message))
    }
}

/// All results, or the last failure, after all were tried.
pub(super) fn all<T>(results: impl Iterator<Item = Result<T, Reported>>) -> Result<Vec<T>, Reported> {
    let mut values = Vec::new();
    let mut failed = None;
    for result in results {
        match result {
            Ok(value) => values.push(value),
            Err(reported) => failed = Some(reported),
        }
    }
    failed.map_or(Ok(values), Err)
}
