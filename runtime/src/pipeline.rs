//! Pipeline files: what users write, what it means, and what the runtime does with it.
//!
//! ```text
//! text ─ yaml ─▶ tree ─ decode ─▶ Spec ─ resolve ─▶ Graph ─ with the plugins' declarations ─▶ Plan
//! ```
//!
//! A [`Spec`](spec::Spec) may be wrong, a [`Graph`] is right as far as the file can tell, and a
//! [`Plan`] can be run. What is wrong is told with its place, as much at once as can be found.

use std::{env, fs, io::Read, path::Path};

pub mod count;
mod decode;
pub mod duration;
pub mod error;
pub mod field;
mod fields;
pub mod graph;
pub mod key;
pub mod literal;
pub(crate) mod name;
pub mod placed;
pub mod plan;
pub mod pointer;
pub mod schema;
pub mod settings;
pub mod size;
pub mod spec;
mod unsupported;
pub mod variable;
mod yaml;

pub use error::{Error, Errors};
pub use graph::Graph;
pub use plan::Plan;
pub use schema::schema;

use error::{Document, Kind, Place, Report};
use variable::Lookup;

/// The name of the pipeline file in a directory.
pub const FILE_NAME: &str = "pipeline.yaml";

/// Largest pipeline file.
const LARGEST_FILE: u64 = 1 << 20;

/// Reads a pipeline file, or the `pipeline.yaml` of a directory. Variables come from this process' environment and from
/// files that are found from the pipeline file's directory.
pub fn load(path: &Path) -> Result<Graph, Errors> {
    let file = if path.is_dir() { path.join(FILE_NAME) } else { path.to_path_buf() };
    let bytes = read(&file).map_err(|message| {
        let document = Document::new(path, "");
        let advice = "name a pipeline file, or a directory that holds a `pipeline.yaml`";
        document.error(Kind::Read, None, format!("read `{}`: {message}; {advice}", file.display()))
    })?;
    let directory = file.parent().unwrap_or(Path::new(""));
    parse(&file, &bytes, &variable::lookup(directory, |name| env::var(name).ok()))
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    let opened = fs::File::open(file).map_err(|e| variable::plain(&e))?;
    let mut bytes = Vec::new();
    opened.take(LARGEST_FILE + 1).read_to_end(&mut bytes).map_err(|e| variable::plain(&e))?;
    Ok(bytes)
}

/// Makes a graph of the text of a pipeline file. `file` names it in errors, and relative paths in it start at the
/// directory of `file`.
pub fn parse(file: &Path, text: &[u8], lookup: &Lookup<'_>) -> Result<Graph, Errors> {
    let document = document(file, text)?;
    let report = Report::new(document.clone());
    let graph = yaml::read(&document, lookup, &report).and_then(|mut root| {
        unsupported::remove(&mut root, &report);
        let spec: spec::Spec = decode::decode(&root, &report)?;
        // Names that lead to entries that could not be read would be reported as unknown.
        if report.count() > 0 {
            return Err(error::Reported);
        }
        Graph::new(&spec, document, &report)
    });
    report.finish(graph)
}

/// The text of a pipeline file, which must be UTF-8 of a sensible size.
fn document(file: &Path, text: &[u8]) -> Result<Document, Error> {
    if text.len() as u64 > LARGEST_FILE {
        let message = format!("the file is larger than {} MiB, which no pipeline is", LARGEST_FILE >> 20);
        return Err(Document::new(file, "").error(Kind::Read, None, message));
    }
    let error = match std::str::from_utf8(text) {
        Ok(text) => return Ok(Document::new(file, text)),
        Err(error) => error,
    };
    let (before, after) = text.split_at(error.valid_up_to());
    let before = String::from_utf8_lossy(before);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    let byte = after.first().copied().unwrap_or_default();
    let document = Document::new(file, &String::from_utf8_lossy(text));
    let message = format!("the byte 0x{byte:02x} is not UTF-8; save the file as UTF-8");
    Err(document.error(Kind::Syntax, Some(Place { line, column, length: 1 }), message))
}

#[cfg(test)]
mod tests;
