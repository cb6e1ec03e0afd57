//! The built-ins at the edges of a pipeline: behind sources and before sinks whose values are not taken as they are.

use wasmill_core::batch::{ABSENT, Headers, Message, SPANS};
use wasmill_core::flow::{Emitted, INPUT};
use wasmill_core::operator::{Call, CallError, Declaration, Failure, Native, Outcome, OutputDeclaration, Role};
use wasmill_core::scope::Scope;

use crate::connect;
use crate::files::LINE_BYTES;

/// What is done to values.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Conversion {
    /// Nothing; but a line that is too long is refused.
    Line,
    /// The same, and the payload is taken out of the envelope.
    Unwrap,
    /// They are put into envelopes.
    Wrap,
}

/// Converts the value of each record; all else is passed on as it came, without a copy.
#[derive(Debug)]
pub(super) struct Convert {
    conversion: Conversion,
    /// What a line may have in bytes, where lines are read.
    longest: Option<usize>,
    declaration: Declaration,
}

impl Convert {
    /// `name` is that of the source or sink, `longest` what a line may have in bytes, where lines are read.
    pub(super) fn new(name: &str, conversion: Conversion, longest: Option<usize>) -> Self {
        let declaration = Declaration {
            name: name.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            role: Role::Transform,
            inputs: vec!["in".to_owned()],
            outputs: vec![OutputDeclaration { name: "out".to_owned(), keeps_keys: true }],
            states: Vec::new(),
            metrics: Vec::new(),
        };
        Self { conversion, longest, declaration }
    }

    /// The span of the value in the output's data, or why there is none.
    fn value(&self, message: &Message<'_>, span: [i32; 2], data: &mut Vec<u8>) -> Result<[i32; 2], String> {
        if let Some(longest) = self.longest
            && let Some(bytes) = line_bytes(message)
        {
            return Err(format!("the line has {bytes} bytes, and a record at most {longest}; its beginning is shown"));
        }
        let before = data.len();
        let there = match (self.conversion, message.value) {
            (_, None) => return Ok([0, ABSENT]),
            (Conversion::Line, Some(_)) => return Ok([span[0] | INPUT, span[1]]),
            (Conversion::Unwrap, Some(value)) => connect::unwrap(value, data)?,
            (Conversion::Wrap, Some(value)) => connect::wrap(value, data).map(Some)?,
        };
        Ok(there.map_or([0, ABSENT], |()| [before as i32, (data.len() - before) as i32]))
    }
}

impl Native for Convert {
    fn declaration(&self) -> &Declaration {
        &self.declaration
    }

    fn run(&mut self, call: &Call, scope: &mut Scope) -> Result<Outcome, CallError> {
        let mut outcome = Outcome::default();
        let (mut timestamps, mut spans, mut data, mut origins) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let columns = call.records.iter().zip(call.records.spans().chunks_exact(SPANS));
        for ((message, columns), index) in columns.zip(0..) {
            let &[key, key_length, value, value_length, headers, headers_length] = columns else { continue };
            let before = data.len();
            match self.value(&message, [value, value_length], &mut data) {
                Ok(value) => {
                    spans.extend(kept([key, key_length]));
                    spans.extend(value);
                    spans.extend(kept([headers, headers_length]));
                    timestamps.push(message.timestamp.0);
                    origins.push(index);
                }
                Err(reason) => {
                    data.truncate(before);
                    outcome.failures.push(Failure { index, reason });
                }
            }
        }
        scope.emit(0, Emitted { timestamps: &timestamps, spans: &spans, data: &data }, &origins)?;
        Ok(outcome)
    }
}

/// A part of the record as it came.
fn kept([at, length]: [i32; 2]) -> [i32; 2] {
    if length == ABSENT { [0, ABSENT] } else { [at | INPUT, length] }
}

/// The bytes of the line that the record shows the beginning of.
fn line_bytes<'a>(message: &Message<'a>) -> Option<std::borrow::Cow<'a, str>> {
    let mut headers = Headers::new(message.headers?);
    headers.find(|(name, _)| *name == LINE_BYTES).map(|(_, bytes)| String::from_utf8_lossy(bytes.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use wasmill_core::batch::{Batch, encode_headers};
    use wasmill_core::operator::{CallInfo, Entry, Operator, Origin, Slots};
    use wasmill_core::record::Timestamp;

    use super::*;

    type Output = Vec<(u32, Option<Vec<u8>>, Option<Vec<u8>>)>;

    /// Index, key and value of what comes out, and index and reason of what fails.
    fn convert(conversion: Conversion, records: Batch) -> (Output, Vec<(u32, String)>) {
        let call = Call {
            entry: Entry::Process,
            info: CallInfo::default(),
            records: Arc::new(records),
            slots: Slots::default(),
            origin: Origin::default(),
        };
        let (scope, outcome) = Convert::new("s", conversion, Some(10)).call(Box::new(Scope::detached(call, 1)));
        let failures = outcome.unwrap().failures.into_iter().map(|failure| (failure.index, failure.reason)).collect();
        let (_, outputs, _, _) = scope.into_parts();
        let owned = |part: Option<&[u8]>| part.map(<[u8]>::to_vec);
        let outputs = outputs[0].iter().map(|(origin, m)| (origin, owned(m.key), owned(m.value))).collect();
        (outputs, failures)
    }

    #[test]
    fn a_line_that_was_too_long_fails_and_the_others_pass() {
        let headers = encode_headers([(LINE_BYTES, Some(&b"99"[..]))]);
        let mut records = Batch::default();
        let line = Message { key: None, value: Some(b"a"), headers: None, timestamp: Timestamp(5) };
        records.push(line);
        records.push(Message { headers: Some(&headers), ..line });
        records.push(Message { value: Some(b"\xff"), ..line });
        let (passed, failed) = convert(Conversion::Line, records);
        assert_eq!(passed, [(0, None, Some(b"a".to_vec())), (2, None, Some(b"\xff".to_vec()))]);
        let reason = "the line has 99 bytes, and a record at most 10; its beginning is shown";
        assert_eq!(failed, [(1, reason.to_owned())]);
    }

    #[test]
    fn envelopes_are_put_on_and_taken_off() {
        let mut records = Batch::default();
        for (key, value) in [(Some(&b"k"[..]), Some(&b"v"[..])), (None, None), (None, Some(b"\xff"))] {
            records.push(Message { key, value, headers: None, timestamp: Timestamp(5) });
        }
        let (wrapped, failed) = convert(Conversion::Wrap, records);
        let text = br#"{"schema":{"type":"string","optional":false},"payload":"v"}"#.to_vec();
        assert_eq!(wrapped, [(0, Some(b"k".to_vec()), Some(text.clone())), (1, None, None)]);
        assert_eq!(failed.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [2]);
        let mut records = Batch::default();
        for value in [&b"no envelope"[..], &text, br#"{"schema":null,"payload":null}"#] {
            records.push(Message { key: None, value: Some(value), headers: None, timestamp: Timestamp(5) });
        }
        let (unwrapped, failed) = convert(Conversion::Unwrap, records);
        assert_eq!(unwrapped, [(1, None, Some(b"v".to_vec())), (2, None, None)]);
        assert_eq!(failed.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0]);
    }
}
