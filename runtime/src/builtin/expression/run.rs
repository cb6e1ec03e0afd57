//! One run of an expression: the record as CEL has it, and what that may cost.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use cel::common::ast::{Expr, IdedExpr};
use cel::objects::Key;
use cel::{Context, ExecutionError, Value};
use wasmill_core::batch::Message;

use super::super::json::{Node, shown};
use super::{DEEPEST_VALUE, children};

/// Steps that the loops of an expression may take with one record, at most.
const MOST_STEPS: u64 = 10_000_000;

/// One run of a program.
pub(super) struct Run<'p> {
    context: Context<'p, 'static>,
    /// Bytes of JSON behind each variable.
    sizes: HashMap<&'p str, u64>,
}

impl<'p> Run<'p> {
    pub(super) fn new(
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

    pub(super) fn evaluate(&self, expression: &IdedExpr) -> Result<Value, String> {
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
