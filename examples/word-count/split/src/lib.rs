//! Splits text into words: a record for each, keyed by the word in lower case.
use wasmill_sdk::{Output, Record, Result, Transform};

#[derive(Default)]
struct Split;

impl Transform for Split {
    fn process(&mut self, record: Record<'_>, out: &mut Output) -> Result<()> {
        let words = record.text()?.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
        words.map(str::to_lowercase).try_for_each(|word| out.emit(record.with_key(word).with_value("")))
    }
}

wasmill_sdk::export!(transform Split);

#[cfg(test)]
mod tests;
