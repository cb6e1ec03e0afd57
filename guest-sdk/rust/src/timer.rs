//! Timers: they belong to a key, have a name, survive crashes and fire once.

use crate::bindings::operator::wasmill::plugin::types::Blobs;
use crate::bindings::processor::wasmill::plugin::timers as wit;
use crate::{Record, Timestamp, host};

/// The clock that a timer goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Domain {
    /// Fires when the watermark reaches its time.
    EventTime,
    /// Fires when the host's clock reaches its time.
    ProcessingTime,
}

impl From<wit::Domain> for Domain {
    fn from(domain: wit::Domain) -> Self {
        match domain {
            wit::Domain::EventTime => Self::EventTime,
            wit::Domain::ProcessingTime => Self::ProcessingTime,
        }
    }
}

impl From<Domain> for wit::Domain {
    fn from(domain: Domain) -> Self {
        match domain {
            Domain::EventTime => Self::EventTime,
            Domain::ProcessingTime => Self::ProcessingTime,
        }
    }
}

/// A timer that came due.
#[derive(Clone, Copy, Debug)]
pub struct Timer<'a> {
    domain: Domain,
    record: Record<'a>,
}

impl<'a> Timer<'a> {
    /// `record` as the host gives timers: its value is the name.
    pub(crate) fn new(domain: Domain, record: Record<'a>) -> Self {
        Self { domain, record }
    }

    /// The clock that it went by.
    pub fn domain(&self) -> Domain {
        self.domain
    }

    /// The key that it belongs to.
    pub fn key(&self) -> &'a [u8] {
        self.record.key.unwrap_or_default()
    }

    /// Its name.
    pub fn name(&self) -> &'a [u8] {
        self.record.value.unwrap_or_default()
    }

    /// The time that it was set for.
    pub fn at(&self) -> Timestamp {
        self.record.timestamp
    }

    /// A record to emit from: the timer's key and time, no value and no headers.
    pub fn record(&self) -> Record<'a> {
        Record { value: None, ..self.record }
    }
}

/// The timers set and cancelled in a call, in order; they reach the host together.
#[derive(Debug, Default)]
pub(crate) struct Alarms {
    event_time: Changes,
    processing_time: Changes,
}

#[derive(Debug, Default)]
struct Changes {
    spans: Vec<i32>,
    data: Vec<u8>,
    at: Vec<i64>,
}

impl Alarms {
    /// Sets a timer, or cancels it where `at` is [`Timestamp::NONE`].
    pub(crate) fn set(&mut self, domain: Domain, key: &[u8], name: &[u8], at: Timestamp) {
        let changes = match domain {
            Domain::EventTime => &mut self.event_time,
            Domain::ProcessingTime => &mut self.processing_time,
        };
        for bytes in [key, name] {
            changes.spans.extend([changes.data.len() as i32, bytes.len() as i32]);
            changes.data.extend(bytes);
        }
        changes.at.push(at.as_millis());
    }

    pub(crate) fn finish(self) {
        for (domain, changes) in [(Domain::EventTime, self.event_time), (Domain::ProcessingTime, self.processing_time)]
        {
            if !changes.at.is_empty() {
                let ids = Blobs { spans: changes.spans, data: changes.data };
                host::timers::set_many(domain.into(), &ids, &changes.at);
            }
        }
    }
}
