//! A page, read from its top by somebody who types all of it into an empty directory.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::snippet::Snippet;
use crate::support::command::{Place, repository};
use crate::support::kafka::{self, Broker};

/// What pages say for a broker's address.
const ADDRESS: &str = "localhost:9092";

/// The reader of a page.
pub(crate) struct Reader {
    place: Place,
    /// Where the last command left the shell.
    directory: PathBuf,
    /// What the last commands printed, and where they stand.
    printed: Option<(String, String)>,
    /// The blocks that were run.
    pub(crate) run: usize,
}

impl Reader {
    pub(crate) fn new() -> Self {
        let place = Place::new();
        let (bin, directory) = (place.path("bin"), place.path("page"));
        [&bin, &directory].into_iter().for_each(|directory| fs::create_dir_all(directory).unwrap());
        symlink(env!("CARGO_BIN_EXE_wasmill"), bin.join("wasmill")).unwrap();
        Self { place, directory, printed: None, run: 0 }
    }

    /// Does what a block says.
    pub(crate) fn read(&mut self, snippet: &Snippet) {
        let printed = if snippet.language == "text" { self.printed.clone() } else { self.printed.take() };
        if let Some(path) = snippet.attribute("same-as") {
            snippet.check_same(path);
        }
        if let Some(path) = snippet.attribute("file") {
            self.write(path, &snippet.text);
        }
        match snippet.language.as_str() {
            "sh" if snippet.attribute("not-run").is_some() => {}
            "sh" => self.type_in(snippet),
            "text" if snippet.attribute("file").is_some() => {}
            "text" => {
                if let Some((place, printed)) = printed {
                    check_printed(snippet, &place, &printed);
                }
            }
            "yaml" if snippet.attribute("not-a-pipeline").is_some() => {}
            "yaml" => self.validate(snippet),
            "json" => check_json(snippet),
            // Those that are whole are compiled together, see `rust`.
            "rust" => {}
            "python" | "js" | "ts" | "toml" => {
                let known = ["file", "same-as"].iter().any(|name| snippet.attribute(name).is_some());
                assert!(known, "{}: say which file it is of, or what file it makes", snippet.place());
            }
            other => panic!("{}: blocks of {other:?} are not tested", snippet.place()),
        }
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.directory.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn type_in(&mut self, snippet: &Snippet) {
        self.lock_projects();
        if snippet.text.contains("kafka-") {
            self.add_kafka();
        }
        let (printed, status) = self.shell(&localized(&snippet.text));
        let expected: i32 = snippet.attribute("status").map_or(0, |status| status.parse().unwrap());
        assert_eq!(status, Some(expected), "{}:\n{}\nprints:\n{printed}", snippet.place(), snippet.text);
        self.printed = Some((snippet.place(), printed));
        self.run += 1;
    }

    /// Puts what stands for Kafka's own commands where the shell finds it.
    fn add_kafka(&self) {
        let options = kafka::options().map(|option| format!("'{option}'")).join(" ");
        let source = repository().join("tests/kafka/Commands.java");
        for command in ["topics", "console-consumer"] {
            let script = format!("#!/bin/sh\nexec java {options} {} {command} \"$@\"\n", source.display());
            let path = self.place.write(&format!("bin/kafka-{command}.sh"), script);
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    /// Runs commands where the last ones ended. Answers what they printed, and the status of the last.
    fn shell(&mut self, commands: &str) -> (String, Option<i32>) {
        let (output, left) = (self.place.path("output"), self.place.path("left"));
        let script = format!("trap 'pwd >{}' EXIT\n{commands}", left.display());
        let file = File::create(&output).unwrap();
        let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| repository().join("target").into());
        let path = std::env::var("PATH").unwrap();
        let mut bash = Command::new("bash");
        bash.args(["-e", "-u", "-o", "pipefail", "-c", &script]).current_dir(&self.directory);
        bash.env("PATH", format!("{}:{path}", self.place.path("bin").display()));
        bash.env("CARGO_TARGET_DIR", target).env("NO_COLOR", "1");
        bash.env_remove("WASMILL_BROKERS").env_remove("WASMILL_LOG").env_remove("RUST_BACKTRACE");
        bash.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        let status = bash.status().unwrap();
        self.directory = fs::read_to_string(left).unwrap().trim().into();
        (fs::read_to_string(output).unwrap(), status.code())
    }

    /// Gives projects that were begun the versions that this repository is tested with.
    fn lock_projects(&self) {
        let entries = fs::read_dir(&self.directory).unwrap().map(|entry| entry.unwrap().path());
        for project in entries.chain([self.directory.clone()]) {
            let lock = project.join("Cargo.lock");
            if project.join("Cargo.toml").exists() && !lock.exists() {
                fs::copy(repository().join("Cargo.lock"), lock).unwrap();
            }
        }
    }

    /// Has a pipeline checked; what a fragment lacks is put around it.
    fn validate(&mut self, snippet: &Snippet) {
        let mut text = snippet.text.clone();
        if let Some(key) = snippet.attribute("in") {
            let lines = text.lines().map(|line| format!("  {line}\n"));
            text = format!("{key}:\n{}", lines.collect::<String>());
        }
        if !text.contains("format-version:") {
            text = format!("format-version: 1\nname: fragment\n{text}");
        }
        for line in snippet.attribute("with").into_iter().flat_map(|with| with.split(";;")) {
            text.extend([line.trim(), "\n"]);
        }
        // Beside the file that it is written to, so that relative paths lead where they would.
        let directory = snippet.attribute("file").map_or("", |path| path.rsplit_once('/').map_or("", |(dir, _)| dir));
        let file = self.directory.join(directory).join(".checked.yaml");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, &text).unwrap();
        let (printed, status) = self.shell(&format!("wasmill validate '{}'", file.display()));
        assert_eq!(status, Some(0), "{}: {printed}\n{text}", snippet.place());
        fs::remove_file(file).unwrap();
        self.run += 1;
    }
}

/// Commands as they are here: what is in a checkout is in this one, what is built is built, and the broker is the test's.
fn localized(commands: &str) -> String {
    let mut text = commands.replace("cargo run --release -- ", "wasmill ");
    for directory in ["examples/", "guest-sdk/"] {
        for before in [" ", "=", "\n"] {
            let here = format!("{before}{}/{directory}", repository().display());
            text = text.replace(&format!("{before}{directory}"), &here);
        }
        if let Some(rest) = text.strip_prefix(directory) {
            text = format!("{}/{directory}{rest}", repository().display());
        }
    }
    if text.contains(ADDRESS) { text.replace(ADDRESS, &Broker::shared().address()) } else { text }
}

/// Fails unless each line of a block was printed, in this order. `…` stands for any text within a line.
fn check_printed(snippet: &Snippet, place: &str, printed: &str) {
    let any = snippet.attribute("in-any-order").is_some();
    let mut lines = printed.lines();
    for expected in snippet.text.lines().filter(|line| !line.trim().is_empty()) {
        if any {
            lines = printed.lines();
        }
        let found = lines.any(|line| fits(&without_numbers(expected), &without_numbers(line)));
        assert!(
            found,
            "{}: after what is before it, {place} does not print:\n{expected}\nbut:\n{printed}",
            snippet.place()
        );
    }
}

/// How long a run took, and in how many epochs, differs.
fn without_numbers(line: &str) -> String {
    match line.split_once(" records in ") {
        Some((records, rest)) if rest.contains(" epoch") => format!("{records} records in"),
        _ => line.trim_end().to_owned(),
    }
}

fn fits(pattern: &str, line: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('…') else { return pattern == line };
    let Some(mut left) = line.strip_prefix(first) else { return false };
    let mut pieces: Vec<_> = rest.split('…').collect();
    let last = pieces.pop().unwrap_or_default();
    for piece in pieces {
        let Some(at) = left.find(piece) else { return false };
        left = &left[at + piece.len()..];
    }
    left.len() >= last.len() && left.ends_with(last)
}

fn check_json(snippet: &Snippet) {
    for line in snippet.text.lines() {
        let read = serde_json::from_str::<serde_json::Value>(line);
        assert!(read.is_ok(), "{}: {line}: {read:?}", snippet.place());
    }
}

#[test]
fn a_pattern_fits_what_it_says() {
    for (pattern, line, does) in [
        ("a", "a", true),
        ("a", "ab", false),
        ("a…", "ab", true),
        ("…b", "ab", true),
        ("a…c…e", "abcde", true),
        ("a…c…e", "abce", true),
        ("a…c…e", "abde", false),
        ("ab…b", "ab", false),
    ] {
        assert_eq!(fits(pattern, line), does, "{pattern} {line}");
    }
}
