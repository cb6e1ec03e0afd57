//! An operator of the worker that is a plugin.

use std::sync::Arc;

use tracing::debug;
use wasmill_core::operator::{CallError, Declaration, Operator, Outcome};
use wasmill_core::scope::Scope;

use super::call::Check;
use super::guest::Guest;
use super::place::Placed;
use super::tally::Tally;

/// A plugin's instance on one worker. Behind it the guest is replaced whenever what it has in memory must not last:
/// after an error, when it has grown too much, and when the worker says so.
pub struct Instance {
    placed: Placed,
    guest: Option<Guest>,
    check: Check,
    started: u64,
    tally: Arc<Tally>,
}

impl Instance {
    pub(super) fn new(placed: Placed, tally: Arc<Tally>) -> Self {
        Self { placed, guest: None, check: Check::default(), started: 0, tally }
    }

    /// Opens a guest now instead of at the first call, so that one that cannot be opened is known before there are
    /// records.
    pub fn open(&mut self) -> Result<(), CallError> {
        let guest = self.guest()?;
        self.tally.uses(guest.memory());
        self.guest = Some(guest);
        Ok(())
    }

    /// Guests that were started so far.
    pub fn started(&self) -> u64 {
        self.started
    }

    fn guest(&mut self) -> Result<Guest, CallError> {
        let limit = self.placed.limits().growth;
        match self.guest.take() {
            Some(guest) if guest.growth() <= limit => Ok(guest),
            guest => {
                if let Some(guest) = guest {
                    let (operator, bytes) = (self.placed.operator(), guest.growth());
                    debug!(operator, bytes, "a guest that has grown is replaced");
                }
                if self.started > 0 {
                    self.tally.recycled();
                }
                self.started += 1;
                self.placed.start(&self.tally).map_err(opening)
            }
        }
    }
}

impl Operator for Instance {
    fn declaration(&self) -> &Declaration {
        self.placed.declaration()
    }

    fn call(&mut self, scope: Box<Scope>) -> (Box<Scope>, Result<Outcome, CallError>) {
        let mut guest = match self.guest() {
            Ok(guest) => guest,
            Err(error) => return (scope, Err(error)),
        };
        let call = Arc::clone(scope.call());
        let longest = scope.limits().record;
        let (scope, answer) = guest.call(scope, &call, self.placed.limits().deadline);
        let outcome = answer.and_then(|outcome| {
            let checked = self.check.outcome(outcome, &call, longest);
            checked.map_err(|nonsense| CallError::Limit(format!("{nonsense}; plugin {}", self.placed.short())))
        });
        self.tally.uses(if outcome.is_ok() { guest.memory() } else { 0 });
        if outcome.is_ok() {
            self.guest = Some(guest);
        }
        (scope, outcome)
    }

    fn renew(&mut self) {
        self.tally.uses(0);
        self.guest = None;
    }
}

fn opening(error: CallError) -> CallError {
    let told = |message| format!("open the plugin: {message}");
    match error {
        CallError::Transient(message) => CallError::Transient(told(message)),
        CallError::Permanent(message) => CallError::Permanent(told(message)),
        CallError::Trap(message) => CallError::Trap(told(message)),
        CallError::Limit(message) => CallError::Limit(told(message)),
        CallError::Deadline(message) => CallError::Deadline(told(message)),
        CallError::Fault(fault) => CallError::Fault(fault),
    }
}
