//! The distinct keys of a call.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::batch::Batch;
use crate::record::Timestamp;

/// The distinct keys of a call, numbered in the order in which they first come.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    table: HashTable<u32>,
    slots: Vec<Slot>,
    slot_of: Vec<u32>,
}

/// A distinct key.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    /// The record that it first comes with.
    pub first: u32,
    /// The greatest event time of its records.
    pub greatest: Timestamp,
}

const HASHER: FixedState = FixedState::with_seed(0);

impl Keys {
    /// Finds the distinct keys of records that all have one; those without are passed over.
    pub fn of(records: &Batch) -> Self {
        let mut keys = Self { slot_of: Vec::with_capacity(records.len()), ..Self::default() };
        for (message, index) in records.iter().zip(0..) {
            let key = message.key.unwrap_or_default();
            let slot = keys.slot(records, key).unwrap_or_else(|| keys.add(records, key, index));
            let greatest = &mut keys.slots[slot as usize].greatest;
            *greatest = message.timestamp.max(*greatest);
            keys.slot_of.push(slot);
        }
        keys
    }

    fn add(&mut self, records: &Batch, key: &[u8], first: u32) -> u32 {
        let slot = self.slots.len() as u32;
        self.slots.push(Slot { first, greatest: Timestamp::NONE });
        let slots = &self.slots;
        let rehash = |&slot: &u32| HASHER.hash_one(key_of(records, slots, slot));
        self.table.insert_unique(HASHER.hash_one(key), slot, rehash);
        slot
    }

    /// The slot of a key; `None` if no record of the call has it.
    pub fn slot(&self, records: &Batch, key: &[u8]) -> Option<u32> {
        self.table.find(HASHER.hash_one(key), |&slot| key_of(records, &self.slots, slot) == key).copied()
    }

    /// The slots, in order.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The slot of each record.
    pub fn slot_of(&self) -> &[u32] {
        &self.slot_of
    }
}

fn key_of<'a>(records: &'a Batch, slots: &[Slot], slot: u32) -> &'a [u8] {
    let record = slots.get(slot as usize).and_then(|slot| records.get(slot.first as usize));
    record.and_then(|record| record.key).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Message;

    #[test]
    fn each_distinct_key_has_a_slot() {
        let mut records = Batch::default();
        for (key, at) in [(b"a", 1), (b"b", 2), (b"a", 9), (b"a", 3)] {
            records.push(Message { key: Some(key), value: None, headers: None, timestamp: Timestamp(at) });
        }
        let keys = Keys::of(&records);
        assert_eq!(keys.slot_of(), [0, 1, 0, 0]);
        assert_eq!(keys.slots().iter().map(|slot| (slot.first, slot.greatest.0)).collect::<Vec<_>>(), [(0, 9), (1, 2)]);
        assert_eq!(keys.slot(&records, b"b"), Some(1));
        assert_eq!(keys.slot(&records, b"c"), None);
    }
}
