//! Keys of the pipeline file that this version knows but cannot run: refused by name, never passed over.

use super::{
    error::{Kind, Report},
    yaml::{Node, Value},
};

/// Sections of the file, and what of their entries' keys cannot be run, with what to do instead.
const KEYS: [(&str, &str, &str); 5] = [
    ("sources", "table", "read the topic as a stream"),
    ("operators", "join", "write it as a plugin"),
    ("operators", "window", "write it as a plugin that sets timers"),
    ("operators", "key-with-window", "remove it"),
    ("operators", "max-wait", "remove it"),
];

/// Reports what cannot be run, and takes the entries that hold it out of `root`, so that nothing else is said of them.
pub(super) fn remove(root: &mut Node, report: &Report) {
    let Value::Map(sections) = &mut root.value else { return };
    for (section, node) in sections {
        if let Value::Map(entries) = &mut node.value {
            entries.retain(|(name, entry)| name.text.starts_with("x-") || runs(&section.text, entry, report));
        }
    }
}

fn runs(section: &str, entry: &Node, report: &Report) -> bool {
    let before = report.count();
    for (_, key, instead) in KEYS.iter().filter(|(of, ..)| *of == section) {
        if let Some((key, _)) = entry.get(key) {
            let message = format!("`{}` is not supported yet by this version; {instead}", key.text);
            report.at(Kind::Unsupported, key.place, message);
        }
    }
    report.count() == before
}
