//! Expressions over records, in CEL: no effects, no clock, no loop that could go on for ever.
//!
//! An expression sees the fields at the top of the value by their names, the whole value as `value`, the record's key as
//! `key` and its time as `timestamp`. Where it only copies a field, the field's JSON is copied as it is, to the last
//! digit; what it computes with are CEL's 64-bit numbers.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue, operators};
use cel::objects::Key;
use cel::{Context, Env, ExecutionError, Value};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use wasmill_core::batch::Message;

use super::json::{Node, quoted, shown, write_text};

/// Longest expression in bytes, and deepest: reading and running one needs stack.
const LONGEST: usize = 10_000;
const DEEPEST: usize = 100;

/// Deepest value that is given to an expression, and deepest that comes of one.
const DEEPEST_VALUE: usize = 64;

/// Steps that the loops of an expression may take with one record, at most.
const MOST_STEPS: u64 = 10_000_000;

/// A CEL expression that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression(String);

impl Expression {
    /// What runs it.
    pub(super) fn program(&self) -> Program {
        // It was read once, when the file was.
        Program::new(compile(&self.0).unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for Expression {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        compile(&text).map_err(de::Error::custom)?;
        Ok(Self(text.into_owned()))
    }
}

impl JsonSchema for Expression {
    fn schema_name() -> Cow<'static, str> {
        "Expression".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A CEL expression over the fields of the value, `value`, `key` and `timestamp`.",
            "type": "string",
            "minLength": 1,
            "examples": ["amount > 100", "has(value.shop) && shop.startsWith('a')"],
        })
    }
}

fn compile(text: &str) -> Result<IdedExpr, String> {
    if text.len() > LONGEST {
        return Err(format!("the expression is longer than {LONGEST} bytes"));
    }
    let compiled = catch_unwind(|| Env::stdlib().compile(text).map_err(|errors| told(&errors)));
    let program = compiled.unwrap_or_else(|_| Err("it cannot be read".to_owned()));
    let program = program.map_err(|why| format!("this is not a CEL expression: {why}"))?;
    let expression = program.expression().clone();
    if depth(&expression) > DEEPEST {
        return Err(format!("the expression is nested more than {DEEPEST} deep; make several operators of it"));
    }
    Ok(expression)
}

/// The first error of the parser, on one line.
fn told(errors: &cel::ParseErrors) -> String {
    let error = errors.errors.first();
    let error = error.map(|error| match error.pos {
        (1, column) if column > 0 => format!("{} (at its character {column})", error.msg),
        _ => error.msg.clone(),
    });
    let text = error.unwrap_or_default().replace('\n', " ").replace("Syntax error: ", "").replace("<EOF>", "its end");
    // What else could stand there are names from the grammar.
    match text.split_once(" expecting ") {
        Some((found, rest)) => {
            format!("{found}{}", rest.rfind(" (at ").and_then(|at| rest.get(at..)).unwrap_or_default())
        }
        None => text,
    }
}

/// The expressions right below one.
fn children(expression: &IdedExpr) -> Vec<&IdedExpr> {
    let entry = |entry| match entry {
        &EntryExpr::StructField(ref field) => vec![&field.value],
        &EntryExpr::MapEntry(ref entry) => vec![&entry.key, &entry.value],
    };
    match &expression.expr {
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => Vec::new(),
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).collect(),
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Map(map) => map.entries.iter().flat_map(|ided| entry(&ided.expr)).collect(),
        Expr::Struct(fields) => fields.entries.iter().flat_map(|ided| entry(&ided.expr)).collect(),
        Expr::Select(select) => vec![&select.operand],
        Expr::Comprehension(of) => {
            vec![&of.iter_range, &of.accu_init, &of.loop_cond, &of.loop_step, &of.result]
        }
    }
}

/// How deep an expression is nested. It needs no stack itself.
fn depth(expression: &IdedExpr) -> usize {
    let mut deepest = 0;
    let mut left = vec![(expression, 1)];
    while let Some((expression, depth)) = left.pop() {
        deepest = deepest.max(depth);
        left.extend(children(expression).into_iter().map(|child| (child, depth + 1)));
    }
    deepest
}

