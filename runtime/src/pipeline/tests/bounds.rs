//! Files that are too large, too deep, or not text at all.

use std::path::Path;

use super::{read, variables};
use crate::pipeline::{load, parse};

fn message(text: &str) -> String {
    read(text).unwrap_err().iter().next().unwrap().message.clone()
}

fn lines(numbers: std::ops::Range<usize>, line: impl Fn(usize) -> String) -> String {
    numbers.map(line).collect::<Vec<_>>().join("\n")
}

/// Ten aliases of one anchor.
fn ten(anchor: usize) -> String {
    vec![format!("*a{anchor}"); 10].join(", ")
}

#[test]
fn deep_nesting_is_refused() {
    for text in ["[".repeat(100_000), "{a: ".repeat(100_000), "- ".repeat(100_000)] {
        assert_eq!(message(&text), "mappings and lists are nested more than 64 deep");
    }
    let steps = lines(1..80, |n| format!("x-{n}: &a{n} [*a{}]", n - 1));
    assert_eq!(message(&format!("x-0: &a0 []\n{steps}")), "mappings and lists are nested more than 64 deep");
}

#[test]
fn an_alias_bomb_is_refused() {
    let steps = lines(1..10, |n| format!("x-{n}: &a{n} [{}]", ten(n - 1)));
    let bomb = format!("x-0: &a0 [1, 2, 3]\n{steps}");
    assert_eq!(
        message(&bomb),
        "the file has more than 50000 values, those behind anchors and aliases counted each time"
    );
}

#[test]
fn a_merge_bomb_is_refused() {
    let steps = lines(1..10, |n| format!("x-{n}: &a{n} {{<<: [{}]}}", ten(n - 1)));
    let bomb = format!("x-0: &a0 {{a: 1, b: 2}}\n{steps}");
    assert_eq!(
        message(&bomb),
        "the file has more than 50000 values, those behind anchors and aliases counted each time"
    );
}

#[test]
fn a_large_file_is_refused() {
    let text = "#".repeat((1 << 20) + 1);
    assert_eq!(message(&text), "the file is larger than 1 MiB, which no pipeline is");
}

#[test]
fn a_wide_file_is_read_in_no_time() {
    let operators = lines(0..5_000, |n| format!("  o{n}: {{plugin: a, from: s}}"));
    let graph =
        read(&format!("format-version: 1\nname: p\nsources: {{s: {{topic: s}}}}\noperators:\n{operators}")).unwrap();
    assert_eq!(graph.operators().len(), 5_000);
}

#[test]
fn bytes_that_are_not_text_are_refused() {
    for (bytes, rendered) in [
        (
            b"name: p\ntopic: \xff\n" as &[u8],
            "error: the byte 0xff is not UTF-8; save the file as UTF-8\n --> p.yaml:2:8\n  |\n2 | topic: \u{fffd}\n  |        ^",
        ),
        (
            b"\xff\xfen\0",
            "error: the byte 0xff is not UTF-8; save the file as UTF-8\n --> p.yaml:1:1\n  |\n1 | \u{fffd}\u{fffd}n\n  | ^",
        ),
    ] {
        let errors = parse(Path::new("p.yaml"), bytes, &variables).unwrap_err();
        assert_eq!(errors.to_string().replace("  -->", " -->"), rendered);
    }
}

#[test]
fn no_text_makes_it_panic() {
    let whole = include_str!("whole.yaml");
    for (end, _) in whole.char_indices() {
        let _ = read(&whole[..end]);
    }
    for (at, c) in whole.char_indices().step_by(7) {
        for instead in ["", "\t", ":", "{", "]", "*", "&a ", "\"", "<<: ", "\0", "é", "- "] {
            let _ = read(&format!("{}{instead}{}", &whole[..at], &whole[at + c.len_utf8()..]));
        }
    }
}

#[test]
fn a_directory_stands_for_the_pipeline_file_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let missing = load(directory.path()).unwrap_err().to_string();
    let expected = "pipeline.yaml`: no such file; name a pipeline file, or a directory that holds a `pipeline.yaml`";
    assert!(missing.contains(expected), "{missing}");
    let text = "format-version: 1\nname: p\nsources: {s: {topic: s, sample: s.txt}}\nsinks: {k: {topic: k, from: s}}\n";
    std::fs::write(directory.path().join("pipeline.yaml"), text).unwrap();
    let graph = load(directory.path()).unwrap();
    assert_eq!(graph.file(), directory.path().join("pipeline.yaml"));
    assert_eq!(graph.sources()[0].sample, Some(directory.path().join("s.txt")));
}
