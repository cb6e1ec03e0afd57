//! JSON values, opened only where something looks into them: what nobody touches stays as it is written, to the last
//! digit, and costs no tree.

use std::borrow::Cow;
use std::collections::HashSet;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::pipeline::field::Field;

/// A JSON value.
#[derive(Clone, Debug)]
pub(super) enum Node<'v> {
    /// Its text, not looked into.
    Raw(Cow<'v, str>),
    /// The members of an object, in their order; no name stands twice.
    Object(Vec<(Cow<'v, str>, Node<'v>)>),
    /// The elements of a list.
    List(Vec<Node<'v>>),
}

impl<'v> Node<'v> {
    /// The value of a record, which must be JSON.
    pub(super) fn parse(value: Option<&'v [u8]>) -> Result<Self, String> {
        let value = value.ok_or("a tombstone has no value")?;
        let text = std::str::from_utf8(value).map_err(|_| "the value is not UTF-8, and so not JSON".to_owned())?;
        let raw: &RawValue = serde_json::from_str(text).map_err(|error| not_json(&error))?;
        Ok(Self::Raw(Cow::Borrowed(raw.get())))
    }

    /// A value by its JSON text.
    pub(super) fn of(json: impl Into<Cow<'v, str>>) -> Self {
        Self::Raw(json.into())
    }

    /// What it is, for a message.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Object(_) => "an object",
            Self::List(_) => "a list",
            Self::Raw(text) => match text.as_bytes().first() {
                Some(b'{') => "an object",
                Some(b'[') => "a list",
                Some(b'"') => "text",
                Some(b'n') => "null",
                Some(b't' | b'f') => "a boolean",
                _ => "a number",
            },
        }
    }

    /// Whether it is null.
    pub(super) fn is_null(&self) -> bool {
        self.kind() == "null"
    }

    /// The JSON text of a value that is neither an object nor a list; `None` for those.
    pub(super) fn scalar(&self) -> Option<&str> {
        match self {
            Self::Raw(text) if !text.starts_with(['{', '[']) => Some(text),
            _ => None,
        }
    }

    /// The text that it is, without quotes and escapes; `None` where it is something else.
    pub(super) fn text(&self) -> Result<Option<Cow<'_, str>>, String> {
        match self.scalar().filter(|json| json.starts_with('"')) {
            Some(json) => unquoted(json).map(Some),
            None => Ok(None),
        }
    }

    /// Looks into an object or a list; all else stays as it is.
    pub(super) fn open(&mut self) -> Result<&mut Self, String> {
        let opened = match self {
            Self::Raw(Cow::Borrowed(text)) => opened(text)?,
            // The members of what is owned cannot be borrowed from it.
            Self::Raw(Cow::Owned(text)) => opened(text)?.map(Node::into_owned),
            _ => None,
        };
        if let Some(opened) = opened {
            *self = opened;
        }
        Ok(self)
    }

    fn into_owned<'o>(self) -> Node<'o> {
        match self {
            Self::Raw(text) => Node::Raw(Cow::Owned(text.into_owned())),
            Self::Object(members) => {
                let owned = |(name, node): (Cow<'_, str>, Self)| (Cow::Owned(name.into_owned()), node.into_owned());
                Node::Object(members.into_iter().map(owned).collect())
            }
            Self::List(items) => Node::List(items.into_iter().map(Node::into_owned).collect()),
        }
    }

    /// The member of that name, or the element at that index.
    fn child(&mut self, token: &str) -> Result<Option<&mut Self>, String> {
        Ok(match self.open()? {
            Self::Object(members) => members.iter_mut().find(|(name, _)| name == token).map(|(_, node)| node),
            Self::List(items) => index(token).and_then(|at| items.get_mut(at)),
            Self::Raw(_) => None,
        })
    }

    /// What is at a field; `None` where nothing is.
    pub(super) fn at(&mut self, tokens: &[String]) -> Result<Option<&mut Self>, String> {
        let mut node = self;
        for token in tokens {
            match node.child(token)? {
                Some(child) => node = child,
                None => return Ok(None),
            }
        }
        Ok(Some(node))
    }

    /// What must be at a field.
    pub(super) fn need(&mut self, field: &Field) -> Result<&mut Self, String> {
        self.at(field.tokens())?.ok_or_else(|| format!("there is nothing at `{field}` of the value"))
    }

    /// Puts a value at a field. Objects on the way that are not there are made; `-`, or the index behind the last,
    /// adds to a list.
    pub(super) fn put(&mut self, field: &Field, value: Self) -> Result<(), String> {
        let mut node = self;
        for token in field.tokens() {
            let open = node.open()?;
            let kind = open.kind();
            node = match open {
                Self::Object(members) => {
                    let at = members.iter().position(|(name, _)| name == token.as_str());
                    let at = at.unwrap_or_else(|| {
                        members.push((Cow::Owned(token.clone()), Self::Object(Vec::new())));
                        members.len() - 1
                    });
                    members.get_mut(at).map(|(_, node)| node)
                }
                Self::List(items) => {
                    if token == "-" || index(token) == Some(items.len()) {
                        items.push(Self::Object(Vec::new()));
                        items.last_mut()
                    } else {
                        index(token).and_then(|at| items.get_mut(at))
                    }
                }
                Self::Raw(_) => None,
            }
            .ok_or_else(|| format!("`{field}` cannot be set: `{token}` would be in {kind}"))?;
        }
        *node = value;
        Ok(())
    }

    /// Removes what is at a field. Answers whether anything was.
    pub(super) fn remove(&mut self, tokens: &[String]) -> Result<bool, String> {
        let Some((last, way)) = tokens.split_last() else { return Ok(false) };
        let Some(parent) = self.at(way)? else { return Ok(false) };
        Ok(match parent.open()? {
            Self::Object(members) => {
                let before = members.len();
                members.retain(|(name, _)| name != last.as_str());
                members.len() < before
            }
            Self::List(items) => {
                let at = index(last).filter(|&at| at < items.len());
                at.map(|at| items.remove(at)).is_some()
            }
            Self::Raw(_) => false,
        })
    }

    /// Adds the JSON text to `out`, without spaces but those in parts that were not looked into.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Raw(text) => out.extend_from_slice(text.as_bytes()),
            Self::Object(members) => {
                out.push(b'{');
                for (at, (name, node)) in members.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    write_text(out, name);
                    out.push(b':');
                    node.write(out);
                }
                out.push(b'}');
            }
            Self::List(items) => {
                out.push(b'[');
                for (at, node) in items.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    node.write(out);
                }
                out.push(b']');
            }
        }
    }

    /// The JSON text.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }
}

