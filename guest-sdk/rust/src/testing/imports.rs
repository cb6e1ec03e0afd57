//! The imports, over the call that the harness of this thread is making.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::observed::{Line, Pending};
use super::store::Store;
use super::timers::Timers;
use crate::bindings::operator::exports::wasmill::plugin::lifecycle::{OperatorInfo, StateDecl, StateKind};
use crate::log::Level;
use crate::{Message, Timestamp};

/// The effects of operators so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Effects {
    /// What was emitted, by output.
    pub(super) outputs: BTreeMap<u32, Vec<Message<'static>>>,
    /// The origin of each record emitted in this call, by its index in the call's batch.
    pub(super) origins: Vec<u32>,
    pub(super) store: Store,
    pub(super) timers: Timers,
    pub(super) counters: BTreeMap<u32, u64>,
    pub(super) gauges: BTreeMap<u32, f64>,
    pub(super) observations: BTreeMap<u32, Vec<f64>>,
}

/// A call being made.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) info: OperatorInfo,
    pub(super) input: Vec<u8>,
    /// Of each record: its key, and its event time where it counts for the TTL.
    pub(super) records: Vec<(Vec<u8>, Timestamp)>,
    pub(super) offsets: Vec<i64>,
    pub(super) watermark: Timestamp,
    pub(super) effects: Effects,
}

impl Call {
    /// The time that a write to this key counts as made at.
    pub(super) fn written(&self, key: &[u8]) -> Timestamp {
        let times = self.records.iter().filter(|(other, _)| other == key).map(|(_, at)| *at);
        times.fold(self.watermark, Timestamp::max)
    }

    fn check_key(&self, key: &[u8]) {
        assert!(self.records.iter().any(|(other, _)| other == key), "the key is one of the call's records");
    }

    fn row(&self, state: u32, key: &[u8]) -> &StateDecl {
        self.check_key(key);
        let decl = self.info.states.get(state as usize);
        assert!(decl.is_some_and(|decl| !decl.prefetch), "state {state} is declared and not prefetched");
        &self.info.states[state as usize]
    }
}

