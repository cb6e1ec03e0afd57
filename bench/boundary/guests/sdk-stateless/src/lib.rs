//! Map and filter, by the settings, as users write them.

use wasmill_sdk::{Keys, Open, Output, Record, Result, Setup, Transform};

#[derive(serde::Deserialize)]
struct Settings {
    #[serde(default)]
    does: String,
}

struct Stateless {
    filters: bool,
}

impl Open for Stateless {
    fn open(setup: &mut Setup) -> Result<Self> {
        setup.main_output(Keys::Kept);
        Ok(Self { filters: setup.settings::<Settings>()?.does == "filter" })
    }
}

impl Transform for Stateless {
    fn process(&mut self, record: Record<'_>, out: &mut Output) -> Result<()> {
        let value = record.value().unwrap_or_default();
        if self.filters {
            return if value.first().is_some_and(|&first| first < b'n') { out.emit(record) } else { Ok(()) };
        }
        out.emit(record.with_value(value.to_ascii_uppercase()))
    }
}

wasmill_sdk::export!(transform Stateless);
