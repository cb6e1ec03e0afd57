//! Expressions over records, in CEL: no effects, no clock, no loop that could go on for ever.
//!
//! An expression sees the fields at the top of the value by their names, the whole value as `value`, the record's key as
//! `key` and its time as `timestamp`. Where it only copies a field, the field's JSON is copied as it is, to the last
//! digit; what it computes with are CEL's 64-bit numbers.

use std::borrow::Cow;
use std::fmt;
use std::panic::catch_unwind;
use std::sync::Arc;

use cel::common::ast::{EntryExpr, Expr, IdedExpr};
use cel::{Context, Env, Value};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use wasmill_core::batch::Message;

use super::json::Node;

mod run;
mod template;

use run::Run;
use template::{Template, Writer};

/// Longest expression in bytes, and deepest: reading and running one needs stack.
const LONGEST: usize = 10_000;
const DEEPEST: usize = 100;

/// Deepest value that is given to an expression, and deepest that comes of one.
const DEEPEST_VALUE: usize = 64;

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

fn entry(entry: &EntryExpr) -> Vec<&IdedExpr> {
    match entry {
        EntryExpr::StructField(field) => vec![&field.value],
        EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
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
        let mut out = Writer::new(longest);
        self.template.write(&run, value, &mut out)?;
        out.json()
    }
}

/// Adds the variables of an expression, each once.
fn names(expression: &IdedExpr, to: &mut Vec<String>) {
    to.extend(expression.references().variables().into_iter().map(str::to_owned));
    to.sort();
    to.dedup();
}
