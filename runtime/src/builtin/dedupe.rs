//! `dedupe`: one record of each key.

use schemars::JsonSchema;
use serde::Deserialize;
use wasmill_core::record::Timestamp;

use super::each::Record;
use super::keyed::{Emit, Fold, Step};
use crate::pipeline::duration::Duration;

/// Passes on the first record of each key, and drops those that follow it within some time.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Dedupe {
    /// How long a key is remembered, in event time; for ever by default.
    pub within: Option<Duration>,
}

impl Dedupe {
    fn millis(&self) -> Option<i64> {
        let within = std::time::Duration::from(self.within?).as_millis();
        Some(i64::try_from(within).unwrap_or(i64::MAX))
    }
}

impl Fold for Dedupe {
    const STATE: &'static str = "first";

    fn ttl(&self) -> Option<u64> {
        self.millis().map(|millis| millis as u64)
    }

    fn fold(&self, kept: Option<&str>, record: &Record<'_>, watermark: Timestamp) -> Result<Step, String> {
        let at = record.message.timestamp;
        let first = kept.and_then(|kept| kept.parse().ok()).map(Timestamp);
        let over = first.is_none_or(|first| {
            let end = self.millis().map(|within| first.plus(within));
            end.is_some_and(|end| at >= end || (watermark.is_some() && watermark >= end))
        });
        Ok(match over {
            true => Step { keep: Some(at.0.to_string()), emit: Emit::Record },
            false => Step { keep: None, emit: Emit::Nothing },
        })
    }
}
