//! Every built-in, made from the text of a pipeline file and called as a task calls it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use proptest::prelude::*;
use wasmill_core::batch::{Batch, Blobs, Message, encode_headers};
use wasmill_core::operator::{Call, CallError, CallInfo, Entry, Operator, Origin, Outcome, Slots};
use wasmill_core::record::Timestamp;
use wasmill_core::scope::Scope;
use wasmill_core::slots::Keys;

use crate::pipeline::{Errors, graph::Plugin, parse};

mod keyed;
mod stateless;

/// The built-in that `settings` writes, the inside of a mapping.
fn built(settings: &str) -> Result<super::BuiltIn, Errors> {
    let text = format!(
        "format-version: 1\nname: p\nsources: {{s: {{topic: s}}}}\noperators:\n  o: {{from: s, {settings}}}\n\
         sinks: {{k: {{topic: k, from: o}}}}\n"
    );
    let graph = parse(Path::new("pipeline.yaml"), text.as_bytes(), &|_| Ok("secret".to_owned()))?;
    match &graph.operators()[0].plugin {
        Plugin::BuiltIn(built_in) => Ok(built_in.clone()),
        other => panic!("{other:?}"),
    }
}

fn operator(settings: &str) -> Box<dyn Operator> {
    built(settings).unwrap_or_else(|errors| panic!("{errors}")).operator()
}

/// A record that came out: its port, key and value.
type Came = (String, Option<Vec<u8>>, Option<Vec<u8>>);

fn call(records: Batch, slots: Slots) -> Call {
    let origin = Origin::default();
    Call { entry: Entry::Process, info: CallInfo::default(), records: Arc::new(records), slots, origin }
}

/// What came out of a call, and what it said.
fn outcome(operator: &mut dyn Operator, call: Call) -> (Vec<Came>, Result<Outcome, CallError>) {
    let outputs = operator.declaration().outputs.clone();
    let (scope, outcome) = operator.call(Box::new(Scope::detached(call, outputs.len())));
    let (_, flows, _, _) = scope.into_parts();
    let mut came = Vec::new();
    for (port, flow) in outputs.iter().zip(&flows) {
        let own = |part: Option<&[u8]>| part.map(<[u8]>::to_vec);
        came.extend(flow.iter().map(|(_, message)| (port.name.clone(), own(message.key), own(message.value))));
    }
    (came, outcome)
}
