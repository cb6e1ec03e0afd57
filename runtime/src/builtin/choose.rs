//! `filter`, `map` and `route`: what expressions decide.

use schemars::JsonSchema;
use serde::Deserialize;

use super::each::{Each, Out, Record};
use super::expression::{Expression, Program};
use super::json::Node;
use crate::pipeline::error::Place;
use crate::pipeline::name;
use crate::pipeline::placed::Entries;

/// Passes on the records of which an expression is true.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Filter {
    /// A CEL expression that is true or false: `amount > 10 && has(value.shop)`.
    #[serde(rename = "where")]
    pub condition: Expression,
}

/// Makes another value of a record's value.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Map {
    /// A CEL expression: `{"id": id, "total": double(price) * 1.2}`.
    pub to: Expression,
}

/// Sends a record to the first of its outputs of which the expression is true, else to the output `else`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Route {
    /// The names of outputs, and their CEL expressions.
    pub routes: Entries<Expression>,
}

impl Route {
    pub(super) fn check(&self) -> Result<(), (Option<Place>, String)> {
        if self.routes.0.is_empty() {
            return Err((
                None,
                "`route` needs at least one entry in `routes`, an output and its expression".to_owned(),
            ));
        }
        for (name, _) in &self.routes {
            if name.as_str() == ELSE {
                let message = "the output `else` is there anyway, for the records that no other output takes";
                return Err((Some(name.place), message.to_owned()));
            }
            name::check(name).map_err(|message| (Some(name.place), message))?;
        }
        Ok(())
    }
}

pub(super) struct Filtering(pub(super) Program);

impl Each for Filtering {
    fn each(&mut self, record: &Record<'_>, out: &mut Out) -> Result<(), String> {
        if record.message.value.is_none() {
            return out.keep(0, record);
        }
        let mut value = Node::parse(record.message.value)?;
        if self.0.holds(&mut value, &record.message)? { out.keep(0, record) } else { Ok(()) }
    }
}

pub(super) struct Mapping(pub(super) Program);

impl Each for Mapping {
    fn each(&mut self, record: &Record<'_>, out: &mut Out) -> Result<(), String> {
        if record.message.value.is_none() {
            return out.keep(0, record);
        }
        let mut value = Node::parse(record.message.value)?;
        let json = self.0.json(&mut value, &record.message, out.longest())?;
        out.value(0, record, json.as_bytes())
    }
}

pub(super) struct Routing(Vec<(String, Program)>);

/// The output of records that no other one takes.
pub(super) const ELSE: &str = "else";

impl Routing {
    pub(super) fn new(settings: &Route) -> Self {
        let routes = settings.routes.iter().map(|(name, text)| (name.value.clone(), text.program()));
        Self(routes.collect())
    }
}

impl Each for Routing {
    fn ports(&self) -> Vec<String> {
        std::iter::once(ELSE.to_owned()).chain(self.0.iter().map(|(name, _)| name.clone())).collect()
    }

    fn each(&mut self, record: &Record<'_>, out: &mut Out) -> Result<(), String> {
        if record.message.value.is_none() {
            return out.keep(0, record);
        }
        let mut value = Node::parse(record.message.value)?;
        for ((name, program), port) in self.0.iter().zip(1..) {
            let holds = program.holds(&mut value, &record.message);
            if holds.map_err(|reason| format!("route `{name}`: {reason}"))? {
                return out.keep(port, record);
            }
        }
        out.keep(0, record)
    }
}
