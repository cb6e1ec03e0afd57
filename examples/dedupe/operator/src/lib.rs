//! Lets the first record of a key through and drops the others, for so many seconds of event time.
use std::time::Duration;

use serde::Deserialize;
use wasmill_sdk::{Context, Counter, Keys, Open, Process, Record, Result, Setup, Single, Timestamp};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Settings {
    /// How long after it the others are dropped, in seconds of event time.
    within_seconds: u64,
}

struct Dedupe {
    within: Duration,
    /// The event time of the last record that was let through.
    passed: Single<Timestamp>,
    dropped: Counter,
}

impl Open for Dedupe {
    fn open(setup: &mut Setup) -> Result<Self> {
        let Settings { within_seconds } = setup.settings()?;
        setup.main_output(Keys::Kept);
        let within = Duration::from_secs(within_seconds);
        Ok(Self {
            within,
            passed: setup.state("passed").ttl(within).prefetched(),
            dropped: setup.counter("dropped", "records"),
        })
    }
}

impl Process for Dedupe {
    fn process(&mut self, record: Record<'_>, cx: &mut Context) -> Result<()> {
        if self.passed.get(cx)?.is_some_and(|passed| record.timestamp() < passed + self.within) {
            self.dropped.add(1);
            return Ok(());
        }
        self.passed.put(cx, &record.timestamp())?;
        cx.emit(record)
    }
}

wasmill_sdk::export!(process Dedupe);

#[cfg(test)]
mod tests;
