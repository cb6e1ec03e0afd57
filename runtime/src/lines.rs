//! Records as lines of text: in from a file, a pipe or a terminal, and out to them.
//!
//! Plain lines are values. With a key separator the key stands before it. A record without a value is printed as
//! `null`; bytes that are not UTF-8 go through as they are.
//!
//! JSON lines are objects:
//!
//! ```text
//! {"key":…,"value":…,"timestamp":…,"headers":{…},"topic":…,"partition":…,"offset":…}
//! ```
//!
//! Text is a string; bytes that are not UTF-8 are `{"base64":"…"}`; what is absent is `null`. On the way in all members
//! may be left out, any other JSON in the place of text is its own text, as it is written, and `topic`, `partition` and
//! `offset` are passed over. A header that a record has more than once is a list.

mod json;

use std::io::{self, BufRead, Write};
use std::path::Path;

use clap::ValueEnum;
use thiserror::Error;
use wasmill_core::batch::{Batch, Message};
use wasmill_core::record::{Offset, Partition, Timestamp};

/// Bytes that are read at once.
const MOST_BYTES: usize = 1 << 30;

/// How records look as lines.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum Format {
    /// Each line is a value.
    #[default]
    Lines,
    /// Each line is a JSON object.
    Jsonl,
}

impl Format {
    /// What the name of a file says: `.jsonl` and `.ndjson` are JSON lines.
    pub fn of(path: &Path) -> Self {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if ["jsonl", "ndjson"].iter().any(|known| extension.eq_ignore_ascii_case(known)) {
            Self::Jsonl
        } else {
            Self::Lines
        }
    }
}

/// Why input is no records.
#[derive(Debug, Error)]
pub enum LineError {
    /// A line cannot be read.
    #[error("line {line}: {reason}")]
    Malformed {
        /// Its number, from one.
        line: usize,
        /// Why.
        reason: String,
    },
    /// There is more than fits.
    #[error("line {line}: more than {} MiB of records at once: split the input", MOST_BYTES >> 20)]
    TooLarge {
        /// Where it is too much.
        line: usize,
    },
    /// The system refused.
    #[error("read line {line}: {reason}")]
    Io {
        /// The line that was being read.
        line: usize,
        /// The system's answer.
        reason: io::Error,
    },
}

/// The form of lines.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Lines {
    /// How records look.
    pub format: Format,
    /// What stands between key and value of a plain line; without it plain lines have no keys.
    pub key_separator: Option<String>,
}

/// The place of a record in the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Place<'a> {
    /// Its topic.
    pub topic: &'a str,
    /// Its partition.
    pub partition: Partition,
    /// Its offset.
    pub offset: Offset,
}

impl Lines {
    /// Reads all records; those that have no timestamp get `now`.
    pub fn read(&self, mut from: impl BufRead, now: Timestamp) -> Result<Batch, LineError> {
        let mut records = Batch::default();
        let mut bytes = Vec::new();
        for line in 1.. {
            bytes.clear();
            if from.read_until(b'\n', &mut bytes).map_err(|reason| LineError::Io { line, reason })? == 0 {
                break;
            }
            if records.bytes() + bytes.len() > MOST_BYTES {
                return Err(LineError::TooLarge { line });
            }
            self.parse(&bytes, now, &mut records).map_err(|reason| LineError::Malformed { line, reason })?;
            // Headers may take more room than their text.
            if records.bytes() > MOST_BYTES {
                return Err(LineError::TooLarge { line });
            }
        }
        Ok(records)
    }

