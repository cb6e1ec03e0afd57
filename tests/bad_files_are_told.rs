//! Files that cannot be read or written: told with what to do, and nothing is lost.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::support::command::Place;

/// A pipeline from one file to another.
fn copier(place: &Place, source: &str, sink: &str) {
    place.write(
        "pipeline.yaml",
        format!(
            "format-version: 1\nname: copy\nsources: {{lines: {{file: {source}}}}}\n\
             sinks: {{copy: {{file: {sink}, from: lines}}}}\n"
        ),
    );
}

const RUN: [&str; 5] = ["run", "pipeline.yaml", "--until-end", "--data-dir", "data"];

fn read(place: &Place, name: &str) -> String {
    fs::read_to_string(place.path(name)).unwrap()
}

#[test]
fn files_that_cannot_be_are_told_before_anything_is_made() {
    let place = Place::new();
    place.write("in.txt", "a\n");
    fs::create_dir(place.path("dir")).unwrap();
    #[rustfmt::skip]
    let table: [(&str, &str, &[&str]); 6] = [
        ("dir",                           "out.txt",      &["source lines of copy: cannot read dir: it is a directory"]),
        ("{path: dir, follow: true}",     "out.txt",      &["source lines of copy: cannot read dir: it is a directory"]),
        ("gone.txt",                      "out.txt",      &["cannot read gone.txt: there is no such file", "follow: true"]),
        ("in.txt",                        "dir",          &["sink copy of copy: cannot write dir: it is a directory"]),
        ("in.txt",                        "no/out.txt",   &["cannot write no/out.txt: its directory does not exist"]),
        ("/dev/null",                     "out.txt",      &["cannot read /dev/null: it is not a regular file"]),
    ];
    for (source, sink, says) in table {
        copier(&place, source, sink);
        place.run(RUN).failed(1, says);
    }
    copier(&place, "in.txt", "out.txt");
    place.write("other.yaml", read(&place, "pipeline.yaml").replace("name: copy", "name: other"));
    place
        .run(["run", "pipeline.yaml", "other.yaml", "--until-end", "--data-dir", "data"])
        .failed(1, &["sink copy of other and sink copy of copy both write out.txt: give each a file of its own"]);
    place.run([&RUN[..], &["--feed", "lines=in.txt"]].concat()).failed(1, &["--feed lines: the source reads a file"]);
    place.run([&RUN[..], &["--print", "copy"]].concat()).failed(1, &["sink copy writes a file, out.txt"]);
    assert!(!place.path("data").exists() && !place.path("out.txt").exists());
}

#[test]
fn two_sinks_on_one_file_are_refused_by_validate() {
    let place = Place::new();
    place.write(
        "pipeline.yaml",
        "format-version: 1\nname: copy\nsources: {lines: {file: in.txt}}\nsinks:\n  a: {file: out.txt, from: lines}\n  \
         b: {file: ./out.txt, from: lines}\n",
    );
    place
        .run(["validate", "pipeline.yaml"])
        .failed(78, &["pipeline.yaml:6:13", "the sink `a` writes this file already"]);
}

#[test]
fn a_file_that_may_not_be_read_or_written_is_told() {
    let place = Place::new();
    let set = |name: &str, mode| fs::set_permissions(place.path(name), fs::Permissions::from_mode(mode)).unwrap();
    place.write("in.txt", "a\n");
    place.write("out.txt", "");
    copier(&place, "in.txt", "out.txt");
    set(".", 0o777);
    set("in.txt", 0o000);
    set("out.txt", 0o444);
    place.run_bound(RUN).failed(1, &["cannot read in.txt: this process may not read it; change its permissions"]);
    set("in.txt", 0o444);
    place.run_bound(RUN).failed(1, &["sink copy of copy: cannot write out.txt", "ermission denied"]);
    set("out.txt", 0o666);
    place.run_bound(RUN).ok();
    assert_eq!(read(&place, "out.txt"), "a\n");
}

