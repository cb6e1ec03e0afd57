//! Messages of the page on troubleshooting, looked for in the code that makes them.

use std::fs;
use std::path::Path;

use crate::support::command::repository;

/// Words that are of somebody else's messages, or of a line that shows several.
const OTHERS: [&str; 6] = [
    "Topic authorization failed",
    "Group authorization failed",
    "…:LINE: another …",
    "FAILED",
    "panicked at",
    "nothing new",
];

/// What of a message the code has in one piece, at least.
const SHORTEST: usize = 6;

/// Fails for the messages of a page's tables that no code makes.
pub(crate) fn check(page: &str) {
    let mut code = String::new();
    for directory in ["runtime/src", "runtime/core/src", "guest-sdk"] {
        read(&repository().join(directory), &mut code);
    }
    let code = plain(&code);
    let text = fs::read_to_string(repository().join(page)).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let messages: Vec<_> = rows.filter(|first| first.starts_with('`')).flat_map(quoted).collect();
    let mut unknown = Vec::new();
    for message in messages.iter().filter(|message| !OTHERS.iter().any(|other| message.contains(other))) {
        let pieces =
            message.split('…').map(|piece| plain(piece).trim().trim_matches([',', ';', ':']).trim().to_owned());
        let pieces: Vec<_> = pieces.filter(|piece| piece.len() >= SHORTEST).collect();
        unknown
            .extend(pieces.into_iter().filter(|piece| !code.contains(piece.as_str())).map(|piece| (*message, piece)));
    }
    assert!(unknown.is_empty(), "no code says this: {unknown:#?}");
    println!("{page}: {} messages", messages.len());
    assert!(messages.len() > 100, "{}", messages.len());
}

/// The texts between backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

fn read(path: &Path, code: &mut String) {
    for entry in fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()) {
        let is_code = |extension: &str| ["rs", "py", "js"].contains(&extension);
        match entry.extension() {
            _ if entry.is_dir() && !entry.ends_with("node_modules") => read(&entry, code),
            Some(extension) if extension.to_str().is_some_and(is_code) => {
                code.push_str(&fs::read_to_string(entry).unwrap());
            }
            None if entry.ends_with("build") => code.push_str(&fs::read_to_string(entry).unwrap()),
            _ => {}
        }
    }
}

/// Without what is written otherwise in code than it is printed: continued lines, quotes, doubled braces.
fn plain(text: &str) -> String {
    let text = text.replace("\\\n", " ").replace("{{", "{").replace("}}", "}").replace(['`', '\\'], "");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