/// Adds text in quotes to `out`.
pub(super) fn write_text(out: &mut Vec<u8>, text: &str) {
    // Writing to memory does not fail.
    let _ = serde_json::to_writer(out, text);
}

/// Text in quotes.
pub(super) fn quoted(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len() + 2);
    write_text(&mut out, text);
    String::from_utf8(out).unwrap_or_default()
}

fn unquoted(json: &str) -> Result<Cow<'_, str>, String> {
    serde_json::from_str(json).map(|Text(text)| text).map_err(|error| not_json(&error))
}

fn not_json(error: &serde_json::Error) -> String {
    format!("the value is not JSON: {error}")
}

/// The index that a token writes, as RFC 6901 has it.
fn index(token: &str) -> Option<usize> {
    let canonical = token == "0" || !token.starts_with(['0', '+']);
    token.parse().ok().filter(|_| canonical)
}

/// The members or elements of text that is known to be JSON; `None` where it is neither an object nor a list.
fn opened(text: &str) -> Result<Option<Node<'_>>, String> {
    match text.as_bytes().first() {
        Some(b'{') => {
            let members: Vec<_> = parts(text).map(member).collect::<Result<_, String>>()?;
            let mut seen = HashSet::with_capacity(members.len());
            if let Some((name, _)) = members.iter().find(|(name, _)| !seen.insert(name.as_ref())) {
                return Err(format!("the name {} stands twice in an object", shown(name)));
            }
            drop(seen);
            Ok(Some(Node::Object(members)))
        }
        Some(b'[') => Ok(Some(Node::List(parts(text).map(Node::of).collect()))),
        _ => Ok(None),
    }
}

