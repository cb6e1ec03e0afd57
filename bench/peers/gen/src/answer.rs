//! The right answers, by plain arithmetic.

use anyhow::{Context, Result};
use hashbrown::HashMap;
use serde::Deserialize;

use crate::digest::Digest;
use crate::input::Input;

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    /// The letters behind each amount in upper case.
    Upper,
    /// Each word with how often it has been there.
    Words,
    /// Each key with the sum of its amounts so far.
    Sums,
}

pub fn digest(workload: Workload, input: &Input) -> Result<Digest> {
    match workload {
        Workload::Upper => upper(input),
        Workload::Words => words(input),
        Workload::Sums => sums(input),
    }
}

fn upper(input: &Input) -> Result<Digest> {
    let mut digest = Digest::default();
    input.each(|record| {
        let (amount, letters) = record.value.split_at_checked(8).context("an amount")?;
        digest.add(record.key.context("a key")?, &[amount, &letters.to_ascii_uppercase()].concat());
        Ok(())
    })?;
    Ok(digest)
}

fn words(input: &Input) -> Result<Digest> {
    let (mut digest, mut counts) = (Digest::default(), HashMap::<Vec<u8>, i64>::new());
    input.each(|record| {
        for word in record.value.split(|&byte| byte == b' ') {
            let count = counts.entry_ref(word).or_insert(0);
            *count += 1;
            digest.add(word, &count.to_be_bytes());
        }
        Ok(())
    })?;
    Ok(digest)
}

fn sums(input: &Input) -> Result<Digest> {
    let (mut digest, mut sums) = (Digest::default(), HashMap::<Vec<u8>, i64>::new());
    input.each(|record| {
        let key = record.key.context("a key")?;
        let sum = sums.entry_ref(key).or_insert(0);
        *sum += i64::from_be_bytes(*record.value.first_chunk().context("an amount")?);
        digest.add(key, &sum.to_be_bytes());
        Ok(())
    })?;
    Ok(digest)
}
