//! A component come to life: its memory and its functions.

use std::sync::Arc;
use std::time::Duration;

use wasmill_core::operator::{Call, CallError, Declaration};
use wasmill_core::scope::Scope;
use wasmtime::component::{Func, TypedFunc};
use wasmtime::{Store, UpdateDeadline};

use super::call::Functions;
use super::checked::Checked;
use super::clock::{Deadline, thread_time};
use super::contract::{self, KeyedOutcome, OperatorInfo};
use super::exports::func;
use super::failure::{LONGEST, Trace, explain};
use super::host::Host;
use super::limits::Limits;
use super::lines::cut;
use super::tally::Tally;

/// Bytes that one crossing of the boundary may copy.
const MOST_COPIED: usize = 128 << 20;

type Settings<'a> = (&'a str,);
type Described = (Result<OperatorInfo, contract::Error>,);
type Opened = (Result<(), contract::Error>,);

/// One instance of a plugin. After an error it must be dropped.
pub(super) struct Guest {
    store: Store<Host>,
    functions: Functions,
    describe: Func,
    open: Func,
    plugin: Arc<Checked>,
    /// Bytes of memory after `open`.
    opened: usize,
}

impl Guest {
    /// Instantiates a plugin.
    pub(super) fn start(
        plugin: &Arc<Checked>,
        operator: Arc<str>,
        limits: Limits,
        declaration: Option<Arc<Declaration>>,
        tally: Arc<Tally>,
    ) -> Result<Self, CallError> {
        let host = Host::new(operator, limits, declaration, tally);
        let mut store = Store::new(plugin.engine.inner(), host);
        store.limiter(|host| &mut host.usage);
        store.set_hostcall_fuel(MOST_COPIED);
        store.epoch_deadline_callback(|mut store| {
            let ticks = store.data_mut().deadline.tick(thread_time())?;
            Ok(UpdateDeadline::Continue(ticks))
        });
        begin(&mut store, limits.open);
        let parts = plugin.linked.instantiate(&mut store).and_then(|instance| {
            let functions = plugin.exports.functions(&mut store, &instance)?;
            let describe = func(&mut store, &instance, &plugin.exports.describe)?;
            Ok((functions, describe, func(&mut store, &instance, &plugin.exports.open)?))
        });
        match parts {
            Ok((functions, describe, open)) => {
                Ok(Self { store, functions, describe, open, plugin: Arc::clone(plugin), opened: 0 })
            }
            Err(error) => Err(explain(&error, store.data(), &plugin.short, Trace::Named)),
        }
    }

    /// Checks that its functions have the types of the contract.
    pub(super) fn check(&self) -> wasmtime::Result<()> {
        self.describe.typed::<Settings<'_>, Described>(&self.store)?;
        self.open.typed::<Settings<'_>, Opened>(&self.store)?;
        self.functions.check(&self.store)
    }

    /// Asks it what it is.
    pub(super) fn describe(&mut self, settings: &str, limit: Duration) -> Result<OperatorInfo, CallError> {
        begin(&mut self.store, limit);
        let describe = self.describe.typed::<Settings<'_>, Described>(&self.store);
        let answer = describe.and_then(|describe: TypedFunc<_, Described>| describe.call(&mut self.store, (settings,)));
        self.answer(answer.map(|(described,)| described), Trace::Named)
    }

    /// Opens it.
    pub(super) fn open(&mut self, settings: &str, limit: Duration) -> Result<(), CallError> {
        begin(&mut self.store, limit);
        let open = self.open.typed::<Settings<'_>, Opened>(&self.store);
        let answer = open.and_then(|open: TypedFunc<_, Opened>| open.call(&mut self.store, (settings,)));
        self.answer(answer.map(|(opened,)| opened), Trace::Named)?;
        self.opened = self.store.data().usage.memory();
        Ok(())
    }

    /// Has records or timers processed. The scope comes back whatever happens.
    pub(super) fn call(
        &mut self,
        scope: Box<Scope>,
        call: &Call,
        limit: Duration,
    ) -> (Box<Scope>, Result<KeyedOutcome, CallError>) {
        begin(&mut self.store, limit);
        self.store.data_mut().lend(scope);
        let answer = self.functions.call(&mut self.store, call);
        let scope = self.store.data_mut().take_back();
        let trace = if call.records.len() > 1 { Trace::Skipped } else { Trace::Named };
        (scope, self.answer(answer, trace))
    }

    /// Bytes of its memories.
    pub(super) fn memory(&self) -> usize {
        self.store.data().usage.memory()
    }

    /// Bytes that its memories have grown since `open`.
    pub(super) fn growth(&self) -> usize {
        self.memory().saturating_sub(self.opened)
    }

    fn answer<T>(&self, answer: wasmtime::Result<Result<T, contract::Error>>, trace: Trace) -> Result<T, CallError> {
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(contract::Error::Transient(reason))) => Err(CallError::Transient(cut(&reason, LONGEST).into())),
            Ok(Err(contract::Error::Permanent(reason))) => Err(CallError::Permanent(cut(&reason, LONGEST).into())),
            Err(error) => {
                let explained = explain(&error, self.store.data(), &self.plugin.short, trace);
                if !matches!(explained, CallError::Fault(_)) {
                    self.store.data().tally.trapped();
                }
                Err(explained)
            }
        }
    }
}

/// What precedes each call: its deadline, of which the first tick comes soon, and an empty log.
fn begin(store: &mut Store<Host>, limit: Duration) {
    store.set_epoch_deadline(1);
    let host = store.data_mut();
    host.deadline = Deadline::new(limit);
    host.lines.begin();
}
