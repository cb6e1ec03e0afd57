//! What a guest logs.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::level_filters::LevelFilter;

use super::contract::Level;
use super::tally::Tally;

/// Error lines of a call that are kept to explain how it ended.
const KEPT: usize = 4;

/// Bytes of a line; the rest is cut off.
const LONGEST: usize = 2048;

/// A guest's log: bounded in lines, in their length, and in what is kept of it.
#[derive(Debug)]
pub(super) struct Lines {
    operator: Arc<str>,
    level: LevelFilter,
    rate: Rate,
    kept: VecDeque<String>,
    tally: Arc<Tally>,
}

impl Lines {
    pub(super) fn new(operator: Arc<str>, limit: u32, tally: Arc<Tally>) -> Self {
        let rate = Rate { limit, from: None, passed: 0, dropped: 0 };
        Self { operator, level: LevelFilter::current(), rate, kept: VecDeque::new(), tally }
    }

    /// Whether anybody listens. Somebody always does to errors, which explain how a call ended.
    pub(super) fn enabled(&self, level: Level) -> bool {
        matches!(level, Level::Error) || tracing_level(level) <= self.level
    }

    /// Forgets the lines of the last call.
    pub(super) fn begin(&mut self) {
        self.kept.clear();
    }

    /// The last error lines of this call, oldest first.
    pub(super) fn errors(&self) -> impl Iterator<Item = &str> {
        self.kept.iter().map(String::as_str)
    }

    pub(super) fn log(&mut self, level: Level, line: &str) {
        let line = cut(line, LONGEST);
        if matches!(level, Level::Error) {
            if self.kept.len() == KEPT {
                self.kept.pop_front();
            }
            self.kept.push_back(line.into());
        }
        if tracing_level(level) <= self.level {
            self.pass(level, line, Instant::now());
        }
    }

    fn pass(&mut self, level: Level, line: &str, now: Instant) {
        let operator = &*self.operator;
        match self.rate.admit(now) {
            Admitted::No => return self.tally.dropped_line(),
            Admitted::Yes { dropped: 0 } => {}
            Admitted::Yes { dropped } => tracing::warn!(operator, dropped, "the plugin logs too much"),
        }
        match level {
            Level::Trace => tracing::trace!(operator, "{line}"),
            Level::Debug => tracing::debug!(operator, "{line}"),
            Level::Info => tracing::info!(operator, "{line}"),
            Level::Warn => tracing::warn!(operator, "{line}"),
            Level::Error => tracing::error!(operator, "{line}"),
        }
    }
}

fn tracing_level(level: Level) -> tracing::Level {
    match level {
        Level::Trace => tracing::Level::TRACE,
        Level::Debug => tracing::Level::DEBUG,
        Level::Info => tracing::Level::INFO,
        Level::Warn => tracing::Level::WARN,
        Level::Error => tracing::Level::ERROR,
    }
}

/// The start of a text, at most `longest` bytes of it.
pub(super) fn cut(text: &str, longest: usize) -> &str {
    &text[..text.floor_char_boundary(longest)]
}

#[derive(Debug, Eq, PartialEq)]
enum Admitted {
    /// `dropped` lines were not, since the last that was.
    Yes {
        dropped: u64,
    },
    No,
}

/// Lets a number of lines through in each second.
#[derive(Debug)]
struct Rate {
    limit: u32,
    from: Option<Instant>,
    passed: u32,
    dropped: u64,
}

impl Rate {
    fn admit(&mut self, now: Instant) -> Admitted {
        if self.from.is_none_or(|from| now.saturating_duration_since(from) >= Duration::from_secs(1)) {
            self.from = Some(now);
            self.passed = 0;
        }
        if self.passed >= self.limit {
            self.dropped += 1;
            return Admitted::No;
        }
        self.passed += 1;
        Admitted::Yes { dropped: std::mem::take(&mut self.dropped) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_above_the_rate_are_dropped_and_counted() {
        let mut rate = Rate { limit: 2, from: None, passed: 0, dropped: 0 };
        let start = Instant::now();
        #[rustfmt::skip]
        let table = [
            (0,    Admitted::Yes { dropped: 0 }),
            (1,    Admitted::Yes { dropped: 0 }),
            (2,    Admitted::No),
            (999,  Admitted::No),
            (1000, Admitted::Yes { dropped: 2 }),
            (1001, Admitted::Yes { dropped: 0 }),
            (1002, Admitted::No),
        ];
        for (ms, expected) in table {
            assert_eq!(rate.admit(start + Duration::from_millis(ms)), expected, "{ms}");
        }
    }

    #[test]
    fn only_the_last_error_lines_are_kept() {
        let mut lines = Lines::new("op".into(), 1, Arc::default());
        (0..9).for_each(|n| lines.log(Level::Error, &n.to_string()));
        lines.log(Level::Info, "x");
        assert_eq!(lines.errors().collect::<Vec<_>>(), ["5", "6", "7", "8"]);
        lines.begin();
        assert_eq!(lines.errors().count(), 0);
    }

    #[test]
    fn a_text_is_cut_between_its_letters() {
        assert_eq!(cut("aüb", 2), "a");
        assert_eq!(cut("aüb", 3), "aü");
        assert_eq!(cut("aüb", 9), "aüb");
    }
}
