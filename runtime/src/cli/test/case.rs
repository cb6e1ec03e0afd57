//! A case: what an operator is given, and what must come of it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use wasmill_core::batch::Batch;
use wasmill_core::record::Timestamp;

use crate::lines::{Format, Lines};

/// The event time of a record that names none.
const NO_TIME: Timestamp = Timestamp(0);

/// A line of a case.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Line {
    Settings(Box<RawValue>),
    Send(Box<RawValue>),
    Watermark(i64),
    ProcessingTime(i64),
    Expect(BTreeMap<String, Box<RawValue>>),
    ExpectFailure(String),
}

/// What is done, or must be found.
#[derive(Debug)]
pub(super) enum Step {
    /// Gives records, as one batch.
    Send(Batch),
    /// No record with an event time at or below this comes any more.
    Watermark(Timestamp),
    /// The host's clock shows this.
    ProcessingTime(Timestamp),
    /// The next record of an output.
    Expect(Expected),
    /// Part of the reason why the next record failed.
    Failure(String),
}

/// A record that must be there.
#[derive(Debug)]
pub(super) struct Expected {
    /// The output's name.
    pub output: String,
    /// The record, alone.
    pub record: Batch,
    /// The parts of it that are compared.
    pub parts: Vec<String>,
}

impl Step {
    /// Whether it is about what was done before.
    pub(super) fn expects(&self) -> bool {
        matches!(self, Self::Expect(_) | Self::Failure(_))
    }

    /// The last line of a step that begins at one.
    pub(super) fn end(&self, line: usize) -> usize {
        let Self::Send(records) = self else { return line };
        line + records.len().saturating_sub(1)
    }
}

/// A case as it was read.
#[derive(Debug)]
pub(super) struct Case {
    /// The operator's settings, a JSON object.
    pub settings: String,
    /// The steps with their first lines.
    pub steps: Vec<(usize, Step)>,
}

impl Case {
    /// Reads a case. Answers `:LINE: reason` if that cannot be.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut case = Self { settings: "{}".to_owned(), steps: Vec::new() };
        for (line, number) in text.lines().zip(1..) {
            if !line.trim().is_empty() {
                case.add(line, number).map_err(|reason| format!(":{number}: {reason}"))?;
            }
        }
        match case.steps.iter().any(|(_, step)| step.expects()) {
            true => Ok(case),
            false => Err(":1: nothing is expected in this case: add an `expect` or `expect-failure` line".to_owned()),
        }
    }

    fn add(&mut self, line: &str, number: usize) -> Result<(), String> {
        let step = match serde_json::from_str(line).map_err(|error| error.to_string())? {
            Line::Settings(settings) if self.steps.is_empty() => {
                settings.get().clone_into(&mut self.settings);
                return Ok(());
            }
            Line::Settings(_) => return Err("settings stand before everything else".to_owned()),
            Line::Send(record) => {
                // Only sends on lines that follow each other are one batch: so its lines are known.
                match self.steps.last_mut() {
                    Some((first, Step::Send(records))) if *first + records.len() == number => {
                        return parse(record.get(), records);
                    }
                    _ => Step::Send(one(record.get())?),
                }
            }
            Line::Watermark(at) => Step::Watermark(Timestamp(at)),
            Line::ProcessingTime(at) => Step::ProcessingTime(Timestamp(at)),
            Line::Expect(members) => Step::Expect(expected(members)?),
            Line::ExpectFailure(reason) => Step::Failure(reason),
        };
        self.steps.push((number, step));
        Ok(())
    }
}

fn expected(mut members: BTreeMap<String, Box<RawValue>>) -> Result<Expected, String> {
    let output = members.remove("output").map(|output| serde_json::from_str(output.get()));
    let output = output.transpose().map_err(|error| format!("output: {error}"))?;
    let text = serde_json::to_string(&members).map_err(|error| error.to_string())?;
    let (record, parts) = (one(&text)?, members.into_keys().collect());
    Ok(Expected { output: output.unwrap_or_else(|| "main".to_owned()), record, parts })
}

fn one(record: &str) -> Result<Batch, String> {
    let mut records = Batch::default();
    parse(record, &mut records)?;
    Ok(records)
}

fn parse(record: &str, records: &mut Batch) -> Result<(), String> {
    let lines = Lines { format: Format::Jsonl, key_separator: None };
    lines.parse(record.as_bytes(), NO_TIME, records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sends_on_lines_that_follow_each_other_are_one_batch() {
        let send = r#"{"send": {"value": "a"}}"#;
        let text =
            format!("{{\"settings\": {{\"n\": 1}}}}\n{send}\n{send}\n\n{send}\n{{\"expect\": {{\"key\": \"k\"}}}}\n");
        let case = Case::parse(&text).unwrap();
        assert_eq!(case.settings, r#"{"n": 1}"#);
        let lines: Vec<_> = case.steps.iter().map(|(line, step)| (*line, step.end(*line))).collect();
        assert_eq!(lines, [(2, 3), (5, 5), (6, 6)]);
        let Step::Expect(expected) = &case.steps[2].1 else { panic!("{:?}", case.steps) };
        assert_eq!((expected.output.as_str(), expected.parts.as_slice()), ("main", &["key".to_owned()][..]));
    }

    #[test]
    fn a_line_that_says_nothing_is_told() {
        #[rustfmt::skip]
        let table = [
            ("{\"send\": {}}\n{\"sned\": {}}",                  ":2: unknown variant `sned`"),
            ("{\"send\": {\"valu\": 1}}",                       ":1: unknown field `valu`"),
            ("{\"expect\": {\"output\": 1}}",                   ":1: output: invalid type"),
            ("{\"watermark\": 1}\n{\"settings\": {}}",          ":2: settings stand before"),
            ("{\"send\": {}}",                                  ":1: nothing is expected"),
            ("",                                                ":1: nothing is expected"),
        ];
        for (text, says) in table {
            let reason = Case::parse(text).unwrap_err();
            assert!(reason.starts_with(says), "{text}: {reason}");
        }
    }
}
