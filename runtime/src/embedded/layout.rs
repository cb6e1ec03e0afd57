//! Keys and values as bytes; the table is at the head of the module above.

use wasmill_core::record::{Epoch, Offset, Partition};
use wasmill_core::task::row::TaskRow;

use super::catalog::{Extent, Kind, Wear};

pub(super) const ID: &[u8] = b"I";
pub(super) const COMMIT: &[u8] = b"C";
pub(super) const TOPIC: u8 = b'T';
pub(super) const EXTENT: u8 = b'E';
const ROW: u8 = b'R';

/// A partition of a topic, as keys begin with it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct Place {
    pub(super) topic: u32,
    pub(super) partition: Partition,
}

impl Place {
    pub(super) fn bytes(self) -> [u8; 8] {
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&self.topic.to_be_bytes());
        bytes[4..].copy_from_slice(&self.partition.0.to_be_bytes());
        bytes
    }

    pub(super) fn record(self, offset: Offset) -> [u8; 16] {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&self.bytes());
        key[8..].copy_from_slice(&offset.0.to_be_bytes());
        key
    }

    pub(super) fn extent(self) -> [u8; 9] {
        let mut key = [EXTENT; 9];
        key[1..].copy_from_slice(&self.bytes());
        key
    }
}

pub(super) fn offset_of(record_key: &[u8]) -> Option<Offset> {
    record_key.get(8..).and_then(decode_u64).map(|offset| Offset(offset as i64))
}

pub(super) fn place_of(extent_key: &[u8]) -> Option<Place> {
    let (topic, partition) = extent_key.get(1..)?.split_first_chunk::<4>()?;
    let partition = Partition(u32::from_be_bytes(partition.try_into().ok()?));
    Some(Place { topic: u32::from_be_bytes(*topic), partition })
}

pub(super) fn decode_u64(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

pub(super) fn encode_extent(extent: Extent) -> [u8; 48] {
    let Extent { start, end, wear: Wear { cleaned, forgotten, clean, dirty } } = extent;
    let numbers = [start.0 as u64, end.0 as u64, cleaned.0 as u64, forgotten.0 as u64, clean, dirty];
    let mut bytes = [0; 48];
    for (to, number) in bytes.chunks_exact_mut(8).zip(numbers) {
        to.copy_from_slice(&number.to_be_bytes());
    }
    bytes
}

pub(super) fn decode_extent(bytes: &[u8]) -> Option<Extent> {
    let numbers: Vec<_> = bytes.chunks(8).map(decode_u64).collect::<Option<_>>()?;
    let [start, end, cleaned, forgotten, clean, dirty] = numbers.try_into().ok()?;
    let [start, end, cleaned, forgotten] = [start, end, cleaned, forgotten].map(|offset| Offset(offset as i64));
    (start <= end && forgotten <= cleaned && cleaned <= end).then_some(Extent {
        start,
        end,
        wear: Wear { cleaned, forgotten, clean, dirty },
    })
}

pub(super) fn topic_key(topic: u32) -> [u8; 5] {
    let mut key = [TOPIC; 5];
    key[1..].copy_from_slice(&topic.to_be_bytes());
    key
}

pub(super) fn encode_topic(name: &str, kind: Kind, partitions: u32) -> Vec<u8> {
    [&[u8::from(kind == Kind::Changelog)][..], &partitions.to_be_bytes(), name.as_bytes()].concat()
}

pub(super) fn decode_topic(key: &[u8], bytes: &[u8]) -> Option<(u32, String, Kind, u32)> {
    let topic = u32::from_be_bytes(key.get(1..)?.try_into().ok()?);
    let (kind, rest) = bytes.split_first()?;
    let kind = match kind {
        0 => Kind::Records,
        1 => Kind::Changelog,
        _ => return None,
    };
    let (partitions, name) = rest.split_first_chunk::<4>()?;
    let name = String::from_utf8(name.to_vec()).ok()?;
    Some((topic, name, kind, u32::from_be_bytes(*partitions)))
}

pub(super) fn row_key(tasks: &str, partition: Partition) -> Vec<u8> {
    [&[ROW], tasks.as_bytes(), &[0], &partition.0.to_be_bytes()].concat()
}

pub(super) fn encode_row(row: &TaskRow) -> Vec<u8> {
    [&row.epoch.0.to_be_bytes()[..], &row.encode()].concat()
}

pub(super) fn decode_row(bytes: &[u8]) -> Option<TaskRow> {
    let (epoch, row) = bytes.split_first_chunk::<8>()?;
    TaskRow::decode(Epoch(u64::from_be_bytes(*epoch)), row)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_sort_as_what_they_stand_for(a: (u32, u32, u32), b: (u32, u32, u32)) {
            let key = |(topic, partition, offset): (u32, u32, u32)| {
                Place { topic, partition: Partition(partition) }.record(Offset(i64::from(offset)))
            };
            prop_assert_eq!(key(a).cmp(&key(b)), a.cmp(&b));
        }
    }
}
