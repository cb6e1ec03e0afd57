//! What a keyed operator works with while it handles a record or a timer.

use crate::output::Output;
use crate::state::Cells;
use crate::timer::Alarms;
use crate::{Call, Domain, Message, Port, Record, Result, Timestamp};

/// The place of the record or timer at hand: its key, with the key's state and timers, and the output.
///
/// State is read and written through the handles that [`Setup::state`](crate::Setup::state) made; they take the context
/// and reach the state of its key only.
#[derive(Debug)]
pub struct Context<'a> {
    pub(crate) out: Output<'a>,
    pub(crate) cells: Cells<'a>,
    pub(crate) alarms: Alarms,
    key: &'a [u8],
    slot: usize,
    changed: bool,
}

impl<'a> Context<'a> {
    pub(crate) fn new(out: Output<'a>, cells: Cells<'a>) -> Self {
        Self { out, cells, alarms: Alarms::default(), key: &[], slot: 0, changed: false }
    }

    /// The key of the record or timer at hand.
    pub fn key(&self) -> &'a [u8] {
        self.key
    }

    /// The call that it came by.
    pub fn call(&self) -> &'a Call {
        self.out.call()
    }

    /// Emits to the main output, as [`Output::emit`] does.
    pub fn emit<'m>(&mut self, message: impl Into<Message<'m>>) -> Result<()> {
        self.out.emit(message)
    }

    /// Emits to a named output, as [`Output::emit`] does.
    pub fn emit_to<'m>(&mut self, port: Port, message: impl Into<Message<'m>>) -> Result<()> {
        self.out.emit_to(port, message)
    }

    /// Sets the key's timer of this domain and name, or moves it if it is set. One set at or before the watermark fires
    /// after the next records.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use wasmill_sdk::{Context, Domain, Record};
    /// fn remind(record: Record<'_>, cx: &mut Context) {
    ///     cx.set_timer(Domain::EventTime, "reminder", record.timestamp() + Duration::from_secs(60));
    /// }
    /// ```
    pub fn set_timer(&mut self, domain: Domain, name: impl AsRef<[u8]>, at: Timestamp) {
        self.change();
        self.alarms.set(domain, self.key, name.as_ref(), at);
    }

    /// Takes the key's timer of this domain and name back, if it is set.
    pub fn cancel_timer(&mut self, domain: Domain, name: impl AsRef<[u8]>) {
        self.set_timer(domain, name, Timestamp::NONE);
    }

    pub(crate) fn begin(&mut self, record: Record<'a>, slot: usize) {
        self.out.begin(record);
        self.key = record.key.unwrap_or_default();
        self.slot = slot;
        self.changed = false;
    }

    pub(crate) fn slot(&self) -> usize {
        self.slot
    }

    /// Notes that the record at hand changed state or timers.
    pub(crate) fn change(&mut self) {
        self.changed = true;
    }

    pub(crate) fn changed(&self) -> bool {
        self.changed
    }
}