/// A member by its text: name, colon, value.
fn member(text: &str) -> Result<(Cow<'_, str>, Node<'_>), String> {
    let end = string_end(text.as_bytes(), 0);
    let (name, value) = text.split_at_checked(end).unwrap_or((text, ""));
    let value = value.trim_ascii_start().strip_prefix(':').unwrap_or_default();
    Ok((unquoted(name)?, Node::of(value.trim_ascii())))
}

/// What stands between the brackets and commas of an object or a list. It looks at each byte once and keeps no stack, so
/// that a bomb of brackets costs no more than any other text.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let bytes = text.as_bytes();
    let end = bytes.len().saturating_sub(1);
    let (mut at, mut start, mut depth) = (1, 1, 0_usize);
    std::iter::from_fn(move || {
        while at < end {
            match bytes.get(at) {
                Some(b'"') => at = string_end(bytes, at) - 1,
                Some(b'[' | b'{') => depth += 1,
                Some(b']' | b'}') => depth = depth.saturating_sub(1),
                Some(b',') if depth == 0 => {
                    let part = text.get(start..at);
                    at += 1;
                    start = at;
                    return part;
                }
                _ => {}
            }
            at += 1;
        }
        let part = text.get(start..end);
        start = end;
        part
    })
    .map(str::trim_ascii)
    .take_while(|part| !part.is_empty())
}

/// The place behind a string that begins at `start`.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len().max(start + 1)
}

/// The start of a name, for a message.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 60;
    let start: String = text.chars().take(LONGEST).collect();
    if start.len() < text.len() { format!("`{start}…`") } else { format!("`{start}`") }
}

/// Text that is borrowed from the JSON where it holds no escapes.
#[derive(Deserialize)]
struct Text<'v>(#[serde(borrow)] Cow<'v, str>);

#[cfg(test)]
mod tests {
    use super::*;

    fn field(text: &str) -> Field {
        text.parse().unwrap()
    }

    fn json(node: &Node<'_>) -> String {
        String::from_utf8(node.to_bytes()).unwrap()
    }

    #[test]
    fn what_nobody_touches_stays_as_it_is() {
        let text = r#"{"b":1.50,"a":123456789012345678901234567890,"c":{"z": [ 1e3 ],"y":"\u00f6"}}"#;
        let mut node = Node::parse(Some(text.as_bytes())).unwrap();
        assert_eq!(json(&node), text);
        node.put(&field("new"), Node::of("1")).unwrap();
        assert_eq!(json(&node), text.replace("}}", "},\"new\":1}"));
    }

