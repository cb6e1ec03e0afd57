//! Exact decimals: what JSON writes as a number, without rounding.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Add;
use std::str::FromStr;

use bigdecimal::BigDecimal;
use bigdecimal::num_bigint::{BigInt, Sign};

use super::json::{Node, shown};
use crate::pipeline::field::Field;

/// Most digits of a number, before and behind the point each: what a number may cost is bounded.
const MOST_DIGITS: i64 = 1_000;

/// Digits behind the point of a quotient that does not end.
const QUOTIENT: i64 = 20;

/// A decimal number, with as many digits behind the point as it was written with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Decimal {
    digits: BigInt,
    /// Digits behind the point.
    scale: i64,
}

impl Decimal {
    /// The number at a field, written as a JSON number, or as text that holds one.
    pub(super) fn at(node: &mut Node<'_>, field: &Field) -> Result<Self, String> {
        let found = node.need(field)?;
        let of = || if field.tokens().is_empty() { "the value".to_owned() } else { format!("`{field}`") };
        let kind = found.kind();
        let number = match (kind, found.text()?) {
            ("a number", _) => found.scalar().unwrap_or_default().parse(),
            (_, Some(text)) => text.parse(),
            _ => return Err(format!("{} is {kind}, not a number", of())),
        };
        number.map_err(|message: String| format!("{}: {message}", of()))
    }

    /// A number as [`Display`](fmt::Display) wrote it, with as many digits as it has.
    pub(super) fn kept(text: &str) -> Option<Self> {
        let (digits, scale) = text.parse::<BigDecimal>().ok()?.into_bigint_and_exponent();
        Some(Self::new(digits, scale))
    }

    /// This number divided by a count, rounded half to even where it does not end within 20 digits behind the point,
    /// or as many as the number has.
    pub(super) fn divided(&self, count: u64) -> Self {
        let scale = self.scale.max(QUOTIENT);
        let divisor = BigInt::from(count.max(1));
        let digits = rescaled(&self.digits, scale - self.scale);
        let (mut quotient, rest) = (&digits / &divisor, &digits % &divisor);
        let twice = BigInt::from_biguint(Sign::Plus, rest.magnitude() * 2u32);
        let odd = quotient.bit(0);
        if twice > divisor || (twice == divisor && odd) {
            quotient += if digits.sign() == Sign::Minus { -1 } else { 1 };
        }
        let shortest = BigDecimal::new(quotient, scale).normalized();
        let (digits, scale) = shortest.into_bigint_and_exponent();
        Self::new(digits, scale)
    }

    /// The number without a point; `None` where it has a fraction.
    pub(super) fn whole(&self) -> Option<String> {
        let divisor = BigInt::from(10).pow(u32::try_from(self.scale).unwrap_or_default());
        let none = (&self.digits % &divisor).sign() == Sign::NoSign;
        none.then(|| (&self.digits / &divisor).to_string())
    }

    fn new(digits: BigInt, scale: i64) -> Self {
        if scale >= 0 { Self { digits, scale } } else { Self { digits: rescaled(&digits, -scale), scale: 0 } }
    }
}

/// `digits` with zeros behind them.
fn rescaled(digits: &BigInt, zeros: i64) -> BigInt {
    digits * BigInt::from(10).pow(u32::try_from(zeros).unwrap_or_default())
}

impl FromStr for Decimal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{} is not a number", shown(text));
        let large = || format!("the number {} has more than {MOST_DIGITS} digits", shown(text));
        if !is_number(text) {
            return Err(wrong());
        }
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let exponent: i64 = exponent.parse().map_err(|_| large())?;
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let (whole, fraction) = (whole.len() as i64, fraction.len() as i64);
        let (before, behind) = (whole.saturating_add(exponent), fraction.saturating_sub(exponent));
        if [whole, fraction, before, behind].iter().any(|&digits| digits > MOST_DIGITS) {
            return Err(large());
        }
        let number: BigDecimal = text.parse().map_err(|_| wrong())?;
        let (digits, scale) = number.into_bigint_and_exponent();
        Ok(Self::new(digits, scale))
    }
}

