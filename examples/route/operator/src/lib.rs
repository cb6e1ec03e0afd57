//! Routes orders by their amount: to `large`, to `small`, or, if they are no orders, to the dead letters.
use serde::Deserialize;
use wasmill_sdk::{Error, Keys, Open, Output, Port, Record, Result, Setup, Transform};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Settings {
    /// The least amount of a large order.
    large_from: u64,
}

#[derive(Deserialize)]
struct Order {
    id: String,
    amount: u64,
}

struct Route {
    large_from: u64,
    large: Port,
    small: Port,
}

impl Open for Route {
    fn open(setup: &mut Setup) -> Result<Self> {
        let Settings { large_from } = setup.settings()?;
        Ok(Self { large_from, large: setup.output("large", Keys::Kept), small: setup.output("small", Keys::Kept) })
    }
}

impl Transform for Route {
    fn process(&mut self, record: Record<'_>, out: &mut Output) -> Result<()> {
        let Order { id, amount } = record.json()?;
        if amount == 0 {
            return Err(Error::failure(format!("order {id} has an amount of 0")));
        }
        out.emit_to(if amount >= self.large_from { self.large } else { self.small }, record)
    }
}

wasmill_sdk::export!(transform Route);

#[cfg(test)]
mod tests;
