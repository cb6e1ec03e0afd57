use std::{fmt::Write, path::Path};

use super::{Errors, Graph, parse, variable::Variable};

mod bounds;
mod good;
mod planned;

/// Cases of one text and what is said about it: `=== title`, the text, `--->`, what is said.
fn cases(file: &'static str) -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    file.split("=== ").skip(1).map(|case| {
        let (title, rest) = case.split_once('\n').unwrap();
        let (text, said) = rest.split_once("--->\n").unwrap();
        (title, text, said.trim_end())
    })
}

/// Compares what `said` makes of each text of `file` with what stands there.
fn check(file: &'static str, said: impl Fn(&str) -> String) {
    let mut wrong = String::new();
    for (title, text, expected) in cases(file) {
        let actual = said(&whole(text));
        if actual.trim_end() != expected {
            write!(wrong, "=== {title}\n{text}--->\n{actual}\n\n").unwrap();
        }
    }
    assert!(wrong.is_empty(), "these cases say now\n{wrong}");
}

/// Cases leave out what every pipeline needs; `…` brings it.
fn whole(text: &str) -> String {
    let name = "format-version: 1\nname: p\n";
    let text = text.replace("…head\n", name);
    let text = text.replace("…source\n", &format!("{name}sources: {{s: {{topic: s}}}}\n"));
    text.replace("…sink\n", "sinks: {k: {topic: k, from: s}}\n")
}

fn read(text: &str) -> Result<Graph, Errors> {
    parse(Path::new("pipeline.yaml"), text.as_bytes(), &variables)
}

fn variables(variable: Variable<'_>) -> Result<String, String> {
    match variable {
        Variable::Env("NAME") => Ok("from-outside".to_owned()),
        Variable::Env("FOUR") => Ok("4".to_owned()),
        Variable::Env("PASSWORD") => Ok("hunter2".to_owned()),
        Variable::Env(name) => Err(format!("the environment variable `{name}` is not set; set it")),
        Variable::File(path) => Err(format!("read `{}`: no such file", path.display())),
    }
}

#[test]
fn a_bad_file_says_what_is_wrong_where_and_what_to_do() {
    check(include_str!("tests/bad.txt"), |text| match read(text) {
        Ok(graph) => format!("{graph:#?}"),
        Err(errors) => errors.to_string(),
    });
}

#[test]
fn a_doubtful_file_is_warned_of() {
    check(include_str!("tests/doubtful.txt"), |text| {
        let warnings = read(text).unwrap().warnings;
        warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n")
    });
}