/// An expression, ready to be run.
pub(super) struct Program {
    expression: IdedExpr,
    template: Template,
    /// The names that the expression uses, and those that the computed parts of its template do.
    variables: Vec<String>,
    computed: Vec<String>,
    context: Context<'static, 'static>,
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").field("variables", &self.variables).finish_non_exhaustive()
    }
}

impl Program {
    fn new(expression: IdedExpr) -> Self {
        let template = Template::new(&expression);
        let (mut variables, mut computed) = (Vec::new(), Vec::new());
        names(&expression, &mut variables);
        template.computed(&mut computed);
        let context = Context::with_env(Arc::new(Env::stdlib()));
        Self { expression, template, variables, computed, context }
    }

    /// Whether it is true of a record.
    pub(super) fn holds(&self, value: &mut Node<'_>, message: &Message<'_>) -> Result<bool, String> {
        let run = Run::new(&self.context, &self.variables, value, message)?;
        match run.evaluate(&self.expression)? {
            Value::Bool(holds) => Ok(holds),
            other => Err(format!("the expression is {}, neither true nor false", other.type_of())),
        }
    }

    /// The JSON that it makes of a record, of `longest` bytes at most.
    pub(super) fn json(&self, value: &mut Node<'_>, message: &Message<'_>, longest: usize) -> Result<String, String> {
        let run = Run::new(&self.context, &self.computed, value, message)?;
        let mut out = Writer { out: Vec::new(), longest };
        self.template.write(&run, value, &mut out)?;
        String::from_utf8(out.out).map_err(|error| error.to_string())
    }
}

/// Adds the variables of an expression, each once.
fn names(expression: &IdedExpr, to: &mut Vec<String>) {
    to.extend(expression.references().variables().into_iter().map(str::to_owned));
    to.sort();
    to.dedup();
}

/// One run of a program.
struct Run<'p> {
    context: Context<'p, 'static>,
    /// Bytes of JSON behind each variable.
    sizes: HashMap<&'p str, u64>,
}

impl<'p> Run<'p> {
    fn new(
        context: &'p Context<'static, 'static>,
        variables: &'p [String],
        value: &mut Node<'_>,
        message: &Message<'_>,
    ) -> Result<Self, String> {
        let mut run = Self { context: context.new_inner_scope(), sizes: HashMap::new() };
        for name in variables {
            let (variable, size) = match name.as_str() {
                "value" => (cel_value(value, 0)?, value.to_bytes().len()),
                "key" => match message.key.map(std::str::from_utf8) {
                    Some(Ok(key)) => (Value::from(key), key.len()),
                    Some(Err(_)) => return Err("the record's key is not UTF-8".to_owned()),
                    None => (Value::Null, 1),
                },
                "timestamp" => (Value::Int(message.timestamp.0), 1),
                name => {
                    let Node::Object(_) = value.open()? else { continue };
                    // It may be the variable of a loop; what is nothing at all is told by the run.
                    let Some(field) = value.at(std::slice::from_ref(&name.to_owned()))? else { continue };
                    (cel_value(field, 0)?, field.to_bytes().len())
                }
            };
            run.context.add_variable_from_value(name.as_str(), variable);
            run.sizes.insert(name, size as u64);
        }
        Ok(run)
    }