/// Whether text is a number as JSON writes them.
pub(super) fn is_number(text: &str) -> bool {
    text.starts_with(|c: char| c == '-' || c.is_ascii_digit())
        && text.ends_with(|c: char| c.is_ascii_digit())
        && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

impl Add for &Decimal {
    type Output = Decimal;

    fn add(self, other: Self) -> Decimal {
        let scale = self.scale.max(other.scale);
        let digits = rescaled(&self.digits, scale - self.scale) + rescaled(&other.digits, scale - other.scale);
        Decimal { digits, scale }
    }
}

impl Ord for Decimal {
    /// By value: 1.5 and 1.50 are equal here.
    fn cmp(&self, other: &Self) -> Ordering {
        let scale = self.scale.max(other.scale);
        rescaled(&self.digits, scale - self.scale).cmp(&rescaled(&other.digits, scale - other.scale))
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BigDecimal::new(self.digits.clone(), self.scale).to_plain_string())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn numbers_are_read_and_written_plainly() {
        for (text, written) in [
            ("0", "0"),
            ("-0", "0"),
            ("1.50", "1.50"),
            ("-0.001", "-0.001"),
            ("1e3", "1000"),
            ("1.5E-3", "0.0015"),
            ("12.5e1", "125"),
            ("123456789012345678901234567890.123456789", "123456789012345678901234567890.123456789"),
        ] {
            assert_eq!(decimal(text).to_string(), written);
        }
        let longest = "9".repeat(1_000);
        assert_eq!(decimal(&longest).to_string(), longest);
    }

    #[test]
    fn what_is_no_number_or_a_huge_one_is_refused() {
        for text in ["", "x", "1.", ".5", "01", "+1", "1_000", "NaN", "Infinity", "0x1", " 1", "1 ", "[1]", "--1"] {
            assert!(text.parse::<Decimal>().unwrap_err().ends_with("is not a number"), "{text}");
        }
        let long = "1".repeat(1_000_000);
        for text in ["1e1000", "1e-1001", "1e999999999999999999999", "1e-9223372036854775808", "0e5000", &long] {
            assert!(text.parse::<Decimal>().unwrap_err().ends_with("has more than 1000 digits"), "{text:.40}");
        }
    }

    #[test]
    fn quotients_end_or_are_rounded_half_to_even() {
        for (sum, count, expected) in [
            ("10", 4, "2.5"),
            ("10", 5, "2"),
            ("1", 3, "0.33333333333333333333"),
            ("-2", 3, "-0.66666666666666666667"),
            ("0.00000000000000000001", 2, "0"),
            ("0.00000000000000000003", 2, "0.00000000000000000002"),
            ("-0.00000000000000000003", 2, "-0.00000000000000000002"),
            ("3000", 3, "1000"),
        ] {
            assert_eq!(decimal(sum).divided(count).to_string(), expected);
        }
    }

    /// A number by its digits and how many of them are behind the point.
    fn plain(digits: i128, scale: usize) -> String {
        let sign = if digits < 0 { "-" } else { "" };
        let text = format!("{:0width$}", digits.unsigned_abs(), width = scale + 1);
        let (whole, fraction) = text.split_at(text.len() - scale);
        if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
    }

    prop_compose! {
        fn number()(digits in -1_000_000_000_000_000_i128..1_000_000_000_000_000, scale in 0_usize..18) -> (i128, usize) {
            (digits, scale)
        }
    }

    proptest! {
        #[test]
        fn sums_are_exact_and_do_not_depend_on_the_order(
            numbers in prop::collection::vec(number(), 1..20),
            turn in 0_usize..20,
        ) {
            let longest = numbers.iter().map(|(_, scale)| *scale).max().unwrap();
            let total: i128 = numbers.iter().map(|(digits, scale)| digits * 10_i128.pow((longest - scale) as u32)).sum();
            let mut turned = numbers.clone();
            turned.rotate_left(turn % numbers.len());
            for numbers in [numbers, turned] {
                let mut sum = decimal("0");
                for (digits, scale) in numbers {
                    sum = &sum + &decimal(&plain(digits, scale));
                }
                prop_assert_eq!(sum.to_string(), plain(total, longest));
            }
        }

        #[test]
        fn numbers_are_ordered_by_value(a in number(), b in number()) {
            let value = |(digits, scale): (i128, usize)| digits * 10_i128.pow(18 - scale as u32);
            let of = |(digits, scale)| decimal(&plain(digits, scale));
            prop_assert_eq!(of(a).cmp(&of(b)), value(a).cmp(&value(b)));
        }

        #[test]
        fn what_is_written_reads_the_same((digits, scale) in number()) {
            let once = decimal(&plain(digits, scale));
            prop_assert_eq!(once.to_string(), plain(digits, scale));
            prop_assert_eq!(decimal(&once.to_string()), once);
        }
    }
}
