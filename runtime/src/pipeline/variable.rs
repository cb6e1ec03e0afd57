//! `${env:NAME}` and `${file:path}` in the values of a pipeline file, and of one of Kafka's properties.
//!
//! Any value may hold them, also more than one and with text around; keys may not. `$${env:NAME}` is the text
//! `${env:NAME}`. Any other `${…}` is plain text, as plugins have templates of their own.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

/// Longest file that a `${file:path}` reads.
const LARGEST_FILE: u64 = 64 << 10;

/// What a `${…}` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variable<'a> {
    /// A variable of the environment.
    Env(&'a str),
    /// The text of a file, without the line break at its end. A relative path starts at the pipeline file's directory.
    File(&'a Path),
}

/// Finds the values of variables, or says why there is none and what to do.
pub type Lookup<'a> = dyn Fn(Variable<'_>) -> Result<String, String> + 'a;

/// Looks variables up in `env`, and in files that are found from `directory`.
pub fn lookup(
    directory: &Path,
    env: impl Fn(&str) -> Option<String>,
) -> impl Fn(Variable<'_>) -> Result<String, String> {
    let directory: PathBuf = directory.to_path_buf();
    move |variable| match variable {
        Variable::Env(name) => {
            env(name).ok_or_else(|| format!("the environment variable `{name}` is not set, or is not UTF-8; set it"))
        }
        Variable::File(path) => read(&directory.join(path)),
    }
}

fn read(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let file = fs::File::open(path).map_err(|e| format!("read `{shown}`: {}", plain(&e)))?;
    let mut text = String::new();
    let length = file.take(LARGEST_FILE + 1).read_to_string(&mut text);
    let length = length.map_err(|e| format!("read `{shown}`: {}", plain(&e)))?;
    if length as u64 > LARGEST_FILE {
        return Err(format!("`{shown}` is larger than {} KiB", LARGEST_FILE >> 10));
    }
    let end = text.strip_suffix('\n').map_or(text.len(), |t| t.strip_suffix('\r').unwrap_or(t).len());
    text.truncate(end);
    Ok(text)
}

/// What went wrong with a file in lower case, without the system's error number.
pub(super) fn plain(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file".to_owned(),
        std::io::ErrorKind::InvalidData => "it is not UTF-8".to_owned(),
        kind => kind.to_string(),
    }
}

/// What filling in made of a text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Filled {
    pub(crate) text: String,
    /// The values that came from outside, each with the text that names it.
    pub(crate) values: Vec<(String, String)>,
}

/// Fills in `text`; `None` where nothing is to be done.
pub(crate) fn fill(text: &str, lookup: &Lookup<'_>) -> Result<Option<Filled>, String> {
    if !text.contains("${env:") && !text.contains("${file:") {
        return Ok(None);
    }
    let mut filled = Filled { text: String::with_capacity(text.len()), values: Vec::new() };
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, here) = rest.split_at(at);
        let body = &here[2..];
        if !body.starts_with("env:") && !body.starts_with("file:") {
            filled.text.push_str(before);
            filled.text.push_str("${");
            rest = body;
            continue;
        }
        if let Some(literal) = before.strip_suffix('$') {
            filled.text.push_str(literal);
            filled.text.push_str("${");
            rest = body;
            continue;
        }
        let Some((name, after)) = body.split_once('}') else {
            return Err(format!("`{here}` has no closing brace"));
        };
        let value = lookup(variable(name)?)?;
        filled.text.push_str(before);
        filled.text.push_str(&value);
        filled.values.push((value, format!("${{{name}}}")));
        rest = after;
    }
    filled.text.push_str(rest);
    Ok(Some(filled))
}

fn variable(body: &str) -> Result<Variable<'_>, String> {
    match body.split_once(':') {
        Some((_, "")) | None => Err(format!("`${{{body}}}` names nothing; write ${{env:NAME}} or ${{file:path}}")),
        Some(("env", name)) => Ok(Variable::Env(name)),
        Some((_, path)) => Ok(Variable::File(Path::new(path))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed(variable: Variable<'_>) -> Result<String, String> {
        match variable {
            Variable::Env("USER") => Ok("ann".to_owned()),
            Variable::File(path) => Ok(format!("<{}>", path.display())),
            Variable::Env(name) => Err(format!("no {name}")),
        }
    }

    #[test]
    fn variables_are_filled_in() {
        for (text, expected) in [
            ("${env:USER}", "ann"),
            ("a ${env:USER} b ${env:USER}", "a ann b ann"),
            ("${file:/run/pw}", "</run/pw>"),
            ("$${env:USER} ${env:USER}", "${env:USER} ann"),
            ("${other} ${env:USER} ${", "${other} ann ${"),
        ] {
            assert_eq!(fill(text, &fixed).unwrap().unwrap().text, expected, "{text}");
        }
        for text in ["", "$", "${", "${x:y}", "$env:USER"] {
            assert_eq!(fill(text, &fixed), Ok(None), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_filled_in_is_refused() {
        for (text, expected) in [
            ("${env:NONE}", "no NONE"),
            ("${env:}", "`${env:}` names nothing; write ${env:NAME} or ${file:path}"),
            ("a ${env:USER", "`${env:USER` has no closing brace"),
        ] {
            assert_eq!(fill(text, &fixed), Err(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn files_are_read_without_their_last_line_break() {
        let directory = tempfile::tempdir().unwrap();
        let lookup = lookup(directory.path(), |_| None);
        let get = |name: &str| lookup(Variable::File(Path::new(name)));
        for (content, expected) in [("pw\n", "pw"), ("pw\r\n", "pw"), ("pw", "pw"), ("a\n\n", "a\n")] {
            fs::write(directory.path().join("f"), content).unwrap();
            assert_eq!(get("f").unwrap(), expected);
        }
        fs::write(directory.path().join("big"), "x".repeat(70_000)).unwrap();
        assert!(get("big").unwrap_err().ends_with("is larger than 64 KiB"));
        assert!(get("none").unwrap_err().ends_with("none`: no such file"));
    }
}
