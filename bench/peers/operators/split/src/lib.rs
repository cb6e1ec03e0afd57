//! Splits a line into its words: a record for each, keyed by it.

use wasmill_sdk::{Output, Record, Result, Transform};

#[derive(Default)]
struct Split;

impl Transform for Split {
    fn process(&mut self, record: Record<'_>, out: &mut Output) -> Result<()> {
        record.text()?.split(' ').try_for_each(|word| out.emit(record.with_key(word).with_value("")))
    }
}

wasmill_sdk::export!(transform Split);
