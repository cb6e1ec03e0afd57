//! Writes the letters behind the amount in upper case.

use wasmill_sdk::{Error, Output, Record, Result, Transform};

#[derive(Default)]
struct Upper(Vec<u8>);

impl Transform for Upper {
    fn process(&mut self, record: Record<'_>, out: &mut Output) -> Result<()> {
        let value = record.value().filter(|value| value.len() >= 8);
        let value = value.ok_or_else(|| Error::Permanent("the value has no amount".into()))?;
        self.0.clear();
        self.0.extend_from_slice(value);
        self.0[8..].make_ascii_uppercase();
        out.emit(record.with_value(&self.0[..]))
    }
}

wasmill_sdk::export!(transform Upper);
