//! `wasmill new`: writes the project of an operator to begin with.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

/// Names of crates that mean something else to Rust, or to the project itself.
const TAKEN: [&str; 6] = ["alloc", "core", "proc-macro", "std", "test", "wasmill-sdk"];

/// Begin an operator of your own: writes its project to a new directory
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    wasmill new shout --lang rust --kind transform\n  \
    wasmill new totals --kind process")]
pub struct Args {
    /// The operator's name, and that of the directory: lower-case letters, digits and hyphens
    pub name: String,
    /// The language that it is written in
    #[arg(long, default_value = "rust", value_name = "LANGUAGE")]
    pub lang: String,
    /// What it does: `transform` is stateless, `process` keeps state by key
    #[arg(long, value_name = "KIND")]
    pub kind: Kind,
    /// The directory of wasmill-sdk, in place of its release of this version
    #[arg(long, value_name = "DIR")]
    pub sdk: Option<PathBuf>,
}

/// What an operator does.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Kind {
    /// Stateless: one record in, any number out
    Transform,
    /// With state and timers by key
    Process,
}

/// Writes the project, and says what to do next.
pub fn run(args: &Args, to: &mut impl io::Write) -> Result<()> {
    check_language(&args.lang)?;
    check_name(&args.name)?;
    let directory = Path::new(&args.name);
    let taken = directory.is_file() || directory.read_dir().is_ok_and(|mut entries| entries.next().is_some());
    if taken {
        bail!("{} exists and is not empty: choose another name, or remove it", directory.display());
    }
    for (file, text) in files(args)? {
        let path = directory.join(file);
        let parent = path.parent().unwrap_or(directory);
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let name = &args.name;
    super::until_closed(writeln!(
        to,
        "{name} is there; its operator is in {name}/src/lib.rs. Next:\n  \
         cd {name}\n  \
         cargo test                                      # its unit tests, natively\n  \
         wasmill test                                    # its cases, in the real host\n  \
         wasmill run . --until-end --print results       # its pipeline, on the sample"
    ))?;
    Ok(())
}

fn check_language(language: &str) -> Result<()> {
    match language {
        "rust" => Ok(()),
        "python" | "js" | "ts" | "c" | "cpp" | "go" => {
            bail!("--lang {language} is not supported yet by this version: rust is")
        }
        _ => bail!("--lang {language} is no language that is known here: rust is"),
    }
}

/// A name must be one of a crate and of an operator.
fn check_name(name: &str) -> Result<()> {
    let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(known) || name.len() > 50 {
        bail!("name {name:?}: use 1 to 50 of a-z, 0-9 and -, and begin with a letter");
    }
    if TAKEN.contains(&name) {
        bail!("name {name:?} is that of a crate of Rust's or of the SDK: choose another one");
    }
    Ok(())
}

/// The files of the project with their text.
fn files(args: &Args) -> Result<Vec<(&'static str, String)>> {
    let (does, sample, sampled, code, case) = match args.kind {
        Kind::Transform => (
            "turns text into upper case and drops blank records",
            "sample.txt",
            include_str!("new/templates/transform-sample.txt"),
            include_str!("new/templates/transform.rs.txt"),
            include_str!("new/templates/transform-case.txt"),
        ),
        Kind::Process => (
            "counts the records of each key",
            "sample.jsonl",
            include_str!("new/templates/process-sample.txt"),
            include_str!("new/templates/process.rs.txt"),
            include_str!("new/templates/process-case.txt"),
        ),
    };
    let sdk = dependency(args.sdk.as_deref())?;
    let fill = |template: &str| {
        let filled = template.replace("{{name}}", &args.name).replace("{{sdk}}", &sdk);
        filled.replace("{{does}}", does).replace("{{sample}}", sample)
    };
    Ok(vec![
        ("Cargo.toml", fill(include_str!("new/templates/Cargo.toml.txt"))),
        ("src/lib.rs", code.to_owned()),
        ("pipeline.yaml", fill(include_str!("new/templates/pipeline.yaml.txt"))),
        (sample, sampled.to_owned()),
        ("cases/first.jsonl", case.to_owned()),
        ("README.md", fill(include_str!("new/templates/README.md.txt"))),
        (".gitignore", include_str!("new/templates/gitignore.txt").to_owned()),
    ])
}

/// How the project depends on the SDK.
fn dependency(sdk: Option<&Path>) -> Result<String> {
    let Some(path) = sdk else { return Ok(format!("\"{}\"", env!("CARGO_PKG_VERSION"))) };
    if !path.join("Cargo.toml").is_file() {
        bail!("--sdk {} has no Cargo.toml: name the directory of the crate wasmill-sdk", path.display());
    }
    let path = path.canonicalize().with_context(|| format!("--sdk {}", path.display()))?;
    // A JSON string is a TOML string, too.
    Ok(format!("{{ path = {} }}", serde_json::to_string(&path.display().to_string())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_crates_and_operators() {
        for good in ["a", "orders-2", "word-count"] {
            check_name(good).unwrap();
        }
        for bad in ["", "-a", "2a", "Orders", "a_b", "a/b", "..", "größe", "core", "test", "wasmill-sdk"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
        assert!(check_name(&"a".repeat(51)).is_err());
    }

    #[test]
    fn every_place_of_a_template_is_filled() {
        for kind in [Kind::Transform, Kind::Process] {
            let args = Args { name: "shout".into(), lang: "rust".into(), kind, sdk: None };
            for (file, text) in files(&args).unwrap() {
                assert!(!text.contains("{{") && !text.is_empty(), "{file}: {text}");
            }
        }
    }
}
