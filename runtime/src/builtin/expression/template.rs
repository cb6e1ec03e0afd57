//! How the result of an expression is written as JSON.

use cel::Value;
use cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue, operators};

use super::super::json::{Node, quoted, write_text};
use super::{DEEPEST_VALUE, Run, names};

/// How the result of an expression is made: what its text says of objects and lists is made in that order, what only
/// copies a field is copied, and all else is computed.
pub(super) enum Template {
    Object(Vec<(String, Template)>),
    List(Vec<Template>),
    Copy { text: String, way: Vec<String> },
    Compute(IdedExpr),
}

impl Template {
    pub(super) fn new(expression: &IdedExpr) -> Self {
        let compute = || Self::Compute(expression.clone());
        match &expression.expr {
            Expr::Map(map) => {
                let members = map.entries.iter().map(|entry| match &entry.expr {
                    EntryExpr::MapEntry(entry) if !entry.optional => {
                        text_literal(&entry.key).map(|name| (name.to_owned(), Self::new(&entry.value)))
                    }
                    _ => None,
                });
                let members: Option<Vec<_>> = members.collect();
                let names = |members: &[(String, Self)]| {
                    let mut names: Vec<_> = members.iter().map(|(name, _)| name.clone()).collect();
                    names.sort();
                    names.dedup();
                    names.len()
                };
                // Where a name stands twice, running it says so.
                members.filter(|members| names(members) == members.len()).map_or_else(compute, Self::Object)
            }
            Expr::List(list) if list.optional_indices.is_empty() => {
                Self::List(list.elements.iter().map(Self::new).collect())
            }
            _ => match way(expression) {
                Some(way) => Self::Copy { text: way.join("."), way },
                None => compute(),
            },
        }
    }

    /// Adds the variables of what is computed.
    pub(super) fn computed(&self, to: &mut Vec<String>) {
        match self {
            Self::Object(members) => members.iter().for_each(|(_, member)| member.computed(to)),
            Self::List(items) => items.iter().for_each(|item| item.computed(to)),
            Self::Copy { .. } => {}
            Self::Compute(expression) => names(expression, to),
        }
    }

    pub(super) fn write(&self, run: &Run<'_>, value: &mut Node<'_>, out: &mut Writer) -> Result<(), String> {
        match self {
            Self::Object(members) => {
                out.raw(b"{")?;
                for (at, (name, member)) in members.iter().enumerate() {
                    out.name(at, name)?;
                    member.write(run, value, out)?;
                }
                out.raw(b"}")
            }
            Self::List(items) => {
                out.raw(b"[")?;
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.raw(b",")?;
                    }
                    item.write(run, value, out)?;
                }
                out.raw(b"]")
            }
            Self::Copy { text, way } => {
                let tokens = if way.first().is_some_and(|first| first == "value") { way.get(1..) } else { None };
                let found = value.at(tokens.unwrap_or(way))?;
                let found = found.ok_or_else(|| format!("there is nothing at `{text}` of the value"))?;
                out.raw(&found.to_bytes())
            }
            Self::Compute(expression) => out.value(&run.evaluate(expression)?, 0),
        }
    }
}

fn text_literal(expression: &IdedExpr) -> Option<&str> {
    match &expression.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}

/// The names that an expression goes down along, if it does nothing else.
fn way(expression: &IdedExpr) -> Option<Vec<String>> {
    match &expression.expr {
        Expr::Ident(name) if matches!(name.as_str(), "key" | "timestamp") => None,
        Expr::Ident(name) => Some(vec![name.clone()]),
        Expr::Select(select) if !select.test => {
            let mut way = way(&select.operand)?;
            way.push(select.field.clone());
            Some(way)
        }
        Expr::Call(call) if call.func_name == operators::INDEX => {
            let [of, name] = call.args.as_slice() else { return None };
            let mut way = way(of)?;
            way.push(text_literal(name)?.to_owned());
            Some(way)
        }
        _ => None,
    }
}

/// JSON that stays below a size.
pub(super) struct Writer {
    out: Vec<u8>,
    longest: usize,
}

impl Writer {
    pub(super) fn new(longest: usize) -> Self {
        Self { out: Vec::new(), longest }
    }

    /// The text that was written.
    pub(super) fn json(self) -> Result<String, String> {
        String::from_utf8(self.out).map_err(|error| error.to_string())
    }

    fn raw(&mut self, bytes: &[u8]) -> Result<(), String> {
        if self.out.len() + bytes.len() > self.longest {
            return Err(format!("what the expression makes is larger than {} bytes", self.longest));
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn name(&mut self, at: usize, name: &str) -> Result<(), String> {
        let mut text = Vec::new();
        if at > 0 {
            text.push(b',');
        }
        write_text(&mut text, name);
        text.push(b':');
        self.raw(&text)
    }

    fn value(&mut self, value: &Value, depth: usize) -> Result<(), String> {
        if depth > DEEPEST_VALUE {
            return Err(format!("what the expression makes is nested more than {DEEPEST_VALUE} deep"));
        }
        match value {
            Value::Null => self.raw(b"null"),
            Value::Bool(value) => self.raw(value.to_string().as_bytes()),
            Value::Int(value) => self.raw(value.to_string().as_bytes()),
            Value::UInt(value) => self.raw(value.to_string().as_bytes()),
            Value::Float(value) if value.is_finite() => {
                self.raw(serde_json::to_string(value).map_err(|error| error.to_string())?.as_bytes())
            }
            Value::Float(value) => Err(format!("{value} cannot be written as JSON")),
            Value::String(text) => self.raw(quoted(text).as_bytes()),
            Value::List(items) => {
                self.raw(b"[")?;
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        self.raw(b",")?;
                    }
                    self.value(item, depth + 1)?;
                }
                self.raw(b"]")
            }
            Value::Map(map) => {
                // CEL's maps have no order; one by name is the same in every run.
                let mut members: Vec<_> = map.map.iter().map(|(name, member)| (name.to_string(), member)).collect();
                members.sort_by(|a, b| a.0.cmp(&b.0));
                self.raw(b"{")?;
                for (at, (name, member)) in members.into_iter().enumerate() {
                    self.name(at, &name)?;
                    self.value(member, depth + 1)?;
                }
                self.raw(b"}")
            }
            other => Err(format!("a value of type {} cannot be written as JSON", other.type_of())),
        }
    }
}
