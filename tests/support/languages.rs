//! Plugins in Python and JavaScript, built by the scripts of their SDKs.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use super::command::{Place, repository};

/// Where tools, plugins and their machine code are kept: building and compiling them takes a minute each.
fn kept() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    repository().join(target).join("languages")
}

/// The plugin of a module of this repository. It is built once, and again when it, its SDK or the contract has changed.
pub(crate) fn built(module: &str) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let source = repository().join(module);
    let extension = source.extension().unwrap().to_str().unwrap();
    let language = if extension == "py" { "python" } else { extension };
    let sdk = repository().join("guest-sdk").join(language);
    let mut hasher = DefaultHasher::new();
    for path in [&source, &sdk.join("build"), &sdk.join(if language == "js" { "src" } else { "wasmill" })] {
        hash(path, &mut hasher);
    }
    hash(&repository().join("wit"), &mut hasher);
    let name = source.file_stem().unwrap().to_str().unwrap();
    let plugin = kept().join(format!("{language}-{name}-{:016x}.wasm", hasher.finish()));
    if !plugin.exists() {
        check_tools(language);
        let output = Command::new(sdk.join("build")).arg(&source).arg("-o").arg(&plugin).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "build {module}: {said}\nrun tests/run, which installs what the tests need");
    }
    plugin
}

/// Fails if what a language needs is not there.
pub(crate) fn check_tools(language: &str) {
    let needed: &[&[&str]] = match language {
        "python" => &[&["python3", "-c", "import ensurepip, venv"]],
        _ => &[&["node", "--version"], &["npm", "--version"]],
    };
    for command in needed {
        let there = Command::new(command[0]).args(&command[1..]).output().is_ok_and(|output| output.status.success());
        assert!(there, "`{}` fails: run tests/run, which installs what the tests need", command.join(" "));
    }
}

/// What files hold, below a directory in the order of their names.
fn hash(path: &Path, hasher: &mut DefaultHasher) {
    if !path.is_dir() {
        return fs::read(path).unwrap().hash(hasher);
    }
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let mut entries: Vec<_> =
        entries.filter(|entry| entry.file_name().is_none_or(|name| name != "__pycache__")).collect();
    entries.sort();
    entries.iter().for_each(|entry| hash(entry, hasher));
}

/// Has a test's data directory take machine code from, and leave it at, the place that is kept.
pub(crate) fn keep_compiled(place: &Place) {
    let compiled = kept().join("compiled");
    fs::create_dir_all(&compiled).unwrap();
    fs::create_dir_all(place.path("data")).unwrap();
    symlink(compiled, place.path("data/plugins")).unwrap();
}