#[test]
fn a_file_of_another_is_appended_to_and_one_that_was_cut_off_is_told() {
    let place = Place::new();
    place.write("in.txt", "a\nb");
    place.write("out.txt", "mine\n");
    copier(&place, "in.txt", "out.txt");
    place.run(RUN).ok();
    assert_eq!(read(&place, "out.txt"), "mine\na\nb\n");
    let again = place.run(RUN);
    assert!(again.status == Some(0) && again.stderr.contains("nothing new"), "{}", again.stderr);
    OpenOptions::new().write(true).open(place.path("out.txt")).unwrap().set_len(3).unwrap();
    place.write("in.txt", "a\nbc\n");
    place.run(RUN).failed(1, &["out.txt has 3 bytes, but 9 were written to it", "put back what it held, or remove it"]);
    fs::remove_file(place.path("out.txt")).unwrap();
    place.run(RUN).ok();
    assert_eq!(read(&place, "out.txt"), "c\n");
    place.run([&RUN[..], &["--fresh"]].concat()).ok();
    assert_eq!(read(&place, "out.txt"), "a\nbc\n");
}

#[test]
fn a_full_disk_loses_nothing() {
    let place = Place::new();
    let text: String = (0..5_000).map(|line| format!("line {line}")).collect::<Vec<_>>().join("\n") + "\n";
    place.write("in.txt", &text);
    copier(&place, "in.txt", "out.txt");
    // So long that only this file meets the limit, and mostly a hole.
    let long = (300 << 20) - 1_000;
    OpenOptions::new().create_new(true).write(true).open(place.path("out.txt")).unwrap().set_len(long).unwrap();
    let ended = place.run_full(300, RUN);
    ended.failed(1, &["sink copy of copy: append to out.txt: ", "make room for it and run again", "waits in the log"]);
    assert_eq!(fs::metadata(place.path("out.txt")).unwrap().len(), long, "no half of a line stays");
    place.run(RUN).ok();
    let written = fs::read(place.path("out.txt")).unwrap();
    assert!(written[long as usize..] == *text.as_bytes());
}

#[test]
fn lines_too_long_and_values_that_are_no_envelopes_are_dead_letters() {
    let place = Place::new();
    let envelope = r#"{"schema":null,"payload":"good"}"#;
    let long = "x".repeat(2_000_000);
    place.write("in.txt", format!("{envelope}\nplain\n{long}\n{{\"payload\":1}}\n{envelope}\n"));
    copier(&place, "in.txt, format: connect-json", "out.txt");
    let ended = place.run(RUN);
    assert!(ended.status == Some(0) && ended.stderr.contains("3 dead letters"), "{}", ended.stderr);
    assert_eq!(read(&place, "out.txt"), "good\ngood\n");
    let letters = place
        .run([
            "consume",
            "copy.dead-letters",
            "--data-dir",
            "data",
            "--from-beginning",
            "--until-end",
            "--format",
            "jsonl",
        ])
        .ok();
    let letters: Vec<Value> = letters.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let header =
        |letter: &Value, name: &str| letter["headers"][format!("wasmill-error-{name}")].as_str().unwrap().to_owned();
    let offsets: Vec<_> = letters.iter().map(|letter| header(letter, "offset")).collect();
    let plain = envelope.len() + 1;
    assert_eq!(offsets, [plain, plain + 6, plain + 6 + long.len() + 1].map(|offset| offset.to_string()));
    assert!(
        letters.iter().all(|letter| header(letter, "topic") == "file:in.txt" && header(letter, "operator") == "lines")
    );
    assert!(header(&letters[0], "reason").starts_with("read the value as connect-json"), "{}", letters[0]);
    assert_eq!(
        header(&letters[1], "reason"),
        "the line has 2000000 bytes, and a record at most 1000000; its beginning is shown"
    );
    assert_eq!(letters[1]["value"].as_str().unwrap(), &long[..1_000]);
}
