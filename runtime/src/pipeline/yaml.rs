//! A YAML document as a tree whose nodes know their places.
//!
//! YAML 1.2 with its core schema, one document, anchors, aliases and the merge key `<<`; everything that a file could
//! blow up with is bounded.

use std::collections::{HashMap, hash_map::Entry};

use granit_parser::{Event, Marker, Parser, ScalarStyle, Span, StrInput, Tag, options};

use super::{
    error::{Document, Kind, Place, Report, Reported},
    variable::{self, Lookup},
};

mod advice;
mod scalar;

pub(super) use scalar::{Plain, Resolved, Scalar, Style};

/// Deepest nesting of mappings and lists.
const DEEPEST: usize = 64;

/// Most nodes of a document, those behind anchors and aliases counted each time.
const MOST_NODES: usize = 50_000;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

/// What a [`Node`] holds.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    /// Pairs in the order of the file, no two with the same key.
    Map(Vec<(Key, Node)>),
}

/// The key of a mapping.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) place: Place,
    pub(super) text: String,
}

impl Node {
    /// What to call the value in a message.
    pub(super) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Scalar(scalar) => scalar.kind(),
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// How many lists and mappings are within each other at the most.
    fn height(&self) -> usize {
        match &self.value {
            Value::Scalar(_) => 0,
            Value::List(nodes) => 1 + nodes.iter().map(Self::height).max().unwrap_or(0),
            Value::Map(pairs) => 1 + pairs.iter().map(|(_, node)| node.height()).max().unwrap_or(0),
        }
    }

    /// The value of `key` in a mapping.
    pub(super) fn get(&self, key: &str) -> Option<(&Key, &Node)> {
        let Value::Map(pairs) = &self.value else { return None };
        pairs.iter().find(|(k, _)| k.text == key).map(|(k, v)| (k, v))
    }
}

/// Reads the only document of `document`, with variables filled in.
pub(super) fn read(document: &Document, lookup: &Lookup<'_>, report: &Report) -> Result<Node, Reported> {
    let options = options! {
        emit_comments: false,
        flow_nesting_limit: DEEPEST,
        block_nesting_limit: DEEPEST,
    };
    let parser = Parser::new_from_str_with_options(&document.text, options);
    let reader = Reader { parser, text: &document.text, lookup, report, anchors: HashMap::new(), nodes: 0 };
    reader.document()
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    text: &'a str,
    lookup: &'a Lookup<'a>,
    report: &'a Report,
    /// Whole nodes by the number of their anchor, with how many nodes they consist of.
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
}

