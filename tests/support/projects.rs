//! Projects of operators in Rust, as `wasmill new` begins them.

use std::fs;

use super::command::{Ended, Place, repository};

/// Runs the command; what it builds goes where the plugins of the examples are, so that their dependencies are there.
pub(crate) fn run(place: &Place, arguments: &[&str]) -> Ended {
    let mut command = place.command(arguments);
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| repository().join("target").into());
    command.env("CARGO_TARGET_DIR", target);
    Ended::of(command.output().unwrap())
}

/// Begins a project with the SDK of this repository, and the versions that it is tested with.
pub(crate) fn begin(name: &str, kind: &str) -> Place {
    let place = Place::new();
    let sdk = repository().join("guest-sdk/rust").display().to_string();
    let said = run(&place, &["new", name, "--lang", "rust", "--kind", kind, "--sdk", &sdk]).ok();
    assert!(said.contains("wasmill test") && said.contains(&format!("cd {name}")), "{said}");
    fs::copy(repository().join("Cargo.lock"), place.path(name).join("Cargo.lock")).unwrap();
    place
}
