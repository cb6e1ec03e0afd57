//! Counts the records of each key and emits every count, big-endian.

use wasmill_sdk::{Context, Keys, Open, Process, Record, Result, Setup, Single};

struct Count(Single<u64>);

impl Open for Count {
    fn open(setup: &mut Setup) -> Result<Self> {
        setup.main_output(Keys::Kept);
        Ok(Self(setup.state("count").prefetched()))
    }
}

impl Process for Count {
    fn process(&mut self, record: Record<'_>, cx: &mut Context) -> Result<()> {
        let count = self.0.update(cx, |count| count.unwrap_or(0) + 1)?;
        cx.emit(record.with_value(&count.to_be_bytes()[..]))
    }
}

wasmill_sdk::export!(process Count);
