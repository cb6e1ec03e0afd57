//! What is wrong with a pipeline file, and where.

use std::{
    cell::RefCell,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// More errors than these are counted, not shown: the first ones usually cause the rest.
const MOST_SHOWN: usize = 20;

/// Shortest value that is masked wherever it turns up in a message; a shorter one would mask words of ours.
const SHORTEST_MASKED: usize = 4;

/// Longest part of a source line that a snippet shows, in characters.
const WIDEST_SNIPPET: usize = 100;

/// What an [`Error`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The file cannot be read.
    Read,
    /// The file is not one well-formed YAML document.
    Syntax,
    /// A key is not known, missing, or given twice.
    Key,
    /// A value is not of the type or range that its key takes.
    Value,
    /// A `${…}` cannot be filled in.
    Variable,
    /// A name, port or topic does not lead to what it must lead to, or leads round in a cycle.
    Reference,
    /// The pipeline file is right, but this version cannot run it.
    Unsupported,
}

/// A place in a pipeline file, counted from 1 in lines and characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The character in the line.
    pub column: usize,
    /// How many characters of the line are meant, at least 1.
    pub length: usize,
}

/// One thing that is wrong with a pipeline file.
///
/// Displayed, it is the message, the place, and the line of the file with carets under what is meant; several lines of
/// text without colour and without a final line break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// What the error is about.
    pub kind: Kind,
    /// What is wrong and what to do about it: lower case, no full stop.
    pub message: String,
    /// The file as the user named it.
    pub file: PathBuf,
    /// Where it is; `None` where the file as a whole is meant.
    pub place: Option<Place>,
    /// The line of the file at `place`.
    pub line: Option<String>,
}

impl Error {
    fn render(&self, level: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{level}: {}", self.message)?;
        let file = self.file.display();
        let Some(place) = self.place else { return write!(f, "  --> {file}") };
        let number = place.line.to_string();
        let margin = " ".repeat(number.len());
        write!(f, "{margin} --> {file}:{}:{}", place.line, place.column)?;
        let Some(line) = &self.line else { return Ok(()) };
        let (shown, offset) = window(line, place.column.saturating_sub(1));
        let width = shown.chars().count();
        let carets = "^".repeat(place.length.min(width.saturating_sub(offset)).max(1));
        write!(f, "\n{margin} |\n{number} | {shown}\n{margin} | {}{carets}", " ".repeat(offset))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.render("error", f)
    }
}

impl std::error::Error for Error {}

/// Something in a pipeline file that works but is hardly meant.
///
/// Displayed, it looks like an [`Error`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning(pub Error);

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.render("warning", f)
    }
}

/// The part of `line` around the character `at`, without tabs and control characters, and where `at` is in it.
fn window(line: &str, at: usize) -> (String, usize) {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let start = if at < WIDEST_SNIPPET { 0 } else { at - WIDEST_SNIPPET / 2 };
    let mut shown: String = line.chars().skip(start).take(WIDEST_SNIPPET).map(plain).collect();
    shown.truncate(shown.trim_end().len());
    (shown, at - start)
}

/// All that was found wrong with a pipeline file, at least one thing, in the order of their places.
///
/// Displayed, it is every error, with blank lines between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errors(Vec<Error>);

impl Errors {
    /// The errors in the order of their places.
    pub fn iter(&self) -> std::slice::Iter<'_, Error> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Errors {
    type Item = &'a Error;
    type IntoIter = std::slice::Iter<'a, Error>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl From<Error> for Errors {
    fn from(error: Error) -> Self {
        Self(vec![error])
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.0.iter().take(MOST_SHOWN).enumerate() {
            let gap = if at == 0 { "" } else { "\n\n" };
            write!(f, "{gap}{error}")?;
        }
        match self.0.len().saturating_sub(MOST_SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n\nand {more} more"),
        }
    }
}

impl std::error::Error for Errors {}

/// The text of a pipeline file and what the user calls it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Document {
    pub(super) file: PathBuf,
    pub(super) text: Arc<str>,
}

impl Document {
    pub(super) fn new(file: &Path, text: &str) -> Self {
        Self { file: file.to_path_buf(), text: text.into() }
    }

    pub(super) fn error(&self, kind: Kind, place: Option<Place>, message: String) -> Error {
        let line = place.and_then(|p| self.text.lines().nth(p.line.saturating_sub(1))).map(str::to_owned);
        Error { kind, message, file: self.file.clone(), place, line }
    }

    pub(super) fn warning(&self, kind: Kind, place: Place, message: String) -> Warning {
        Warning(self.error(kind, Some(place), message))
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())
    }
}

/// Says that an error is in the report already, so nothing is left to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reported;

/// Collects the errors of one file, so that the user sees more than the first.
#[derive(Debug)]
pub(super) struct Report {
    document: Document,
    errors: RefCell<Vec<Error>>,
    /// Values that came from outside, with the text to show in their stead.
    masks: RefCell<Vec<(String, String)>>,
}

impl Report {
    pub(super) fn new(document: Document) -> Self {
        Self { document, errors: RefCell::default(), masks: RefCell::default() }
    }

    /// Never show `value` in a message; show `instead`.
    pub(super) fn mask(&self, value: &str, instead: &str) {
        if value.len() >= SHORTEST_MASKED {
            self.masks.borrow_mut().push((value.to_owned(), instead.to_owned()));
        }
    }

    pub(super) fn push(&self, kind: Kind, place: Option<Place>, message: impl Into<String>) -> Reported {
        let mut message = message.into();
        for (value, instead) in &*self.masks.borrow() {
            if message.contains(value.as_str()) {
                message = message.replace(value.as_str(), instead);
            }
        }
        let error = self.document.error(kind, place, message);
        let mut errors = self.errors.borrow_mut();
        // A mapping that is merged into two others, or read through two aliases, is wrong once.
        if !errors.contains(&error) {
            errors.push(error);
        }
        Reported
    }

    pub(super) fn at(&self, kind: Kind, place: Place, message: impl Into<String>) -> Reported {
        self.push(kind, Some(place), message)
    }

    /// `value` if nothing was reported.
    pub(super) fn finish<T>(self, value: Result<T, Reported>) -> Result<T, Errors> {
        let mut errors = self.errors.into_inner();
        match value {
            Ok(value) if errors.is_empty() => Ok(value),
            _ => {
                errors.sort_by_key(|e| e.place);
                Err(Errors(errors))
            }
        }
    }

    pub(super) fn count(&self) -> usize {
        self.errors.borrow().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let line = format!("{}here{}", "a".repeat(200), "b".repeat(200));
        let (shown, at) = window(&line, 200);
        assert_eq!(shown.len(), WIDEST_SNIPPET);
        assert_eq!(&shown[at..at + 4], "here");
    }

    #[test]
    fn values_from_outside_are_masked() {
        let report = Report::new(Document::new(Path::new("p.yaml"), "a"));
        report.mask("hunter2", "${env:PASSWORD}");
        report.push(Kind::Value, None, "`hunter2` is not a duration");
        let errors = report.finish(Ok(())).unwrap_err();
        assert_eq!(errors.to_string(), "error: `${env:PASSWORD}` is not a duration\n  --> p.yaml");
    }

    #[test]
    fn only_the_first_errors_are_shown() {
        let report = Report::new(Document::new(Path::new("p.yaml"), "a"));
        for n in 0..25 {
            report.push(Kind::Value, None, format!("wrong {n}"));
        }
        let text = report.finish(Ok(())).unwrap_err().to_string();
        assert_eq!(text.matches("error:").count(), MOST_SHOWN);
        assert!(text.ends_with("\n\nand 5 more"));
    }
}
