//! Adds the amounts of each key and emits every sum, big-endian.

use wasmill_sdk::{Context, Error, Keys, Open, Process, Record, Result, Setup, Single};

struct Sum(Single<i64>);

impl Open for Sum {
    fn open(setup: &mut Setup) -> Result<Self> {
        setup.main_output(Keys::Kept);
        Ok(Self(setup.state("sum").prefetched()))
    }
}

impl Process for Sum {
    fn process(&mut self, record: Record<'_>, cx: &mut Context) -> Result<()> {
        let amount = record.value().and_then(|value| value.first_chunk());
        let amount = amount.ok_or_else(|| Error::Permanent("the value has no amount".into()))?;
        let sum = self.0.update(cx, |sum| sum.unwrap_or(0) + i64::from_be_bytes(*amount))?;
        cx.emit(record.with_value(&sum.to_be_bytes()[..]))
    }
}

wasmill_sdk::export!(process Sum);
