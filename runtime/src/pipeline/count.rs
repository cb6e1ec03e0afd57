//! Whole numbers with bounds.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

/// A whole number from 1 to `MOST`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count<const MOST: u32>(u32);

impl<const MOST: u32> Count<MOST> {
    /// The number `N`, which is checked when the program is compiled.
    pub const fn new<const N: u32>() -> Self {
        const { assert!(N >= 1 && N <= MOST) };
        Self(N)
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl<'de, const MOST: u32> Deserialize<'de> for Count<MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u64::deserialize(deserializer)?;
        match u32::try_from(number) {
            Ok(number) if (1..=MOST).contains(&number) => Ok(Self(number)),
            _ => Err(de::Error::custom(format!("{number} is out of range; write a number from 1 to {MOST}"))),
        }
    }
}

impl<const MOST: u32> JsonSchema for Count<MOST> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("CountTo{MOST}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 1, "maximum": MOST })
    }
}