    /// Reads the record of one line, with or without its end, and adds it to a batch. A blank JSON line is none.
    pub fn parse(&self, line: &[u8], now: Timestamp, records: &mut Batch) -> Result<(), String> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if self.format == Format::Jsonl {
            return json::parse(line, now, records);
        }
        let (key, value) = match &self.key_separator {
            Some(separator) => {
                let (key, value) = split_once(line, separator.as_bytes())
                    .ok_or_else(|| format!("there is no key separator {separator:?} in it"))?;
                (Some(key), value)
            }
            None => (None, line),
        };
        records.push(Message { key, value: Some(value), headers: None, timestamp: now });
        Ok(())
    }

    /// Writes a record as one line.
    pub fn print(&self, to: &mut impl Write, message: Message<'_>, place: Place<'_>) -> io::Result<()> {
        if self.format == Format::Jsonl {
            return json::print(to, message, place);
        }
        if let Some(separator) = &self.key_separator {
            to.write_all(message.key.unwrap_or(b"null"))?;
            to.write_all(separator.as_bytes())?;
        }
        to.write_all(message.value.unwrap_or(b"null"))?;
        to.write_all(b"\n")
    }
}

fn split_once<'a>(line: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    if separator.is_empty() {
        return None;
    }
    let at = line.windows(separator.len()).position(|window| window == separator)?;
    Some((&line[..at], &line[at + separator.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Part = Option<&'static [u8]>;
    /// Key and value of each record.
    type Expected = &'static [(Part, &'static [u8])];

    fn lines(key_separator: Option<&str>) -> Lines {
        Lines { format: Format::Lines, key_separator: key_separator.map(str::to_owned) }
    }

    #[test]
    fn plain_lines_are_values() {
        #[rustfmt::skip]
        let table: [(&[u8], Option<&str>, Expected); 7] = [
            (b"a\nb\n",       None,      &[(None, b"a"), (None, b"b")]),
            (b"a\n\nlast",    None,      &[(None, b"a"), (None, b""), (None, b"last")]),
            (b"dos\r\n",      None,      &[(None, b"dos")]),
            (b"\xff\xfe\n",   None,      &[(None, b"\xff\xfe")]),
            (b"",             None,      &[]),
            (b"k:v:w\n:v\n",  Some(":"), &[(Some(b"k"), b"v:w"), (Some(b""), b"v")]),
            (b"k => v\n",     Some(" => "), &[(Some(b"k"), b"v")]),
        ];
        for (text, separator, expected) in table {
            let records = lines(separator).read(text, Timestamp(5)).unwrap();
            let got: Vec<_> = records.iter().map(|record| (record.key, record.value.unwrap())).collect();
            assert_eq!(got, expected, "{text:?}");
            assert!(records.timestamps().iter().all(|&timestamp| timestamp == 5));
        }
    }

    #[test]
    fn a_line_that_is_no_record_is_told_by_its_number() {
        let jsonl = Lines { format: Format::Jsonl, key_separator: None };
        #[rustfmt::skip]
        let table = [
            (lines(Some("=")), "a=1\nb\n",             "line 2: there is no key separator \"=\" in it"),
            (jsonl,            "{}\n\nplain text\n",   "line 3: "),
        ];
        for (lines, text, says) in table {
            let error = lines.read(text.as_bytes(), Timestamp(0)).unwrap_err().to_string();
            assert!(error.starts_with(says), "{error}");
        }
    }

    #[test]
    fn records_are_printed_as_lines() {
        #[rustfmt::skip]
        let table: [(Option<&str>, Part, Part, &[u8]); 5] = [
            (None,       Some(b"k"), Some(b"v"),    b"v\n"),
            (None,       None,       None,          b"null\n"),
            (None,       None,       Some(b"\xff"), b"\xff\n"),
            (Some("\t"), Some(b"k"), Some(b"v"),    b"k\tv\n"),
            (Some(": "), None,       Some(b"v"),    b"null: v\n"),
        ];
        let place = Place { topic: "t", partition: Partition(0), offset: Offset(0) };
        for (separator, key, value, expected) in table {
            let mut printed = Vec::new();
            let message = Message { key, value, headers: None, timestamp: Timestamp(0) };
            lines(separator).print(&mut printed, message, place).unwrap();
            assert_eq!(printed, expected);
        }
    }

    #[test]
    fn files_say_by_their_names_what_they_are() {
        for (name, format) in
            [("a.jsonl", Format::Jsonl), ("a.NDJSON", Format::Jsonl), ("a.txt", Format::Lines), ("a", Format::Lines)]
        {
            assert_eq!(Format::of(Path::new(name)), format, "{name}");
        }
    }
}
