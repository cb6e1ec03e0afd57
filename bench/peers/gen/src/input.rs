//! Inputs, each a function of its seed.
//!
//! - amounts: the key is a `u64`, drawn evenly; the value an amount, an `i64`, and behind it 92 lower-case letters. Numbers
//!   are big-endian.
//! - lines: no key; the value is eight words, drawn from a vocabulary by Zipf's law.

use std::fmt::Write;

use anyhow::{Context, Result};
use serde::Deserialize;

/// Milliseconds since 1970 of the first record.
const BEGIN: i64 = 1_760_000_000_000;
const RECORDS_A_MILLISECOND: u64 = 100;
const LETTERS: usize = 92;
const WORDS_A_LINE: usize = 8;

/// Amounts lie between its negative and itself.
const LARGEST_AMOUNT: u64 = 1000;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    kind: Kind,
    records: u64,
    /// Distinct keys to draw from; of lines, the words of the vocabulary.
    keys: u64,
    seed: u64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Amounts,
    Lines,
}

pub struct Record<'a> {
    pub key: Option<&'a [u8]>,
    pub value: &'a [u8],
    pub timestamp: i64,
}

impl Input {
    /// Visits the records in order.
    pub fn each(&self, visit: impl FnMut(Record<'_>) -> Result<()>) -> Result<()> {
        match self.kind {
            Kind::Amounts => self.amounts(visit),
            Kind::Lines => self.lines(visit),
        }
    }

    fn amounts(&self, mut visit: impl FnMut(Record<'_>) -> Result<()>) -> Result<()> {
        let mut draws = Draws(self.seed);
        let letters: Vec<u8> = (0..1 << 16).map(|_| b'a' + draws.below(26) as u8).collect();
        let mut value = Vec::with_capacity(8 + LETTERS);
        for number in 0..self.records {
            let key = draws.below(self.keys).to_be_bytes();
            let begin = draws.below((letters.len() - LETTERS) as u64) as usize;
            value.clear();
            value.extend_from_slice(&draws.amount().to_be_bytes());
            value.extend_from_slice(&letters[begin..begin + LETTERS]);
            visit(Record { key: Some(&key), value: &value, timestamp: timestamp(number) })?;
        }
        Ok(())
    }

    fn lines(&self, mut visit: impl FnMut(Record<'_>) -> Result<()>) -> Result<()> {
        let mut draws = Draws(self.seed);
        let ranks = 1..=self.keys;
        let weights: Vec<f64> = ranks
            .scan(0.0, |sum, rank| {
                *sum += 1.0 / rank as f64;
                Some(*sum)
            })
            .collect();
        let total = *weights.last().context("a vocabulary has a word")?;
        let mut line = String::new();
        for number in 0..self.records {
            line.clear();
            for word in 0..WORDS_A_LINE {
                let at = draws.part() * total;
                let rank = weights.partition_point(|&weight| weight <= at);
                write!(line, "{}w{rank:06}", if word == 0 { "" } else { " " })?;
            }
            visit(Record { key: None, value: line.as_bytes(), timestamp: timestamp(number) })?;
        }
        Ok(())
    }
}

fn timestamp(number: u64) -> i64 {
    BEGIN + (number / RECORDS_A_MILLISECOND) as i64
}

/// A sequence of random numbers: `SplitMix64`.
pub struct Draws(pub u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let first = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let second = (first ^ (first >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        second ^ (second >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(limit)) >> 64) as u64
    }

    pub fn amount(&mut self) -> i64 {
        self.below(2 * LARGEST_AMOUNT + 1) as i64 - LARGEST_AMOUNT as i64
    }

    /// At least 0 and less than 1.
    fn part(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}
