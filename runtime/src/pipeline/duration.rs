//! Lengths of time as pipeline files write them.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

/// Units from the greatest to the smallest, with their milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// A length of time: a whole number and a unit, `100ms`, `5s`, `1m`, `2h`, `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Duration {
    milliseconds: u64,
}

impl Duration {
    /// A length of time in milliseconds.
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self { milliseconds }
    }

    /// A length of time in seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self { milliseconds: seconds * 1_000 }
    }
}

impl From<Duration> for std::time::Duration {
    fn from(duration: Duration) -> Self {
        Self::from_millis(duration.milliseconds)
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = UNITS.iter().find(|(_, size)| self.milliseconds > 0 && self.milliseconds.is_multiple_of(*size));
        let (unit, size) = whole.copied().unwrap_or(("s", 1_000));
        write!(f, "{}{unit}", self.milliseconds / size)
    }
}

impl FromStr for Duration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is not a duration: write a whole number and a unit, such as 100ms, 5s, 1m, 2h or 7d");
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let (_, size) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        let milliseconds = number.checked_mul(*size).filter(|ms| i64::try_from(*ms).is_ok());
        milliseconds.map(Self::from_millis).ok_or_else(|| format!("`{text}` is longer than a duration can be"))
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A length of time: a whole number and a unit, `100ms`, `5s`, `1m`, `2h`, `7d`.",
            "type": "string",
            "pattern": "^[0-9]+(ms|s|m|h|d)$",
            "examples": ["100ms", "5s", "1m"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_shown() {
        for (text, milliseconds, shown) in [
            ("100ms", 100, "100ms"),
            ("5s", 5_000, "5s"),
            ("1m", 60_000, "1m"),
            ("60s", 60_000, "1m"),
            ("2h", 7_200_000, "2h"),
            ("7d", 604_800_000, "7d"),
            ("0s", 0, "0s"),
            ("0ms", 0, "0s"),
            ("1500ms", 1_500, "1500ms"),
        ] {
            let duration: Duration = text.parse().unwrap();
            assert_eq!(duration, Duration::from_millis(milliseconds), "{text}");
            assert_eq!(duration.to_string(), shown);
        }
    }

    #[test]
    fn what_is_not_a_duration_is_refused() {
        for text in ["", "5", "s", "5 s", "-5s", "1.5s", "5S", "1m30s", "5us", "９s", "99999999999999999999s"] {
            let error = text.parse::<Duration>().unwrap_err();
            assert!(error.starts_with(&format!("`{text}` is not a duration")), "{error}");
        }
        let error = "200000000000d".parse::<Duration>().unwrap_err();
        assert_eq!(error, "`200000000000d` is longer than a duration can be");
    }
}
