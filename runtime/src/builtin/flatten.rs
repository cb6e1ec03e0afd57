//! `flatten`: nested objects in one.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::Deserialize;

use super::each::{Each, Out, Record};
use super::json::{Node, shown};

/// Deepest objects that are flattened.
const DEEPEST: usize = 64;

/// Makes one object of nested ones, with names such as `user.email`. Lists stay as they are.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Flatten {
    /// What stands between the parts of a name; `.` by default.
    #[serde(default)]
    pub separator: Separator,
}

/// What stands between the parts of a name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Separator(String);

impl Default for Separator {
    fn default() -> Self {
        Self(".".to_owned())
    }
}

impl Each for Flatten {
    fn each(&mut self, record: &Record<'_>, out: &mut Out) -> Result<(), String> {
        if record.message.value.is_none() {
            return out.keep(0, record);
        }
        let value = Node::parse(record.message.value)?;
        if value.kind() != "an object" {
            return Err(format!("the value is {}, not an object", value.kind()));
        }
        let mut flat = Flat { separator: &self.separator.0, members: Vec::new(), left: out.longest() };
        flat.add("", value, 0)?;
        // Opening it anew finds names that came out equal.
        let mut value = Node::of(String::from_utf8(Node::Object(flat.members).to_bytes()).unwrap_or_default());
        value.open()?;
        out.value(0, record, &value.to_bytes())
    }
}

struct Flat<'v, 's> {
    separator: &'s str,
    members: Vec<(Cow<'v, str>, Node<'v>)>,
    /// Bytes that may still come: names grow with each level, so the sum of them is not bound by the value's size.
    left: usize,
}

impl<'v> Flat<'v, '_> {
    fn add(&mut self, prefix: &str, mut node: Node<'v>, depth: usize) -> Result<(), String> {
        if depth > DEEPEST {
            return Err(format!("objects are nested more than {DEEPEST} deep at {}", shown(prefix)));
        }
        node.open()?;
        let Node::Object(members) = node else { return Ok(()) };
        for (name, member) in members {
            let name = if depth == 0 { name } else { Cow::Owned([prefix, self.separator, &name].concat()) };
            if member.kind() == "an object" && !is_empty(&member) {
                self.spend(name.len())?;
                self.add(&name, member, depth + 1)?;
            } else {
                self.spend(name.len() + member.scalar().map_or(2, str::len))?;
                self.members.push((name, member));
            }
        }
        Ok(())
    }

    fn spend(&mut self, bytes: usize) -> Result<(), String> {
        self.left = self.left.checked_sub(bytes).ok_or("the flat value is too large")?;
        Ok(())
    }
}

/// Whether it is an object without members, which has no flat form.
fn is_empty(node: &Node<'_>) -> bool {
    let Node::Raw(text) = node else { return false };
    text.bytes().skip(1).find(|byte| !byte.is_ascii_whitespace()) == Some(b'}')
}
