//! `count`, `sum`, `min`, `max` and `avg`: running aggregates of a key's records.

use schemars::JsonSchema;
use serde::Deserialize;
use wasmill_core::record::Timestamp;

use super::decimal::Decimal;
use super::each::Record;
use super::json::Node;
use super::keyed::{Emit, Fold, Step};
use crate::pipeline::field::Field;

/// Counts the records of each key.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Count {}

/// What is aggregated.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Number {
    /// Where the number is; the value itself by default.
    pub field: Option<Field>,
}

impl Number {
    fn of(&self, record: &Record<'_>) -> Result<Decimal, String> {
        let mut value = Node::parse(record.message.value)?;
        let whole = Field::whole();
        Decimal::at(&mut value, self.field.as_ref().unwrap_or(&whole))
    }
}

/// Remembers what it emits.
fn both(text: String) -> Step {
    Step { keep: Some(text.clone()), emit: Emit::Value(text) }
}

fn broken(kept: &str) -> String {
    format!("what is remembered of the key, `{kept}`, is not what this built-in writes")
}

impl Fold for Count {
    const STATE: &'static str = "count";

    fn fold(&self, kept: Option<&str>, _: &Record<'_>, _: Timestamp) -> Result<Step, String> {
        let count: u64 = kept.map_or(Ok(0), |kept| kept.parse().map_err(|_| broken(kept)))?;
        Ok(both(count.saturating_add(1).to_string()))
    }
}

/// The exact sum.
pub(super) struct Sum(pub(super) Number);

impl Fold for Sum {
    const STATE: &'static str = "sum";

    fn fold(&self, kept: Option<&str>, record: &Record<'_>, _: Timestamp) -> Result<Step, String> {
        let number = self.0.of(record)?;
        Ok(both(match kept {
            Some(kept) => (&parse(kept)? + &number).to_string(),
            None => number.to_string(),
        }))
    }
}

/// The least number; of equal ones the first.
pub(super) struct Min(pub(super) Number);

impl Fold for Min {
    const STATE: &'static str = "min";

    fn fold(&self, kept: Option<&str>, record: &Record<'_>, _: Timestamp) -> Result<Step, String> {
        let number = self.0.of(record)?;
        Ok(both(match kept {
            Some(kept) if parse(kept)? <= number => kept.to_owned(),
            _ => number.to_string(),
        }))
    }
}

/// The greatest number; of equal ones the first.
pub(super) struct Max(pub(super) Number);

impl Fold for Max {
    const STATE: &'static str = "max";

    fn fold(&self, kept: Option<&str>, record: &Record<'_>, _: Timestamp) -> Result<Step, String> {
        let number = self.0.of(record)?;
        Ok(both(match kept {
            Some(kept) if parse(kept)? >= number => kept.to_owned(),
            _ => number.to_string(),
        }))
    }
}

/// The mean. It remembers the exact sum and the count.
pub(super) struct Avg(pub(super) Number);

impl Fold for Avg {
    const STATE: &'static str = "avg";

    fn fold(&self, kept: Option<&str>, record: &Record<'_>, _: Timestamp) -> Result<Step, String> {
        let number = self.0.of(record)?;
        let (sum, count) = match kept {
            None => (number, 1),
            Some(kept) => {
                let (sum, count) = kept.split_once(' ').ok_or_else(|| broken(kept))?;
                let count: u64 = count.parse().map_err(|_| broken(kept))?;
                (&parse(sum)? + &number, count.saturating_add(1))
            }
        };
        let mean = sum.divided(count).to_string();
        Ok(Step { keep: Some(format!("{sum} {count}")), emit: Emit::Value(mean) })
    }
}

/// A number that was remembered. A sum may have more digits than a number that comes in.
fn parse(kept: &str) -> Result<Decimal, String> {
    Decimal::kept(kept).ok_or_else(|| broken(kept))
}
