//! JSON pointers as of RFC 6901.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

/// A JSON pointer: `/shop`, `/items/0/id`; the empty text is the whole value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pointer {
    text: String,
    tokens: Vec<String>,
}

impl Pointer {
    /// The unescaped names and indexes that lead to the value.
    pub fn tokens(&self) -> &[String] {
        &self.tokens
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Pointer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("`{text}` is not a JSON pointer: {what}");
        let tokens = match text.strip_prefix('/') {
            None if text.is_empty() => Vec::new(),
            None => return Err(wrong(&format!("it must begin with `/`, as `/{text}` does"))),
            Some(path) => path
                .split('/')
                .map(unescape)
                .collect::<Option<_>>()
                .ok_or_else(|| wrong("`~` must be written `~0`, and `/` in a name `~1`"))?,
        };
        Ok(Self { text: text.to_owned(), tokens })
    }
}

/// The name or index that `token` writes; `None` where a `~` is not followed by 0 or 1.
fn unescape(token: &str) -> Option<String> {
    let mut plain = String::with_capacity(token.len());
    let mut chars = token.chars();
    while let Some(c) = chars.next() {
        plain.push(match c {
            '~' => match chars.next()? {
                '0' => '~',
                '1' => '/',
                _ => return None,
            },
            c => c,
        });
    }
    Some(plain)
}

impl<'de> Deserialize<'de> for Pointer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Pointer {
    fn schema_name() -> Cow<'static, str> {
        "Pointer".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A JSON pointer (RFC 6901) into a record's value.",
            "type": "string",
            "format": "json-pointer",
            "examples": ["/shop", "/items/0/id"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_split_and_unescaped() {
        for (text, tokens) in [
            ("", &[] as &[&str]),
            ("/", &[""]),
            ("/a", &["a"]),
            ("/a/0//b", &["a", "0", "", "b"]),
            ("/~0~1/~01", &["~/", "~1"]),
        ] {
            let pointer: Pointer = text.parse().unwrap();
            assert_eq!(pointer.tokens(), tokens, "{text}");
            assert_eq!(pointer.to_string(), text);
        }
    }

    #[test]
    fn what_is_not_a_pointer_is_refused() {
        for (text, message) in [
            ("shop", "`shop` is not a JSON pointer: it must begin with `/`, as `/shop` does"),
            ("/a~", "`/a~` is not a JSON pointer: `~` must be written `~0`, and `/` in a name `~1`"),
            ("/~2", "`/~2` is not a JSON pointer: `~` must be written `~0`, and `/` in a name `~1`"),
        ] {
            assert_eq!(text.parse::<Pointer>(), Err(message.to_owned()));
        }
    }
}
