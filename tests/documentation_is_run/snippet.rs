//! The fenced blocks of a page. Behind the language a block may say how it is tested:
//!
//! | attribute | on | meaning |
//! | --- | --- | --- |
//! | `file="PATH"` | any | the block is written to that file of the page's directory |
//! | `same-as="PATH"` | any | it stands in that file of the repository, line by line, but for blank ones |
//! | `status="N"` | `sh` | the last command ends with this exit status |
//! | `with="TEXT"` | `yaml`, `rust` | lines that it needs beside it, `;;` between two |
//! | `in="KEY"` | `yaml` | it stands below this key |
//! | `in-any-order="WHY"` | `text` | its lines may come in any order, and why |
//! | `not-run="WHY"` | `sh` | it is not run, and why |
//! | `not-a-pipeline="WHAT"` | `yaml` | it is something else, and what |
//!
//! A `text` block behind an `sh` block is what its commands print, of several each one.

use std::collections::BTreeMap;
use std::fs;

use crate::support::command::repository;

/// A fenced block.
#[derive(Clone, Debug)]
pub(crate) struct Snippet {
    pub(crate) page: String,
    /// The line of its fence.
    pub(crate) line: usize,
    pub(crate) language: String,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) text: String,
}

const ATTRIBUTES: [&str; 8] = ["file", "same-as", "status", "with", "in", "in-any-order", "not-run", "not-a-pipeline"];

impl Snippet {
    /// The blocks of a page of the repository, in order.
    pub(crate) fn of(page: &str) -> Vec<Self> {
        let text = fs::read_to_string(repository().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"));
        let mut found: Vec<Self> = Vec::new();
        let mut open = false;
        for (line, number) in text.lines().zip(1..) {
            match (line.strip_prefix("```"), open) {
                (Some(info), false) => {
                    let (language, rest) = info.split_once(' ').unwrap_or((info, ""));
                    let attributes = attributes(rest).unwrap_or_else(|| panic!("{page}:{number}: {info}"));
                    let (page, language) = (page.to_owned(), language.to_owned());
                    found.push(Self { page, line: number, language, attributes, text: String::new() });
                    open = true;
                }
                (Some(_), true) => open = false,
                (None, true) => {
                    let text = &mut found.last_mut().unwrap().text;
                    text.extend([line, "\n"]);
                }
                (None, false) => {}
            }
        }
        assert!(!open, "{page}: a block does not end");
        found
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }

    /// Where it is.
    pub(crate) fn place(&self) -> String {
        format!("{}:{}", self.page, self.line)
    }

    /// Fails unless the block stands in a file of the repository.
    pub(crate) fn check_same(&self, path: &str) {
        let file = fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        let lines = |text: &str| -> Vec<_> {
            text.lines().map(str::trim_end).filter(|line| !line.is_empty()).map(str::to_owned).collect()
        };
        let (file, block) = (lines(&file), lines(&self.text));
        let stands = file.windows(block.len()).any(|window| window == block);
        assert!(stands, "{}: this is not in {path}:\n{}", self.place(), self.text);
    }
}

/// Attributes as `name="value"`, with spaces between; `None` if they are something else.
fn attributes(text: &str) -> Option<BTreeMap<String, String>> {
    let (mut found, mut rest) = (BTreeMap::new(), text.trim());
    while !rest.is_empty() {
        let (name, after) = rest.split_once("=\"")?;
        let (value, after) = after.split_once('"')?;
        ATTRIBUTES.contains(&name).then_some(())?;
        found.insert(name.to_owned(), value.to_owned());
        rest = after.trim_start();
    }
    Some(found)
}