    #[test]
    fn values_are_put_and_removed() {
        for (value, at, expected) in [
            ("{}", "a", r#"{"a":0}"#),
            (r#"{"a":1,"b":2}"#, "a", r#"{"a":0,"b":2}"#),
            ("{}", "/a/b/c", r#"{"a":{"b":{"c":0}}}"#),
            (r#"{"l":[1,[2]]}"#, "/l/1/0", r#"{"l":[1,[0]]}"#),
            (r#"{"l":[1]}"#, "/l/-", r#"{"l":[1,0]}"#),
            (r#"{"l":[1]}"#, "/l/1", r#"{"l":[1,0]}"#),
        ] {
            let mut node = Node::parse(Some(value.as_bytes())).unwrap();
            node.put(&field(at), Node::of("0")).unwrap();
            assert_eq!(json(&node), expected);
        }
        for (at, expected) in
            [("a", r#"{"l":[1,2]}"#), ("/l/0", r#"{"a":1,"l":[2]}"#), ("/l/2", ""), ("/a/b", ""), ("", "")]
        {
            let text = r#"{"a":1,"l":[1,2]}"#;
            let mut node = Node::parse(Some(text.as_bytes())).unwrap();
            let tokens = if at.is_empty() { Vec::new() } else { field(at).tokens().to_vec() };
            assert_eq!(node.remove(&tokens).unwrap(), !expected.is_empty());
            assert_eq!(json(&node), if expected.is_empty() { text } else { expected });
        }
        for (value, at, message) in [
            ("1", "a", "`a` cannot be set: `a` would be in a number"),
            (r#"{"a":"x"}"#, "/a/b", "`/a/b` cannot be set: `b` would be in text"),
            (r#"{"l":[1]}"#, "/l/7", "`/l/7` cannot be set: `7` would be in a list"),
        ] {
            let mut node = Node::parse(Some(value.as_bytes())).unwrap();
            assert_eq!(node.put(&field(at), Node::of("0")).unwrap_err(), message);
        }
    }

    #[test]
    fn hostile_values_are_failures() {
        for (value, message) in [
            (b"\xff\xfe".to_vec(), "the value is not UTF-8, and so not JSON"),
            (b"{".to_vec(), "the value is not JSON: EOF"),
            (b"hello".to_vec(), "the value is not JSON: expected value"),
            (b"{} {}".to_vec(), "the value is not JSON: trailing characters"),
            (b"".to_vec(), "the value is not JSON: EOF"),
            ("[".repeat(1_000_000).into_bytes(), "the value is not JSON: EOF"),
        ] {
            let error = Node::parse(Some(&value)).unwrap_err();
            assert!(error.starts_with(message), "{error}");
        }
        let mut twice = Node::parse(Some(br#"{"a":1,"\u0061":2}"#)).unwrap();
        assert_eq!(twice.at(field("a").tokens()).unwrap_err(), "the name `a` stands twice in an object");
    }

    #[test]
    fn what_is_opened_has_the_members_that_a_whole_reading_finds() {
        for text in [
            "{}",
            "[]",
            "{ }",
            "[ ]",
            "[1]",
            r#"[ 1 , "a,b" , [2,3] , {"x":[4,"]"]} , null ]"#,
            r#"{"a":1}"#,
            r#" { "a\"b" : "c\\" , "{" : { "}" : [ "," ] } , "" : -1.5e3 } "#,
            "[[],[[]],{},\"\\\"\"]",
            "[\n1,\t2\r\n]",
        ] {
            check(text);
        }
    }

    /// Opens all of a text, which must say the same then.
    fn check(text: &str) {
        fn open_all(node: &mut Node<'_>) {
            match node.open().unwrap() {
                Node::Object(members) => members.iter_mut().for_each(|(_, member)| open_all(member)),
                Node::List(items) => items.iter_mut().for_each(open_all),
                Node::Raw(_) => {}
            }
        }
        let mut node = Node::parse(Some(text.as_bytes())).unwrap();
        open_all(&mut node);
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&json(&node)), read(text), "{text}");
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_json_opens_as_a_whole_reading_does(
            text in "[\\[{]{1,3}[ ,:\"\\\\\\[\\]{}a0]{0,24}",
            parts in proptest::collection::vec("\\PC{0,8}", 0..6),
        ) {
            if serde_json::from_str::<serde_json::Value>(&text).is_ok() && Node::parse(Some(text.as_bytes())).is_ok_and(|mut node| node.open().is_ok()) {
                check(&text);
            }
            let nested = serde_json::json!({ "a": parts, "b": { "c": parts, "\"": [parts] } }).to_string();
            check(&nested);
        }
    }

    #[test]
    fn deep_nesting_needs_no_stack() {
        let deep = format!("{{\"deep\":{}{},\"a\":1}}", "[".repeat(200_000), "]".repeat(200_000));
        let mut node = Node::parse(Some(deep.as_bytes())).unwrap();
        node.put(&field("a"), Node::of("2")).unwrap();
        assert_eq!(json(&node), deep.replace(":1}", ":2}"));
    }
}
