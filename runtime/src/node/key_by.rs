//! The built-in that gives records the key of a keyed operator, in front of its repartition topic.

use wasmill_core::batch::{ABSENT, SPANS};
use wasmill_core::flow::{Emitted, INPUT};
use wasmill_core::operator::{Call, CallError, Declaration, Failure, Native, Outcome, OutputDeclaration, Role};
use wasmill_core::scope::Scope;

use crate::pipeline::key::Key;

/// Gives each record the key that is in its value; all else is passed on as it came, without a copy.
#[derive(Debug)]
pub(super) struct KeyBy {
    key: Key,
    declaration: Declaration,
}

impl KeyBy {
    pub(super) fn new(operator: &str, key: Key) -> Self {
        let declaration = Declaration {
            name: operator.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            role: Role::Transform,
            inputs: vec!["in".to_owned()],
            outputs: vec![OutputDeclaration { name: "out".to_owned(), keeps_keys: false }],
            states: Vec::new(),
            metrics: Vec::new(),
        };
        Self { key, declaration }
    }
}

impl Native for KeyBy {
    fn declaration(&self) -> &Declaration {
        &self.declaration
    }

    fn run(&mut self, call: &Call, scope: &mut Scope) -> Result<Outcome, CallError> {
        let mut outcome = Outcome::default();
        let (mut timestamps, mut spans, mut data, mut origins) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let columns = call.records.iter().zip(call.records.spans().chunks_exact(SPANS));
        for ((message, columns), index) in columns.zip(0..) {
            let key = match message.value {
                Some(value) => self.key.extract(value),
                None => Err("a tombstone has no value to take the key from".to_owned()),
            };
            match key {
                Ok(key) => {
                    spans.extend_from_slice(&[data.len() as i32, key.len() as i32]);
                    spans.extend(columns[2..].chunks_exact(2).flat_map(|span| match span[1] {
                        ABSENT => [0, ABSENT],
                        length => [span[0] | INPUT, length],
                    }));
                    data.extend_from_slice(&key);
                    timestamps.push(message.timestamp.0);
                    origins.push(index);
                }
                Err(reason) => outcome.failures.push(Failure { index, reason }),
            }
        }
        scope.emit(0, Emitted { timestamps: &timestamps, spans: &spans, data: &data }, &origins)?;
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use wasmill_core::batch::{Batch, Message, encode_headers};
    use wasmill_core::operator::{CallInfo, Entry, Operator, Origin, Slots};
    use wasmill_core::record::Timestamp;

    use super::*;

    #[test]
    fn records_get_the_key_and_keep_the_rest() {
        let headers = encode_headers([("h", Some(&b"1"[..]))]);
        let mut records = Batch::default();
        for (value, headers) in [
            (Some(r#"{"shop":"Zürich"}"#.as_bytes()), Some(&headers[..])),
            (Some(b"{}"), None),
            (None, None),
            (Some(br#"{"shop":7}"#), None),
        ] {
            records.push(Message { key: Some(b"old"), value, headers, timestamp: Timestamp(5) });
        }
        let call = Call {
            entry: Entry::Process,
            info: CallInfo::default(),
            records: Arc::new(records.clone()),
            slots: Slots::default(),
            origin: Origin::default(),
        };
        let key: Key = serde_json::from_str("\"/shop\"").unwrap();
        let (scope, outcome) = KeyBy::new("per-shop", key).call(Box::new(Scope::detached(call, 1)));
        let failed: Vec<_> = outcome.unwrap().failures.iter().map(|failure| failure.index).collect();
        assert_eq!(failed, [1, 2]);
        let (_, outputs, _, _) = scope.into_parts();
        let got: Vec<_> = outputs[0].iter().collect();
        let expected = |index, key| Message { key: Some(key), ..records.get(index).unwrap() };
        assert_eq!(got, [(0, expected(0, "Zürich".as_bytes())), (3, expected(3, b"7"))]);
    }
}
