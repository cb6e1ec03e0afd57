//! Building plugins from their sources.

use std::io::{BufRead, BufReader, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

/// The target that Rust plugins are built for.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// Settings of the profile, whatever the crate's own workspace says.
const PROFILE: [&str; 5] = [
    "profile.release.opt-level=3",
    "profile.release.lto=true",
    "profile.release.codegen-units=1",
    "profile.release.panic=\"abort\"",
    "profile.release.strip=\"debuginfo\"",
];

/// Builds the plugin in a source directory. Answers where it is.
pub fn build(directory: &Path) -> Result<PathBuf> {
    let manifest = directory.join("Cargo.toml");
    if !manifest.is_file() {
        bail!(
            "{} has no Cargo.toml: a source directory holds a Rust crate; name a .wasm file for anything else",
            directory.display()
        );
    }
    add_target()?;
    let progress = progress(&format!("building {}", directory.display()));
    let built = cargo(&manifest);
    progress.finish_and_clear();
    built.with_context(|| format!("cannot build the plugin in {}", directory.display()))
}

fn progress(message: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        eprintln!("{message}");
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner().with_message(message.to_owned());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} [{elapsed}]") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// Adds the target with rustup if it is missing, and says so.
fn add_target() -> Result<()> {
    let output = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .context("cannot run rustc, which builds Rust plugins: install it from https://rustup.rs")?;
    if output.status.success() && Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir() {
        return Ok(());
    }
    eprintln!("adding the target {TARGET} with rustup");
    let added = Command::new("rustup").args(["target", "add", TARGET]).status();
    match added {
        Ok(status) if status.success() => Ok(()),
        _ => bail!("Rust's target {TARGET} is missing and could not be added: run `rustup target add {TARGET}`"),
    }
}

fn cargo(manifest: &Path) -> Result<PathBuf> {
    let mut command = Command::new("cargo");
    command.args(["build", "--release", "--lib", "--target", TARGET, "--message-format=json-render-diagnostics"]);
    command.arg("--manifest-path").arg(manifest);
    for setting in PROFILE {
        command.args(["--config", setting]);
    }
    command.env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+simd128").env_remove("RUSTFLAGS");
    if std::io::stderr().is_terminal() {
        command.arg("--quiet");
    }
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot run cargo")?;
    let output = child.stdout.take().context("cargo has no output")?;
    let manifest = manifest.canonicalize()?;
    let mut artifact = None;
    for line in BufReader::new(output).lines() {
        let message: Value = serde_json::from_str(&line?).unwrap_or_default();
        artifact = plugin(&message, &manifest).or(artifact);
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("cargo failed, see its messages above");
    }
    artifact.context("the crate makes no WebAssembly module: its Cargo.toml needs `[lib] crate-type = [\"cdylib\"]`")
}

/// The module in a message of cargo's, if it is of this crate.
fn plugin(message: &Value, manifest: &Path) -> Option<PathBuf> {
    if message["reason"] != "compiler-artifact" || Path::new(message["manifest_path"].as_str()?) != manifest {
        return None;
    }
    let files = message["filenames"].as_array()?.iter().filter_map(Value::as_str).map(PathBuf::from);
    files.into_iter().find(|file| file.extension().is_some_and(|extension| extension == "wasm"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_without_a_crate_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let error = build(dir.path()).unwrap_err().to_string();
        assert!(error.contains("has no Cargo.toml"), "{error}");
    }

    #[test]
    fn the_module_is_found_in_what_cargo_says() {
        let message = serde_json::json!({
            "reason": "compiler-artifact",
            "manifest_path": "/p/Cargo.toml",
            "filenames": ["/t/libp.rlib", "/t/p.wasm"],
        });
        assert_eq!(plugin(&message, Path::new("/p/Cargo.toml")), Some("/t/p.wasm".into()));
        assert_eq!(plugin(&message, Path::new("/q/Cargo.toml")), None);
    }
}
