//! The Rust of all pages that is of no file is compiled, each block as a module of one crate.

use std::process::Command;

use super::snippet::Snippet;
use crate::support::command::{Place, repository};

const MANIFEST: &str = r#"
[package]
name = "documented"
version = "0.1.0"
edition = "2024"

[dependencies]
serde = { version = "1", features = ["derive"] }
wasmill-sdk = { path = "SDK" }

[workspace]
"#;

const BEFORE: &str = "#![allow(dead_code, unused_imports, unused_must_use)]\n#![cfg_attr(test, allow(unused))]\n";

/// Compiles blocks for the target of plugins.
pub(crate) fn check(snippets: &[Snippet]) {
    let place = Place::new();
    let sdk = repository().join("guest-sdk/rust").display().to_string();
    place.write("Cargo.toml", MANIFEST.replace("SDK", &sdk));
    place.write("Cargo.lock", std::fs::read(repository().join("Cargo.lock")).unwrap());
    let mut code = BEFORE.to_owned();
    for (number, snippet) in snippets.iter().enumerate() {
        let with = snippet.attribute("with").unwrap_or_default().replace(";;", "\n");
        let module = format!(
            "// {}\nmod m{number} {{\nuse std::time::Duration;\nuse wasmill_sdk::*;\n{with}\n{}}}\n",
            snippet.place(),
            snippet.text
        );
        code.push_str(&module);
    }
    place.write("src/lib.rs", &code);
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| repository().join("target").into());
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["check", "--quiet", "--target", "wasm32-unknown-unknown", "--manifest-path"]);
    cargo.arg(place.path("Cargo.toml")).env("CARGO_TARGET_DIR", target).env_remove("RUSTFLAGS");
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{}\n{code}", String::from_utf8_lossy(&output.stderr));
}
