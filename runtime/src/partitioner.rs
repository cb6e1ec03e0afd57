//! Which partition a key belongs to: murmur2, as Java's default partitioner has it, so that topics are co-partitioned
//! with everybody else's.

use wasmill_core::record::Partition;

const SEED: u32 = 0x9747_b28c;
const MIX: u32 = 0x5bd1_e995;

/// The partition of a key in a topic of so many partitions; the first if there are none.
pub fn partition(key: &[u8], partitions: u32) -> Partition {
    Partition((murmur2(key) & 0x7fff_ffff).checked_rem(partitions).unwrap_or(0))
}

/// Kafka's 32-bit murmur2.
fn murmur2(bytes: &[u8]) -> u32 {
    let mut hash = SEED ^ bytes.len() as u32;
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        let mut mixed = u32::from_le_bytes(*word).wrapping_mul(MIX);
        mixed ^= mixed >> 24;
        hash = hash.wrapping_mul(MIX) ^ mixed.wrapping_mul(MIX);
    }
    if !rest.is_empty() {
        for (index, &byte) in rest.iter().enumerate() {
            hash ^= u32::from(byte) << (8 * index);
        }
        hash = hash.wrapping_mul(MIX);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MIX);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of Kafka's own `UtilsTest.testMurmur2`.
    #[test]
    fn hashes_are_those_of_kafka() {
        #[rustfmt::skip]
        let table = [
            ("21",                         -973_932_308),
            ("foobar",                     -790_332_482),
            ("a-little-bit-long-string",   -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc",                        479_470_107),
        ];
        for (key, hash) in table {
            assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
        }
    }

    #[test]
    fn a_partition_is_one_of_those_there_are() {
        assert_eq!(partition(b"abc", 4), Partition(479_470_107 % 4));
        assert_eq!(partition(b"21", 7), Partition((-973_932_308_i32 & i32::MAX) as u32 % 7));
        assert_eq!(partition(b"abc", 0), Partition(0));
    }
}