impl<'a> Reader<'a> {
    fn document(mut self) -> Result<Node, Reported> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => break,
                Event::DocumentStart(..) if root.is_some() => {
                    let message = "a second document begins here; a pipeline file holds one: make it a file of its own";
                    return Err(self.fail(place(&span), message));
                }
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                event => root = Some(self.node(event, span, 0)?),
            }
        }
        let nothing =
            |node: &Node| matches!(&node.value, Value::Scalar(s) if s.text.is_empty() && s.style == Style::Plain);
        root.filter(|node| !nothing(node)).ok_or_else(|| {
            let message = "the file is empty; a pipeline begins with `format-version: 1` and `name: …`";
            self.report.push(Kind::Syntax, None, message)
        })
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Reported> {
        let here = place(&span);
        let before = self.nodes;
        self.count(1, here)?;
        if depth > DEEPEST {
            return Err(self.too_deep(here));
        }
        let (anchor, value) = match event {
            Event::Alias(id) => return self.alias(id, here, depth),
            Event::Scalar(text, style, anchor, tag) => {
                let text_tag = self.check_tag(tag.as_deref(), here)?;
                let plain = style == ScalarStyle::Plain && !text_tag;
                (anchor, Value::Scalar(self.scalar(text.into_owned(), plain, here)?))
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.check_tag(tag.as_deref(), here)?;
                (anchor, self.list(depth)?)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.check_tag(tag.as_deref(), here)?;
                (anchor, self.map(depth)?)
            }
            _ => return Err(self.fail(here, "a value is missing here")),
        };
        let node = Node { place: here, value };
        if anchor > 0 {
            let size = self.nodes - before;
            self.count(size, here)?;
            self.anchors.insert(anchor, (node.clone(), size));
        }
        Ok(node)
    }

    fn alias(&mut self, id: usize, here: Place, depth: usize) -> Result<Node, Reported> {
        let Some((node, size)) = self.anchors.get(&id) else {
            return Err(self.fail(here, "this alias stands within its own anchor"));
        };
        if depth + node.height() > DEEPEST {
            return Err(self.too_deep(here));
        }
        let (node, size) = (node.clone(), *size);
        self.count(size, here).map(|()| node)
    }

    fn too_deep(&self, here: Place) -> Reported {
        self.fail(here, format!("mappings and lists are nested more than {DEEPEST} deep"))
    }

    fn list(&mut self, depth: usize) -> Result<Value, Reported> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok(Value::List(items));
            }
            items.push(self.node(event, span, depth + 1)?);
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, Reported> {
        let mut pairs: Vec<(Key, Node)> = Vec::new();
        let mut lines: HashMap<String, usize> = HashMap::new();
        let mut merged = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                break;
            }
            let (Key { place, text }, style) = self.key(event, &span)?;
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            if text == "<<" && style == Style::Plain {
                self.merge(value, &mut merged)?;
            } else if let Some(first) = lines.get(&text) {
                let message = format!("`{text}` is given twice; it is first on line {first}");
                self.report.at(Kind::Key, place, message);
            } else {
                lines.insert(text.clone(), place.line);
                pairs.push((Key { place, text }, value));
            }
        }
        for (key, value) in merged {
            if let Entry::Vacant(entry) = lines.entry(key.text.clone()) {
                entry.insert(key.place.line);
                pairs.push((key, value));
            }
        }
        Ok(Value::Map(pairs))
    }

    /// A key, whose variables are not filled in.
    fn key(&mut self, event: Event<'a>, span: &Span) -> Result<(Key, Style), Reported> {
        let place = place(span);
        self.count(1, place)?;
        let kind = match event {
            Event::Scalar(text, style, 0, tag) => {
                let text_tag = self.check_tag(tag.as_deref(), place)?;
                let style = if style == ScalarStyle::Plain && !text_tag { Style::Plain } else { Style::Quoted };
                return Ok((Key { place, text: text.into_owned() }, style));
            }
            Event::Scalar(..) => "an anchor",
            Event::Alias(_) => "an alias",
            Event::SequenceStart(..) => "a list",
            _ => "a mapping",
        };
        Err(self.fail(place, format!("{kind} cannot be a key here; keys are text")))
    }

    /// Takes the pairs of the mappings behind `<<`, of which the first one counts where they share a key.
    fn merge(&self, from: Node, merged: &mut Vec<(Key, Node)>) -> Result<(), Reported> {
        match from.value {
            Value::Map(pairs) => merged.extend(pairs),
            Value::List(nodes) => {
                for node in nodes {
                    let Value::Map(pairs) = node.value else {
                        return Err(self.fail(node.place, format!("`<<` takes mappings, found {}", node.kind())));
                    };
                    merged.extend(pairs);
                }
            }
            Value::Scalar(_) => {
                return Err(self.fail(from.place, format!("`<<` takes a mapping, found {}", from.kind())));
            }
        }
        Ok(())
    }

    /// A scalar with its variables filled in.
    fn scalar(&self, text: String, plain: bool, here: Place) -> Result<Scalar, Reported> {
        let style = if plain { Style::Plain } else { Style::Quoted };
        match variable::fill(&text, self.lookup) {
            Ok(None) => Ok(Scalar { text, style, written: None }),
            Ok(Some(filled)) => {
                for (value, name) in &filled.values {
                    self.report.mask(value, name);
                }
                Ok(Scalar { text: filled.text, style: Style::Filled, written: Some(text.into()) })
            }
            Err(message) => Err(self.report.at(Kind::Variable, here, message)),
        }
    }

    /// Whether a scalar is said to be text whatever it looks like.
    fn check_tag(&self, tag: Option<&Tag>, here: Place) -> Result<bool, Reported> {
        match tag {
            None => Ok(false),
            Some(tag) if tag.is_yaml_core_schema_tag("str") => Ok(true),
            Some(tag) => {
                let tag = tag.original();
                Err(self.fail(here, format!("the tag `{tag}` means nothing in a pipeline file; remove it")))
            }
        }
    }

    fn count(&mut self, nodes: usize, here: Place) -> Result<(), Reported> {
        self.nodes += nodes;
        if self.nodes <= MOST_NODES {
            return Ok(());
        }
        Err(self.fail(
            here,
            format!("the file has more than {MOST_NODES} values, those behind anchors and aliases counted each time"),
        ))
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Reported> {
        match self.parser.next() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => {
                let here = within(error.marker(), self.text);
                Err(self.fail(here, advice::message(&error, here, self.text)))
            }
            None => Err(self.report.push(Kind::Syntax, None, "the file ends unexpectedly")),
        }
    }

    fn fail(&self, place: Place, message: impl Into<String>) -> Reported {
        self.report.at(Kind::Syntax, place, message)
    }
}

/// The place of a span, whose length ends with the line.
fn place(span: &Span) -> Place {
    let (start, end) = (&span.start, &span.end);
    let length = if start.line() == end.line() { end.col().saturating_sub(start.col()) } else { 1 };
    Place { line: start.line(), column: start.col() + 1, length: length.max(1) }
}

/// The place of a marker, which the parser sets behind the last line where the file ends too early.
fn within(marker: &Marker, text: &str) -> Place {
    let last = text.lines().count().max(1);
    if marker.line() <= last {
        return Place { line: marker.line(), column: marker.col() + 1, length: 1 };
    }
    let line = text.lines().last().unwrap_or_default();
    Place { line: last, column: line.trim_end().chars().count() + 1, length: 1 }
}