thread_local! {
    static CALL: RefCell<Option<Call>> = const { RefCell::new(None) };
    static LOG: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// Runs `run` with `call` behind the imports, and gives back both its result and the call.
pub(super) fn during<R>(call: Call, run: impl FnOnce() -> R) -> (R, Call) {
    /// Clears the place also when `run` panics.
    struct Place;

    impl Drop for Place {
        fn drop(&mut self) {
            CALL.take();
        }
    }

    let _place = Place;
    CALL.set(Some(call));
    let result = run();
    let Some(call) = CALL.take() else { panic!("an operator is not called within another's call") };
    (result, call)
}

/// The lines logged on this thread since they were last taken.
pub(super) fn take_log() -> Vec<Line> {
    LOG.take()
}

fn with<R>(what: &str, run: impl FnOnce(&mut Call) -> R) -> R {
    CALL.with_borrow_mut(|call| {
        let Some(call) = call else { panic!("{what} is used in a call only") };
        run(call)
    })
}

pub(crate) mod output {
    use super::super::columns;
    use super::with;
    use crate::bindings::operator::wasmill::plugin::types::Batch;

    pub(crate) fn emit(port: u32, records: &Batch, origins: &[u32]) {
        with("output", |call| {
            assert!((port as usize) < call.info.outputs.len(), "output {port} is declared");
            let messages = columns::messages(records, &call.input);
            assert_eq!(messages.len(), origins.len(), "every emitted record has an origin");
            assert!(origins.is_sorted(), "origins never fall");
            assert!(origins.iter().all(|origin| (*origin as usize) < call.records.len()), "origins are records");
            call.effects.origins.extend(origins);
            call.effects.outputs.entry(port).or_default().extend(messages);
        });
    }
}

pub(crate) mod state {
    use super::super::columns;
    use super::{StateKind, with};
    use crate::bindings::operator::wasmill::plugin::types::Blobs;

    pub(crate) fn get(state: u32, key: &[u8], field: &[u8]) -> Option<Vec<u8>> {
        with("state", |call| {
            call.row(state, key);
            call.effects.store.get(state, key, field).map(<[u8]>::to_vec)
        })
    }

    pub(crate) fn put(state: u32, key: &[u8], field: &[u8], value: &[u8]) {
        write(state, key, field, Some(value));
    }

    pub(crate) fn delete(state: u32, key: &[u8], field: &[u8]) {
        write(state, key, field, None);
    }

    fn write(state: u32, key: &[u8], field: &[u8], value: Option<&[u8]>) {
        with("state", |call| {
            let kind = call.row(state, key).kind;
            assert!(field.is_empty() || kind == StateKind::OrderedMap, "the field of a `single` state is empty");
            let written = call.written(key);
            call.effects.store.put(state, key, field, value, written);
        });
    }

    pub(crate) fn scan(state: u32, key: &[u8], start: &[u8], end: Option<&[u8]>, limit: u32, reverse: bool) -> Blobs {
        with("state", |call| {
            call.row(state, key);
            let mut found = call.effects.store.scan(state, key, start, end);
            if reverse {
                found.reverse();
            }
            let entries = found.into_iter().take(limit as usize);
            columns::blobs(entries.flat_map(|(field, value)| [Some(field), Some(value)]))
        })
    }

    pub(crate) fn delete_range(state: u32, key: &[u8], start: &[u8], end: Option<&[u8]>) {
        with("state", |call| {
            call.row(state, key);
            let store = &mut call.effects.store;
            let fields: Vec<_> = store.scan(state, key, start, end).iter().map(|(field, _)| field.to_vec()).collect();
            for field in fields {
                store.put(state, key, &field, None, call.watermark);
            }
        });
    }
}

pub(crate) mod timers {
    use super::super::columns;
    use super::{Pending, with};
    use crate::Timestamp;
    use crate::bindings::operator::wasmill::plugin::types::Blobs;
    use crate::bindings::processor::wasmill::plugin::timers::Domain;

    pub(crate) fn set_many(domain: Domain, ids: &Blobs, at: &[i64]) {
        with("timers", |call| {
            let ids = columns::parts(ids);
            assert_eq!(ids.len(), 2 * at.len(), "there are a key and a name for each time");
            for (id, at) in ids.chunks_exact(2).zip(at) {
                let [key, name] = [id[0], id[1]].map(|part| part.unwrap_or_default().to_vec());
                call.check_key(&key);
                let at = Timestamp::from_millis(*at);
                call.effects.timers.set(Pending { domain: domain.into(), at, key, name });
            }
        });
    }
}

pub(crate) mod origin {
    use super::with;

    pub(crate) fn topic() -> String {
        "test".to_owned()
    }

    pub(crate) fn offsets() -> Vec<i64> {
        with("origin", |call| call.offsets.clone())
    }

    pub(crate) fn watermarks() -> Vec<i64> {
        with("origin", |call| vec![call.watermark.as_millis(); call.records.len()])
    }
}

pub(crate) mod metrics {
    use super::with;
    use crate::bindings::operator::exports::wasmill::plugin::lifecycle::MetricKind;

    pub(crate) fn add(metric: u32, delta: u64) {
        with("a metric", |call| {
            assert_eq!(call.info.metrics[metric as usize].kind, MetricKind::Counter);
            *call.effects.counters.entry(metric).or_default() += delta;
        });
    }

    pub(crate) fn set(metric: u32, value: f64) {
        with("a metric", |call| {
            assert_eq!(call.info.metrics[metric as usize].kind, MetricKind::Gauge);
            call.effects.gauges.insert(metric, value);
        });
    }

    pub(crate) fn observe(metric: u32, value: f64) {
        with("a metric", |call| {
            assert_eq!(call.info.metrics[metric as usize].kind, MetricKind::Histogram);
            call.effects.observations.entry(metric).or_default().push(value);
        });
    }
}

pub(crate) mod logging {
    use super::{LOG, Line};
    pub(crate) use crate::bindings::operator::wasmill::plugin::logging::Level;

    pub(crate) fn enabled(_: Level) -> bool {
        true
    }

    pub(crate) fn log(level: Level, message: &str) {
        let line = Line { level: level.into(), message: message.to_owned() };
        LOG.with_borrow_mut(|log| log.push(line));
    }
}

impl From<logging::Level> for Level {
    fn from(level: logging::Level) -> Self {
        match level {
            logging::Level::Trace => Self::Trace,
            logging::Level::Debug => Self::Debug,
            logging::Level::Info => Self::Info,
            logging::Level::Warn => Self::Warn,
            logging::Level::Error => Self::Error,
        }
    }
}
