//! Keyed state.

use std::collections::BTreeMap;

use crate::Timestamp;
use crate::bindings::operator::exports::wasmill::plugin::lifecycle::StateDecl;

/// State, key, field. The field of a `single` state is empty.
type Id = (u32, Vec<u8>, Vec<u8>);

/// The stored values, each with the time of its last write: the greater of the watermark and the greatest event time of
/// its key's records in the call.
#[derive(Clone, Debug, Default)]
pub(super) struct Store {
    rows: BTreeMap<Id, (Timestamp, Vec<u8>)>,
}

impl Store {
    pub(super) fn get(&self, state: u32, key: &[u8], field: &[u8]) -> Option<&[u8]> {
        self.rows.get(&(state, key.to_vec(), field.to_vec())).map(|(_, value)| value.as_slice())
    }

    pub(super) fn put(&mut self, state: u32, key: &[u8], field: &[u8], value: Option<&[u8]>, written: Timestamp) {
        let id = (state, key.to_vec(), field.to_vec());
        match value {
            Some(value) => self.rows.insert(id, (written, value.to_vec())),
            None => self.rows.remove(&id),
        };
    }

    /// The fields of a key from `start` to before `end`, in order.
    pub(super) fn scan(&self, state: u32, key: &[u8], start: &[u8], end: Option<&[u8]>) -> Vec<(&[u8], &[u8])> {
        let rows = self.rows.range((state, key.to_vec(), start.to_vec())..);
        let of_key = rows.take_while(|((row_state, row_key, field), _)| {
            *row_state == state && row_key == key && end.is_none_or(|end| field.as_slice() < end)
        });
        of_key.map(|((_, _, field), (_, value))| (field.as_slice(), value.as_slice())).collect()
    }

    /// Drops what a state's TTL says is gone.
    pub(super) fn expire(&mut self, states: &[StateDecl], watermark: Timestamp) {
        self.rows.retain(|(state, _, _), (written, _)| {
            let ttl = states.get(*state as usize).and_then(|state| state.ttl_ms);
            let expires = ttl.map(|ttl| written.as_millis().saturating_add(i64::try_from(ttl).unwrap_or(i64::MAX)));
            expires.is_none_or(|expires| watermark.as_millis() < expires)
        });
    }
}