    fn evaluate(&self, expression: &IdedExpr) -> Result<Value, String> {
        if self.steps(expression, &mut Vec::new()) > MOST_STEPS {
            return Err("the value is too large for a loop within a loop of the expression".to_owned());
        }
        // A library's panic is no reason for the worker to die.
        match catch_unwind(AssertUnwindSafe(|| self.context.resolve(expression))) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(reason(&error)),
            Err(_) => Err("the expression cannot be computed".to_owned()),
        }
    }

    /// A bound of the steps and the bytes that an expression takes.
    fn steps<'e>(&self, expression: &'e IdedExpr, bound: &mut Vec<&'e str>) -> u64 {
        match &expression.expr {
            Expr::Ident(name) if bound.contains(&name.as_str()) => 1,
            Expr::Ident(name) => self.sizes.get(name.as_str()).copied().unwrap_or(1).max(1),
            Expr::Comprehension(of) => {
                let range = self.steps(&of.iter_range, bound).saturating_add(self.steps(&of.accu_init, bound));
                let before = bound.len();
                bound.extend([of.iter_var.as_str(), of.accu_var.as_str()]);
                bound.extend(of.iter_var2.as_deref());
                let step = self.steps(&of.loop_step, bound).saturating_add(self.steps(&of.loop_cond, bound));
                let result = self.steps(&of.result, bound);
                bound.truncate(before);
                range.saturating_mul(step).saturating_add(result)
            }
            _ => {
                let below = children(expression).into_iter().map(|child| self.steps(child, bound));
                below.fold(1, u64::saturating_add)
            }
        }
    }
}

/// Why an expression fails on a record, without the record in it.
fn reason(error: &ExecutionError) -> String {
    match error {
        ExecutionError::UndeclaredReference(name) => {
            format!("the value has no field `{name}`; ask for it with `has(value.{name})`")
        }
        ExecutionError::NoSuchKey(name) => format!("there is no field {}", shown(name)),
        ExecutionError::NoSuchOverload(overload) => format!("the expression does not fit the value: {overload}"),
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => "division by zero".to_owned(),
        ExecutionError::Overflow(..) => "a number passes 64 bits".to_owned(),
        other => {
            let text: String = other.to_string().chars().take(200).collect();
            format!("the expression fails: {text}")
        }
    }
}

/// A JSON value as CEL has it.
fn cel_value(node: &mut Node<'_>, depth: usize) -> Result<Value, String> {
    if depth > DEEPEST_VALUE {
        return Err(format!("the value is nested more than {DEEPEST_VALUE} deep, too deep for an expression"));
    }
    let mut opened = node.clone();
    Ok(match opened.open()? {
        Node::Object(members) => {
            let mut map = HashMap::with_capacity(members.len());
            for (name, member) in members {
                map.insert(Key::from(name.to_string()), cel_value(member, depth + 1)?);
            }
            Value::from(map)
        }
        Node::List(items) => {
            let items: Result<Vec<Value>, String> = items.iter_mut().map(|item| cel_value(item, depth + 1)).collect();
            Value::from(items?)
        }
        Node::Raw(json) => match json.as_ref() {
            "null" => Value::Null,
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            json if json.starts_with('"') => Value::from(node.text()?.unwrap_or_default().into_owned()),
            json => number(json)?,
        },
    })
}

fn number(json: &str) -> Result<Value, String> {
    let large = || format!("the number {} does not fit into 64 bits, which expressions compute with", shown(json));
    if json.contains(['.', 'e', 'E']) {
        let number = json.parse().ok().filter(|number: &f64| number.is_finite());
        return number.map(Value::Float).ok_or_else(large);
    }
    let signed = json.parse().ok().map(Value::Int);
    signed.or_else(|| json.parse().ok().map(Value::UInt)).ok_or_else(large)
}

/// How the result of an expression is made: what its text says of objects and lists is made in that order, what only
/// copies a field is copied, and all else is computed.
enum Template {
    Object(Vec<(String, Template)>),
    List(Vec<Template>),
    Copy { text: String, way: Vec<String> },
    Compute(IdedExpr),
}

impl Template {
    fn new(expression: &IdedExpr) -> Self {
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
    fn computed(&self, to: &mut Vec<String>) {
        match self {
            Self::Object(members) => members.iter().for_each(|(_, member)| member.computed(to)),
            Self::List(items) => items.iter().for_each(|item| item.computed(to)),
            Self::Copy { .. } => {}
            Self::Compute(expression) => names(expression, to),
        }
    }

    fn write(&self, run: &Run<'_>, value: &mut Node<'_>, out: &mut Writer) -> Result<(), String> {
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
struct Writer {
    out: Vec<u8>,
    longest: usize,
}

impl Writer {
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
