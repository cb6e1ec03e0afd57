//! Counts the records of each key and emits every count.
use wasmill_sdk::{Context, Keys, Process, Record, Result, Setup, Single};

struct Count(Single<u64>);

impl Process for Count {
    fn open(setup: &mut Setup) -> Result<Self> {
        setup.main_output(Keys::Kept);
        Ok(Self(setup.state("count").prefetched()))
    }

    fn process(&mut self, record: Record<'_>, cx: &mut Context) -> Result<()> {
        let count = self.0.get(cx)?.unwrap_or(0) + 1;
        self.0.put(cx, &count)?;
        cx.emit(record.with_value(count.to_string()));
        Ok(())
    }
}

wasmill_sdk::export!(process Count);
