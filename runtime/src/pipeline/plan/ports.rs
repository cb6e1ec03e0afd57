//! From the names of ports to their numbers, which only the plugins know.

use std::collections::BTreeMap;

use wasmill_core::operator::Declaration;

use crate::pipeline::{
    error::{Kind, Report, Reported},
    graph::{Graph, Operator, Output, Upstream},
    name,
};

/// A graph whose ports are bound.
pub(super) struct Wiring<'d> {
    /// In the order of [`Graph::operators`].
    pub(super) operators: Vec<Wired<'d>>,
    /// What each sink reads, in the order of [`Graph::sinks`].
    pub(super) sinks: Vec<Vec<Slot>>,
}

/// An operator whose ports are bound.
pub(super) struct Wired<'d> {
    pub(super) declaration: &'d Declaration,
    pub(super) reads: Vec<Read>,
}

/// An input of an operator, and something that it reads.
pub(super) struct Read {
    pub(super) input: u32,
    pub(super) slot: Slot,
}

/// Where records come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    /// A source, by its index in the graph.
    Source(usize),
    /// An output port, by its operator's index in the graph and its own in the declaration.
    Port { operator: usize, port: usize },
}

/// Binds the ports of `graph`.
pub(super) fn bind<'d>(
    graph: &Graph,
    declarations: &'d BTreeMap<String, Declaration>,
    report: &Report,
) -> Result<Wiring<'d>, Reported> {
    let mut declared = Vec::new();
    for operator in graph.operators() {
        if let Some(declaration) = declarations.get(&operator.name) {
            declared.push(declaration);
        } else {
            let message = format!("the plugin of `{}` has not said what it is", operator.name);
            report.at(Kind::Reference, operator.plugin_place, message);
        }
    }
    if declared.len() < graph.operators().len() {
        return Err(Reported);
    }
    let binder = Binder { graph, declared: &declared, report };
    let operators = graph
        .operators()
        .iter()
        .zip(&declared)
        .map(|(operator, declaration)| Wired { declaration, reads: binder.reads(operator, declaration) });
    let operators = operators.collect();
    let sinks = graph.sinks().iter().map(|sink| binder.slots(&sink.from));
    let wiring = Wiring { operators, sinks: sinks.collect() };
    if report.count() > 0 { Err(Reported) } else { Ok(wiring) }
}

struct Binder<'b> {
    graph: &'b Graph,
    declared: &'b [&'b Declaration],
    report: &'b Report,
}

impl Binder<'_> {
    fn reads(&self, operator: &Operator, declaration: &Declaration) -> Vec<Read> {
        let mut reads = Vec::new();
        for input in &operator.inputs {
            let number = match &input.name {
                None if declaration.inputs.len() <= 1 => Some(0),
                None => {
                    let inputs = name::list(declaration.inputs.iter().map(String::as_str));
                    let message = format!(
                        "the plugin of `{}` has the inputs {inputs}; say what each reads, \
                        `from: {{{}: …}}`",
                        operator.name,
                        declaration.inputs.join(": …, ")
                    );
                    self.report.at(Kind::Reference, operator.place, message);
                    None
                }
                Some(name) => {
                    let number = declaration.inputs.iter().position(|known| *known == name.value);
                    if number.is_none() {
                        let hint = name::hint(name, declaration.inputs.iter().map(String::as_str));
                        let message = format!("`{}` has no input `{}`{hint}", operator.name, name.value);
                        self.report.at(Kind::Reference, name.place, message);
                    }
                    number
                }
            };
            let slots = self.slots(&input.from);
            if let Some(number) = number {
                reads.extend(slots.into_iter().map(|slot| Read { input: number as u32, slot }));
            }
        }
        let named = operator.inputs.iter().any(|input| input.name.is_some());
        for missing in declaration.inputs.iter().filter(|_| named) {
            if !operator.inputs.iter().any(|input| input.name.as_ref().is_some_and(|name| name.value == *missing)) {
                let message = format!(
                    "nothing is read into the input `{missing}` of `{}`; name a source or an \
                    operator for it",
                    operator.name
                );
                self.report.at(Kind::Reference, operator.place, message);
            }
        }
        reads
    }

    /// Where the records of one input come out; what is wrong is reported.
    fn slots(&self, from: &[Upstream]) -> Vec<Slot> {
        let mut slots = Vec::new();
        for upstream in from {
            let Some(slot) = self.slot(upstream) else { continue };
            if slots.contains(&slot) {
                let message = "this is the main port, which is in the list already; remove one";
                self.report.at(Kind::Reference, upstream.place, message);
            }
            slots.push(slot);
        }
        slots
    }

    fn slot(&self, from: &Upstream) -> Option<Slot> {
        let (operator, name) = match &from.output {
            Output::Source(index) => return Some(Slot::Source(*index)),
            Output::Operator { index, port } => (*index, port.as_deref()),
        };
        let ports = &self.declared.get(operator)?.outputs;
        let found = match name {
            None => (!ports.is_empty()).then_some(0),
            Some(name) => ports.iter().position(|port| port.name == name),
        };
        if found.is_none() {
            let reader = self.graph.operators().get(operator).map_or("", |operator| operator.name.as_str());
            let message = no_port(reader, name.unwrap_or_default(), ports.iter().map(|port| port.name.as_str()));
            self.report.at(Kind::Reference, from.place, message);
        }
        found.map(|port| Slot::Port { operator, port })
    }
}

fn no_port<'a>(operator: &str, port: &str, ports: impl Iterator<Item = &'a str> + Clone) -> String {
    let known = name::list(ports.clone());
    if known.is_empty() {
        return format!("`{operator}` has no output ports, so nothing can read it");
    }
    let hint = name::nearest(port, ports).map(|n| format!(", did you mean `{operator}.{n}`?")).unwrap_or_default();
    format!("`{operator}` has no output port `{port}`; it has {known}{hint}")
}
