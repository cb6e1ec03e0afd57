//! Scalars, and what YAML's core schema makes of them.

/// A value that is neither a list nor a mapping.
#[derive(Debug, Clone)]
pub(crate) struct Scalar {
    /// The text without quotes and escapes, variables filled in.
    pub(crate) text: String,
    pub(crate) style: Style,
    /// The text before variables were filled in, where there were any.
    pub(crate) written: Option<Box<str>>,
}

/// How a scalar came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Without quotes: what it is depends on what it looks like.
    Plain,
    /// In quotes, in a block, or tagged as text.
    Quoted,
    /// With variables filled in: text, unless a number or a truth value is asked for.
    Filled,
}

/// What a scalar is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Resolved<'a> {
    Plain(Plain),
    Text(&'a str),
    /// A number that no type here holds.
    Overflow,
}

/// What a plain scalar is other than text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Plain {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
}

impl Scalar {
    /// What to call the scalar in a message; the value itself is left out, as it may be a secret.
    pub(crate) fn kind(&self) -> &'static str {
        match self.resolve() {
            Resolved::Plain(Plain::Null) => "nothing",
            Resolved::Plain(Plain::Bool(_)) => "true or false",
            Resolved::Plain(_) | Resolved::Overflow => "a number",
            Resolved::Text(_) => "text",
        }
    }

    /// What the scalar is by itself.
    pub(crate) fn resolve(&self) -> Resolved<'_> {
        if self.style == Style::Plain { self.guess() } else { Resolved::Text(&self.text) }
    }

    /// What the scalar is where a number or a truth value is asked for.
    pub(crate) fn resolve_for_number(&self) -> Resolved<'_> {
        if self.style == Style::Quoted { Resolved::Text(&self.text) } else { self.guess() }
    }

    fn guess(&self) -> Resolved<'_> {
        let text = self.text.as_str();
        let plain = match text {
            "" | "~" | "null" | "Null" | "NULL" => Plain::Null,
            "true" | "True" | "TRUE" => Plain::Bool(true),
            "false" | "False" | "FALSE" => Plain::Bool(false),
            _ => return number(text).unwrap_or(Resolved::Text(text)),
        };
        Resolved::Plain(plain)
    }
}

fn number(text: &str) -> Option<Resolved<'static>> {
    let radix = |digits: &str, radix: u32| {
        let good = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
        good.then(|| {
            u64::from_str_radix(digits, radix).map_or(Resolved::Overflow, |n| Resolved::Plain(Plain::Unsigned(n)))
        })
    };
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(digits, 8);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Some(Resolved::Overflow);
    }
    if !unsigned.is_empty() && unsigned.bytes().all(|b| b.is_ascii_digit()) {
        return Some(match (text.parse::<u64>(), text.parse::<i64>()) {
            (Ok(n), _) => Resolved::Plain(Plain::Unsigned(n)),
            (_, Ok(n)) => Resolved::Plain(Plain::Signed(n)),
            _ => Resolved::Overflow,
        });
    }
    let looks_like_one = unsigned.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'))
        && unsigned.bytes().any(|b| b.is_ascii_digit());
    let float = if looks_like_one { text.parse::<f64>().ok() } else { None }?;
    Some(if float.is_finite() { Resolved::Plain(Plain::Float(float)) } else { Resolved::Overflow })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_follow_the_core_schema() {
        use Plain::{Bool, Float, Null, Signed, Unsigned};
        for (text, expected) in [
            ("", Null),
            ("~", Null),
            ("null", Null),
            ("true", Bool(true)),
            ("False", Bool(false)),
            ("0", Unsigned(0)),
            ("+12", Unsigned(12)),
            ("007", Unsigned(7)),
            ("-12", Signed(-12)),
            ("0x1F", Unsigned(31)),
            ("0o17", Unsigned(15)),
            ("18446744073709551615", Unsigned(u64::MAX)),
            ("1.5", Float(1.5)),
            ("-.5", Float(-0.5)),
            ("1e3", Float(1000.0)),
            ("3.", Float(3.0)),
        ] {
            let scalar = Scalar { text: text.to_owned(), style: Style::Plain, written: None };
            assert_eq!(scalar.resolve(), Resolved::Plain(expected), "{text}");
        }
        for text in ["yes", "off", "5s", "1.2.3", "1-2", "0x", "0xg", "e", ".", "-", "1_000", "inf", "NaN", "+"] {
            let scalar = Scalar { text: text.to_owned(), style: Style::Plain, written: None };
            assert_eq!(scalar.resolve(), Resolved::Text(text));
        }
        for text in
            ["18446744073709551616", "-9223372036854775809", "1e999", ".inf", "-.inf", ".nan", "0xfffffffffffffffff"]
        {
            let scalar = Scalar { text: text.to_owned(), style: Style::Plain, written: None };
            assert_eq!(scalar.resolve(), Resolved::Overflow, "{text}");
        }
    }

    #[test]
    fn quoted_scalars_are_text_and_filled_ones_are_what_is_asked_for() {
        let quoted = Scalar { text: "1".to_owned(), style: Style::Quoted, written: None };
        assert_eq!((quoted.resolve(), quoted.resolve_for_number()), (Resolved::Text("1"), Resolved::Text("1")));
        let filled = Scalar { style: Style::Filled, ..quoted };
        assert_eq!(filled.resolve(), Resolved::Text("1"));
        assert_eq!(filled.resolve_for_number(), Resolved::Plain(Plain::Unsigned(1)));
    }
}
