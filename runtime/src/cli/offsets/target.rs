//! Where a reset leads.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, bail};
use wasmill_core::record::{Offset, Timestamp};

use crate::node::backend::Backend;
use crate::node::running::offsets::{Standing, place};

/// A reset as users write it: `[SOURCE[/PARTITION]=]WHERE`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Target {
    source: Option<String>,
    partition: Option<u32>,
    to: Place,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    Earliest,
    Latest,
    Time(Timestamp),
    At(i64),
}

impl Target {
    /// Whether it names an input: by the source's name or by that of its topic.
    pub(super) fn names(&self, standing: &Standing) -> bool {
        let name = |source: &String| *source == standing.name || *source == standing.topic;
        self.source.as_ref().is_none_or(name) && self.partition.is_none_or(|of| of == standing.task.partition.0)
    }

    /// The offset that it leads to.
    pub(super) fn offset(&self, standing: &Standing, backend: &dyn Backend) -> Result<Offset> {
        let Standing { start, end, .. } = standing;
        match self.to {
            Place::Earliest => Ok(*start),
            Place::Latest => Ok(*end),
            Place::Time(time) => Ok(backend.at(&standing.topic, standing.task.partition, time)?.unwrap_or(*end)),
            Place::At(offset) if (start.0..=end.0).contains(&offset) => Ok(Offset(offset)),
            Place::At(offset) => {
                bail!("reset {}: it holds offsets {start} to {end}: {offset} is not among them", place(standing))
            }
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (of, to) = text.rsplit_once('=').map_or((None, text), |(of, to)| (Some(of), to));
        let to = match to {
            "earliest" => Place::Earliest,
            "latest" => Place::Latest,
            other => match (other.parse(), other.parse::<jiff::Timestamp>()) {
                (Ok(offset), _) if offset >= 0 => Place::At(offset),
                (_, Ok(time)) => Place::Time(Timestamp(time.as_millisecond())),
                _ => {
                    let reason = "is neither earliest nor latest, nor a time as 2026-11-01T00:00:00Z, nor an offset";
                    return Err(format!("{to:?} {reason}"));
                }
            },
        };
        let (source, partition) = match of.map(|of| of.split_once('/').unwrap_or((of, ""))) {
            None => (None, None),
            Some(("", _)) => return Err("name a source before the =".into()),
            Some((source, "")) => (Some(source), None),
            Some((source, partition)) => {
                (Some(source), Some(partition.parse().map_err(|_| format!("{partition:?} is no partition"))?))
            }
        };
        if matches!(to, Place::At(_)) && partition.is_none() {
            return Err("an offset is for one partition: say SOURCE/PARTITION=OFFSET".into());
        }
        Ok(Self { source: source.map(str::to_owned), partition, to })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.source.as_deref().unwrap_or_default())?;
        self.partition.iter().try_for_each(|partition| write!(f, "/{partition}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_names_what_to_move_and_where() {
        let target =
            |source: Option<&str>, partition, to| Ok(Target { source: source.map(str::to_owned), partition, to });
        assert_eq!("earliest".parse(), target(None, None, Place::Earliest));
        assert_eq!("orders=latest".parse(), target(Some("orders"), None, Place::Latest));
        assert_eq!("orders/3=earliest".parse(), target(Some("orders"), Some(3), Place::Earliest));
        assert_eq!("orders/3=17".parse(), target(Some("orders"), Some(3), Place::At(17)));
        assert_eq!("1970-01-01T00:00:01Z".parse(), target(None, None, Place::Time(Timestamp(1_000))));
        for text in ["", "orders", "17", "orders=17", "=latest", "orders/x=1", "orders/1=-1", "orders/1=newest"] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }
}
