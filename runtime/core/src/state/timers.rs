//! What waits for a time: timers, and rows whose time to live ends.

use super::{State, UNKNOWN, expiry};
use crate::operator::Domain;
use crate::port::StoreError;
use crate::record::Timestamp;
use crate::row::{self, Due, Indexed, Value};
use crate::table::Access;

/// Bytes of what came due that are looked at in one go, about.
const MOST_BYTES: usize = 16 << 20;

/// Later than anything is due.
const NEVER: Timestamp = Timestamp(i64::MAX);

/// A timer that came due, or a row whose time to live did.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fired {
    /// The time that it was set for.
    pub at: Timestamp,
    /// The timer's key, or the row that expires.
    pub key: Vec<u8>,
    /// The timer's name.
    pub name: Vec<u8>,
}

impl State {
    /// When a timer is due; `None` if it is not set.
    pub fn timer(&mut self, domain: Domain, key: &[u8], name: &[u8]) -> Result<Option<Timestamp>, StoreError> {
        row::put_timer(&mut self.row, domain, key, name);
        Ok(self.rows.get(&self.row)?.and_then(row::parse_time))
    }

    /// Sets a timer, or moves it.
    pub fn set_timer(&mut self, domain: Domain, key: &[u8], name: &[u8], at: Timestamp) -> Result<(), StoreError> {
        if let Some(before) = self.timer(domain, key, name)? {
            self.index(domain.into(), before, key, name, None);
        }
        row::put_timer(&mut self.row, domain, key, name);
        self.rows.put(&self.row, Some(&row::time(at)), Access::Point);
        self.await_due(domain.into(), at, key, name);
        Ok(())
    }

    /// Cancels a timer, if it is set.
    pub fn cancel_timer(&mut self, domain: Domain, key: &[u8], name: &[u8]) -> Result<(), StoreError> {
        if let Some(at) = self.timer(domain, key, name)? {
            self.remove_timer(domain, at, key, name);
        }
        Ok(())
    }

    /// Takes a timer that came due off the rows.
    pub fn take_timer(&mut self, domain: Domain, fired: &Fired) {
        self.remove_timer(domain, fired.at, &fired.key, &fired.name);
    }

    fn remove_timer(&mut self, domain: Domain, at: Timestamp, key: &[u8], name: &[u8]) {
        self.index(domain.into(), at, key, name, None);
        row::put_timer(&mut self.row, domain, key, name);
        self.rows.put(&self.row, None, Access::Point);
    }

    fn index(&mut self, due: Due, at: Timestamp, key: &[u8], name: &[u8], entry: Option<&[u8]>) {
        row::put_index(&mut self.row, due, at, key, name);
        self.rows.put(&self.row, entry, Access::Scanned);
    }

    fn await_due(&mut self, due: Due, at: Timestamp, key: &[u8], name: &[u8]) {
        self.index(due, at, key, name, Some(b""));
        let bound = &mut self.bounds[due as usize];
        *bound = (*bound).min(at);
    }

    pub(super) fn await_expiry(&mut self, row: &[u8], at: Timestamp) {
        self.await_due(Due::Expiry, at, row, b"");
    }

    /// A time before which nothing is due; `None` if nothing is due ever.
    pub fn earliest(&mut self, due: Due) -> Result<Option<Timestamp>, StoreError> {
        if self.bounds[due as usize] == UNKNOWN {
            let (first, _) = self.indexed(due, 1)?;
            self.bounds[due as usize] = first.first().map_or(NEVER, |first| first.at);
        }
        let bound = self.bounds[due as usize];
        Ok((bound != NEVER).then_some(bound))
    }

    /// What is due at `now`, in order of time, key and name, at most `limit`, and fewer where they are large. Each must
    /// be taken or expired next. [`State::has_due`] says whether there is more.
    pub fn due(&mut self, due: Due, now: Timestamp, limit: usize) -> Result<Vec<Fired>, StoreError> {
        if self.bounds[due as usize] > now {
            return Ok(Vec::new());
        }
        let (mut fired, full) = self.indexed(due, limit + 1)?;
        let beyond = fired.iter().position(|fired| fired.at > now).unwrap_or(fired.len() - usize::from(full));
        let beyond = beyond.min(limit);
        // The caller takes these, so what follows them is the earliest.
        self.bounds[due as usize] = fired.get(beyond).map_or(NEVER, |next| next.at);
        fired.truncate(beyond);
        Ok(fired)
    }

    /// Whether more is due at a time than what was handed out.
    pub fn has_due(&self, due: Due, now: Timestamp) -> bool {
        self.bounds[due as usize] <= now
    }

    /// The first that are due, at most `limit`, and two at least where there are as many. Answers whether there may be more.
    fn indexed(&self, due: Due, limit: usize) -> Result<(Vec<Fired>, bool), StoreError> {
        let (mut found, mut bytes, mut full) = (Vec::new(), 0, false);
        let from = row::index_from(due, self.bounds[due as usize]);
        self.rows.scan(&from, &mut |row, _| {
            let Some(Indexed { due: of, at, key, name }) = row::parse_index(row) else { return false };
            if of != due {
                return false;
            }
            found.push(Fired { at, key: key.to_vec(), name: name.to_vec() });
            bytes += row.len();
            full = found.len() >= limit || (found.len() > 1 && bytes > MOST_BYTES);
            !full
        })?;
        Ok((found, full))
    }

    /// Deletes a row whose time to live is over at the watermark, or waits on if it was written since.
    pub fn expire(&mut self, fired: &Fired, watermark: Timestamp) -> Result<(), StoreError> {
        self.index(Due::Expiry, fired.at, &fired.key, b"", None);
        let stored = self.rows.get(&fired.key)?.map(|stored| Value::decode(stored).and_then(|value| value.written));
        let Some(ends) = stored.and_then(|written| self.ends(&fired.key, written?)) else { return Ok(()) };
        if ends <= watermark {
            self.rows.put(&fired.key, None, self.access(&fired.key));
        } else {
            self.await_expiry(&fired.key, ends);
        }
        Ok(())
    }

    /// When a row ends that was written at a time.
    pub(super) fn ends(&self, row: &[u8], written: Timestamp) -> Option<Timestamp> {
        let (number, _, _) = row::parse_keyed(row)?;
        let kept = self.states.iter().find(|kept| kept.number == number)?;
        Some(expiry(written, kept.declaration.ttl?))
    }

    pub(super) fn derive_timer(&mut self, row: &[u8], value: Option<&[u8]>) -> Result<(), StoreError> {
        let before = self.rows.get(row)?.and_then(row::parse_time);
        self.rows.put(row, value, Access::Point);
        let Some((domain, key, name)) = row::parse_keyed(row) else { return Ok(()) };
        let due = if domain == Due::Event as u8 { Due::Event } else { Due::Processing };
        if let Some(before) = before {
            self.index(due, before, key, name, None);
        }
        if let Some(at) = value.and_then(row::parse_time) {
            self.index(due, at, key, name, Some(b""));
        }
        Ok(())
    }
}
