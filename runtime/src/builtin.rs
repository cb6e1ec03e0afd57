//! Operators without code: what `use:` names in a pipeline file, on JSON values.
//!
//! Each has a file with its settings, as the pipeline file writes them, and with what it does. Those without state are
//! `each::Each`, those with a value for each key `keyed::Fold`; the frames around both make the
//! [`Operator`] of the core. What a record's sender can do to them ends in that record's failure: nothing here recurses
//! along a value without a bound, and nothing grows beyond what one record and one call may put out.

use schemars::JsonSchema;
use serde::Deserialize;
use wasmill_core::operator::{Declaration, Operator};

mod aggregate;
mod cast;
mod choose;
mod decimal;
mod dedupe;
mod each;
mod expression;
mod flatten;
mod hoist_field;
mod json;
mod key_by;
mod keyed;
mod mask;
mod select;
mod set;
mod split;

use each::{Each, Stateless};
use keyed::{Fold, Keyed};

use crate::pipeline::duration::Duration;
use crate::pipeline::error::Place;

/// The name of the enum that a pipeline file writes as `use:` and the settings beside it.
pub(crate) const USE: &str = "$use";

/// A built-in and its settings.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename = "$use", rename_all = "kebab-case")]
pub enum BuiltIn {
    /// Passes on the records of which an expression is true.
    Filter(choose::Filter),
    /// Makes another value of a record's value.
    Map(choose::Map),
    /// Keeps some fields.
    Select(select::Select),
    /// Removes some fields.
    Drop(select::Drop),
    /// Sets fields.
    Set(set::Set),
    /// Turns fields into another type.
    Cast(cast::Cast),
    /// Hides fields.
    Mask(mask::Mask),
    /// Makes one object of nested ones.
    Flatten(flatten::Flatten),
    /// Makes a record of each element of a list.
    Split(split::Split),
    /// Sends records to several outputs.
    Route(choose::Route),
    /// Gives records the key that is in their value.
    KeyBy(key_by::KeyBy),
    /// Makes the value the only field of an object.
    HoistField(hoist_field::HoistField),
    /// Adds fields with fixed values.
    InsertField(set::InsertField),
    /// Passes on the first record of each key.
    Dedupe(dedupe::Dedupe),
    /// Counts records.
    Count(aggregate::Count),
    /// Adds numbers up.
    Sum(aggregate::Number),
    /// Finds the least number.
    Min(aggregate::Number),
    /// Finds the greatest number.
    Max(aggregate::Number),
    /// Makes the mean of numbers.
    Avg(aggregate::Number),
}

impl BuiltIn {
    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Filter(_) => "filter",
            Self::Map(_) => "map",
            Self::Select(_) => "select",
            Self::Drop(_) => "drop",
            Self::Set(_) => "set",
            Self::Cast(_) => "cast",
            Self::Mask(_) => "mask",
            Self::Flatten(_) => "flatten",
            Self::Split(_) => "split",
            Self::Route(_) => "route",
            Self::KeyBy(_) => "key-by",
            Self::HoistField(_) => "hoist-field",
            Self::InsertField(_) => "insert-field",
            Self::Dedupe(_) => "dedupe",
            Self::Count(_) => "count",
            Self::Sum(_) => "sum",
            Self::Min(_) => "min",
            Self::Max(_) => "max",
            Self::Avg(_) => "avg",
        }
    }

    /// What is wrong with its settings that each of them alone cannot tell, and where, if that is not everywhere.
    pub fn check(&self) -> Result<(), (Option<Place>, String)> {
        match self {
            Self::Route(settings) => settings.check(),
            Self::Set(settings) if settings.fields.0.is_empty() && settings.expressions.0.is_empty() => {
                Err((None, "`set` needs `fields` with values, or `expressions` that make them".to_owned()))
            }
            Self::Dedupe(settings) if settings.within.is_some_and(|within| within == Duration::default()) => {
                Err((None, "`within` must be at least 1ms; leave it out to remember keys for ever".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// What it says of itself.
    pub fn declaration(&self) -> Declaration {
        self.operator().declaration().clone()
    }

    /// An instance for one worker.
    pub fn operator(&self) -> Box<dyn Operator> {
        match self {
            Self::Filter(settings) => self.each(choose::Filtering(settings.condition.program())),
            Self::Map(settings) => self.each(choose::Mapping(settings.to.program())),
            Self::Select(settings) => self.each(settings.clone()),
            Self::Drop(settings) => self.each(settings.clone()),
            Self::Set(settings) => self.each(set::Setter::set(settings)),
            Self::Cast(settings) => self.each(settings.clone()),
            Self::Mask(settings) => self.each(settings.clone()),
            Self::Flatten(settings) => self.each(settings.clone()),
            Self::Split(settings) => self.each(settings.clone()),
            Self::Route(settings) => self.each(choose::Routing::new(settings)),
            Self::KeyBy(settings) => self.each(settings.clone()),
            Self::HoistField(settings) => self.each(settings.clone()),
            Self::InsertField(settings) => self.each(set::Setter::insert(settings)),
            Self::Dedupe(settings) => self.keyed(settings.clone()),
            Self::Count(settings) => self.keyed(settings.clone()),
            Self::Sum(settings) => self.keyed(aggregate::Sum(settings.clone())),
            Self::Min(settings) => self.keyed(aggregate::Min(settings.clone())),
            Self::Max(settings) => self.keyed(aggregate::Max(settings.clone())),
            Self::Avg(settings) => self.keyed(aggregate::Avg(settings.clone())),
        }
    }

    fn each(&self, each: impl Each + 'static) -> Box<dyn Operator> {
        Box::new(Stateless::new(self.name(), Box::new(each)))
    }

    fn keyed(&self, fold: impl Fold + 'static) -> Box<dyn Operator> {
        Box::new(Keyed::new(self.name(), fold))
    }
}

#[cfg(test)]
mod tests;
