//! A transformer: passes all on, but for records whose value it was told to choke on. It emits some that it fails.

wit_bindgen::generate!({ path: "../../../wit", world: "transform" });
export!(Guest);

use exports::wasmill::plugin::lifecycle::{self, OperatorInfo, OutputDecl};
use exports::wasmill::plugin::transformer;
use wasmill::plugin::output;
use wasmill::plugin::types::{Batch, CallInfo, Error, Failure, Outcome};

struct Guest;

impl lifecycle::Guest for Guest {
    fn describe(_: String) -> Result<OperatorInfo, Error> {
        let outputs = vec![OutputDecl { name: "out".into(), keeps_keys: true }];
        let (name, version, inputs) = ("pass".into(), "1".into(), vec!["in".into()]);
        Ok(OperatorInfo { name, version, inputs, outputs, states: vec![], metrics: vec![] })
    }

    fn open(_: String) -> Result<(), Error> {
        Ok(())
    }
}

impl transformer::Guest for Guest {
    fn process(_: CallInfo, records: Batch) -> Result<Outcome, Error> {
        let (mut passed, mut origins, mut failures) =
            (Batch { timestamps: vec![], spans: vec![], data: vec![] }, vec![], vec![]);
        for (index, (spans, &timestamp)) in (0..).zip(records.spans.chunks_exact(6).zip(&records.timestamps)) {
            let [at, length] = [spans[2], spans[3].max(0)];
            match &records.data[at as usize..][..length as usize] {
                b"!fail" => {
                    failures.push(Failure { index, reason: "not a word".into() });
                    continue;
                }
                b"!fail and emit" => failures.push(Failure { index, reason: "not two words".into() }),
                _ => {}
            }
            passed.timestamps.push(timestamp);
            passed.spans.extend(spans.iter().enumerate().map(|(n, &s)| if n % 2 == 0 { s | i32::MIN } else { s }));
            origins.push(index);
        }
        output::emit(0, &passed, &origins);
        Ok(Outcome { failures })
    }
}
