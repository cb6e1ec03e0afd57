//! What tells two results apart: which records there are, and in which order each key has its own.

use std::hash::{DefaultHasher, Hash, Hasher};

use hashbrown::HashMap;
use serde_json::{Value, json};

#[derive(Default)]
pub struct Digest {
    records: u64,
    /// A sum over the records, whatever their order.
    all: u64,
    /// For each key what its records come to, one after the other.
    keys: HashMap<Vec<u8>, u64>,
}

impl Digest {
    pub fn add(&mut self, key: &[u8], value: &[u8]) {
        let record = hash((key, value));
        self.records += 1;
        self.all = self.all.wrapping_add(record);
        let before = self.keys.entry_ref(key).or_insert(0);
        *before = hash((*before, record));
    }

    pub fn summary(&self) -> Value {
        let ordered = self.keys.values().fold(0, |sum: u64, &key| sum.wrapping_add(key));
        let (all, ordered) = (format!("{:016x}", self.all), format!("{ordered:016x}"));
        json!({"records": self.records, "keys": self.keys.len(), "all": all, "ordered": ordered})
    }
}

fn hash(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(records: &[(&str, &str)]) -> Value {
        let mut digest = Digest::default();
        records.iter().for_each(|(key, value)| digest.add(key.as_bytes(), value.as_bytes()));
        digest.summary()
    }

    #[test]
    fn the_order_of_a_key_counts_and_that_between_keys_does_not() {
        let right = digest(&[("a", "1"), ("b", "1"), ("a", "2")]);
        assert_eq!(right, digest(&[("a", "1"), ("a", "2"), ("b", "1")]));
        assert_ne!(right, digest(&[("a", "2"), ("b", "1"), ("a", "1")]));
    }

    #[test]
    fn a_record_too_many_too_few_or_of_another_key_is_seen() {
        let right = digest(&[("a", "1"), ("b", "2")]);
        assert_ne!(right, digest(&[("a", "1"), ("b", "2"), ("b", "2")]));
        assert_ne!(right, digest(&[("a", "1")]));
        assert_ne!(right, digest(&[("b", "1"), ("a", "2")]));
    }
}
