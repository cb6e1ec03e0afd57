//! The table of metrics, made of their names.

use std::fmt::Write;

use wasmill::metrics::{distribution, names};

/// A part of the page by its name.
pub(crate) fn part(name: &str) -> Option<String> {
    match name {
        "metrics" => Some(table()),
        "buckets" => Some(buckets()),
        _ => None,
    }
}

fn table() -> String {
    let mut table = "\n| metric | kind | labels | says |\n| --- | --- | --- | --- |\n".to_owned();
    for metric in names::ALL {
        let labels = if metric.name == names::BUILD.name { "`version`".to_owned() } else { list(metric.labels) };
        let (name, kind, help) = (metric.full_name(), metric.kind.name(), metric.help);
        writeln!(table, "| `{name}` | {kind} | {labels} | {help} |").unwrap();
    }
    table + "\n"
}

fn list(labels: &[&str]) -> String {
    labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ")
}

fn buckets() -> String {
    let mut table = "\n| histogram | upper ends of its buckets |\n| --- | --- |\n".to_owned();
    for (metric, bounds) in [
        (&names::CALL_DURATION, distribution::CALL),
        (&names::COMMIT_DURATION, distribution::COMMIT),
        (&names::PLUGIN_HISTOGRAM, distribution::OWN),
    ] {
        let ends: Vec<_> = bounds.iter().map(f64::to_string).collect();
        writeln!(table, "| `{}` | {} |", metric.full_name(), ends.join(", ")).unwrap();
    }
    table + "\n"
}
