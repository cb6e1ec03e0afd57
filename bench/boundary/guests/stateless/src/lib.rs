//! Map and filter, by the settings.

#[path = "../../../src/logic.rs"]
#[expect(dead_code, reason = "counting is the other guest's")]
mod logic;

use std::sync::atomic::{AtomicBool, Ordering};

wit_bindgen::generate!({ path: "../../../../wit", world: "transform" });
export!(Guest);

use exports::wasmill::plugin::lifecycle::{self, OperatorInfo, OutputDecl};
use exports::wasmill::plugin::transformer;
use logic::Records;
use wasmill::plugin::output;
use wasmill::plugin::types::{Batch, CallInfo, Error, Outcome};

struct Guest;

static FILTERS: AtomicBool = AtomicBool::new(false);

impl lifecycle::Guest for Guest {
    fn describe(_: String) -> Result<OperatorInfo, Error> {
        let outputs = vec![OutputDecl { name: "out".into(), keeps_keys: true }];
        let (name, version, inputs) = ("bench".into(), "1".into(), vec!["in".into()]);
        Ok(OperatorInfo { name, version, inputs, outputs, states: vec![], metrics: vec![] })
    }

    fn open(settings: String) -> Result<(), Error> {
        FILTERS.store(settings.contains("filter"), Ordering::Relaxed);
        Ok(())
    }
}

impl transformer::Guest for Guest {
    fn process(_: CallInfo, records: Batch) -> Result<Outcome, Error> {
        let records = Records { timestamps: &records.timestamps, spans: &records.spans, data: &records.data };
        let out = if FILTERS.load(Ordering::Relaxed) { logic::filter(records) } else { logic::map(records) };
        if !out.timestamps.is_empty() {
            output::emit(0, &Batch { timestamps: out.timestamps, spans: out.spans, data: out.data }, &out.origins);
        }
        Ok(Outcome { failures: vec![] })
    }
}
