//! Numbers of bytes as pipeline files write them.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

/// Units from the greatest to the smallest, with their bytes.
const UNITS: [(&str, u64); 5] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// A number of bytes: a whole number and a unit, `10B`, `512KiB`, `64MiB`, `1GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize {
    bytes: u64,
}

impl ByteSize {
    /// So many bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self { bytes }
    }

    /// So many times 1,048,576 bytes.
    pub const fn from_mebibytes(mebibytes: u64) -> Self {
        Self { bytes: mebibytes << 20 }
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.bytes
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = UNITS.iter().find(|(_, size)| self.bytes > 0 && self.bytes.is_multiple_of(*size));
        let (unit, size) = whole.copied().unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.bytes / size)
    }
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is not a size: write a whole number and a unit, such as 512KiB, 64MiB or 1GiB");
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let (_, size) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        number.checked_mul(*size).map(Self::from_bytes).ok_or_else(|| format!("`{text}` is more than a size can be"))
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number of bytes: a whole number and a unit, `10B`, `512KiB`, `64MiB`, `1GiB`.",
            "type": "string",
            "pattern": "^[0-9]+(B|KiB|MiB|GiB|TiB)$",
            "examples": ["512KiB", "64MiB", "1GiB"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_shown() {
        for (text, bytes, shown) in [
            ("10B", 10, "10B"),
            ("512KiB", 524_288, "512KiB"),
            ("64MiB", 67_108_864, "64MiB"),
            ("1024MiB", 1_073_741_824, "1GiB"),
            ("0B", 0, "0B"),
            ("1500B", 1_500, "1500B"),
        ] {
            let size: ByteSize = text.parse().unwrap();
            assert_eq!(size.bytes(), bytes, "{text}");
            assert_eq!(size.to_string(), shown);
        }
    }

    #[test]
    fn what_is_not_a_size_is_refused() {
        for text in ["", "64", "MiB", "64MB", "64 MiB", "64mib", "-1B", "1.5GiB"] {
            let error = text.parse::<ByteSize>().unwrap_err();
            assert!(error.starts_with(&format!("`{text}` is not a size")), "{error}");
        }
        assert_eq!("99999999TiB".parse::<ByteSize>().unwrap_err(), "`99999999TiB` is more than a size can be");
    }
}
