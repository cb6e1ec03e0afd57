//! Counts by key.

#[path = "../../../src/logic.rs"]
#[expect(dead_code, reason = "map and filter are the other guest's")]
mod logic;

wit_bindgen::generate!({ path: "../../../../wit", world: "process" });
export!(Guest);

use exports::wasmill::plugin::lifecycle::{self, OperatorInfo, OutputDecl, StateDecl, StateKind};
use exports::wasmill::plugin::processor;
use logic::Records;
use wasmill::plugin::output;
use wasmill::plugin::timers::Domain;
use wasmill::plugin::types::{Batch, Blobs, CallInfo, Error, KeyedOutcome, Slots};

struct Guest;

impl lifecycle::Guest for Guest {
    fn describe(_: String) -> Result<OperatorInfo, Error> {
        let outputs = vec![OutputDecl { name: "out".into(), keeps_keys: true }];
        let (name, version, inputs) = ("bench".into(), "1".into(), vec!["in".into()]);
        let states = vec![StateDecl {
            name: "count".into(),
            kind: StateKind::Single,
            prefetch: true,
            ttl_ms: None,
            encoding: 1,
        }];
        Ok(OperatorInfo { name, version, inputs, outputs, states, metrics: vec![] })
    }

    fn open(_: String) -> Result<(), Error> {
        Ok(())
    }
}

impl processor::Guest for Guest {
    fn process(_: CallInfo, records: Batch, slots: Slots) -> Result<KeyedOutcome, Error> {
        let records = Records { timestamps: &records.timestamps, spans: &records.spans, data: &records.data };
        let (out, changed) = logic::count(records, &slots.slot_of, &slots.values.spans, &slots.values.data);
        output::emit(0, &Batch { timestamps: out.timestamps, spans: out.spans, data: out.data }, &out.origins);
        let values = Blobs { spans: changed.spans, data: changed.data };
        Ok(KeyedOutcome { failures: vec![], cells: changed.cells, values })
    }

    fn on_timers(_: CallInfo, _: Domain, _: Batch, _: Slots) -> Result<KeyedOutcome, Error> {
        Err(Error::Permanent("sets no timers".into()))
    }
}
