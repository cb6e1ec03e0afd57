//! Drops a record whose key was seen within the last so many seconds of event time.
use std::time::Duration;

use serde::Deserialize;
use wasmill_sdk::{Context, Counter, Keys, Process, Record, Result, Setup, Single};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// How long a key is remembered after it was let through, in seconds of event time.
    within_seconds: u64,
}

struct Dedupe {
    seen: Single<()>,
    dropped: Counter,
}

impl Process for Dedupe {
    fn open(setup: &mut Setup) -> Result<Self> {
        let Settings { within_seconds } = setup.settings()?;
        setup.main_output(Keys::Kept);
        Ok(Self {
            seen: setup.state("seen").ttl(Duration::from_secs(within_seconds)).prefetched(),
            dropped: setup.counter("dropped", "records"),
        })
    }

    fn process(&mut self, record: Record<'_>, cx: &mut Context) -> Result<()> {
        if self.seen.get(cx)?.is_some() {
            self.dropped.add(1);
            return Ok(());
        }
        self.seen.put(cx, &())?;
        cx.emit(record);
        Ok(())
    }
}

wasmill_sdk::export!(process Dedupe);
