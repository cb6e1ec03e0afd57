//! Splits text into words: one record for each, keyed by the word.
use wasmill_sdk::{Output, Record, Result, Setup, Transform};

struct Split;

impl Transform for Split {
    fn open(_: &mut Setup) -> Result<Self> {
        Ok(Self)
    }

    fn process(&mut self, record: Record<'_>, out: &mut Output) -> Result<()> {
        let words = record.text()?.split(|c: char| !c.is_alphanumeric() && c != '_');
        words
            .filter(|word| !word.is_empty())
            .for_each(|word| out.emit(record.with_key(word.to_lowercase()).with_value("")));
        Ok(())
    }
}

wasmill_sdk::export!(transform Split);
