//! What a file does to its reader, step by step.

use std::fs::{self, File, OpenOptions};
use std::io::Write;

use tempfile::TempDir;
use wasmill_core::batch::Headers;

use super::*;

/// Bytes of the longest line.
const LONGEST: usize = 2_000;

/// A file in a directory of a test's own, and who reads it.
struct Place {
    directory: TempDir,
    follow: bool,
    reader: Reader,
    next: Offset,
    mark: Mark,
}

impl Place {
    fn new(follow: bool, text: &str) -> Self {
        let directory = TempDir::new().unwrap();
        fs::write(directory.path().join("in.txt"), text).unwrap();
        let mut place =
            Self { reader: reader(&directory, follow, None), directory, follow, next: Offset(0), mark: Mark::NONE };
        place.restart();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn append(&self, name: &str, text: impl AsRef<[u8]>) {
        OpenOptions::new().append(true).create(true).open(self.path(name)).unwrap().write_all(text.as_ref()).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    /// A new reader, where the last one was.
    fn restart(&mut self) {
        self.restart_until(None);
    }

    fn restart_until(&mut self, stop: Option<u64>) {
        let input = reader(&self.directory, self.follow, None).input;
        self.reader = Reader::new(input, stop, self.next, self.mark);
    }

    /// All lines up to the end, as offset and text.
    fn read(&mut self) -> Vec<(i64, String)> {
        let mut lines = Vec::new();
        for _ in 0..10_000 {
            match self.reader.step(Timestamp(7)).unwrap() {
                Step::More => {}
                Step::Nothing | Step::End(_) => return lines,
                Step::Lines { records, offsets, next, mark } => {
                    assert!(next >= self.next && offsets.iter().all(|&offset| offset >= self.next.0));
                    (self.next, self.mark) = (next, mark);
                    let texts = records.iter().map(|record| {
                        assert!(record.key.is_none() && record.timestamp == Timestamp(7));
                        String::from_utf8_lossy(record.value.unwrap()).into_owned()
                    });
                    lines.extend(offsets.into_iter().zip(texts));
                }
            }
        }
        panic!("it does not end");
    }

    #[track_caller]
    fn reads(&mut self, expected: &[(i64, &str)]) {
        let got = self.read();
        assert_eq!(got.iter().map(|(offset, line)| (*offset, line.as_str())).collect::<Vec<_>>(), expected);
    }
}

fn reader(directory: &TempDir, follow: bool, stop: Option<u64>) -> Reader {
    let path = directory.path().join("in.txt");
    let input = FileInput { source: "lines".into(), path, follow, longest: LONGEST };
    Reader::new(input, stop, Offset(0), Mark::NONE)
}

#[test]
fn the_offset_of_a_line_is_its_place_in_the_file() {
    let mut place = Place::new(false, "hello\n\nw\u{f6}rld\r\nlast");
    place.reads(&[(0, "hello"), (6, ""), (7, "w\u{f6}rld"), (15, "last")]);
    assert_eq!(place.next, Offset(19));
    place.append("in.txt", " and more\n");
    place.reads(&[]);
    place.restart();
    place.reads(&[(19, " and more")]);
}

#[test]
fn values_need_not_be_text() {
    let mut place = Place::new(false, "");
    place.append("in.txt", b"\xff\xfe\n");
    let Step::Lines { .. } = place.reader.step(Timestamp(7)).unwrap() else { panic!("the file is taken") };
    let Step::Lines { records, .. } = place.reader.step(Timestamp(7)).unwrap() else { panic!("a line") };
    assert_eq!(records.get(0).unwrap().value, Some(&b"\xff\xfe"[..]));
}

#[test]
fn an_unfinished_line_waits_where_the_file_is_followed() {
    let mut place = Place::new(true, "a\nb");
    place.reads(&[(0, "a")]);
    place.append("in.txt", "c");
    place.reads(&[]);
    place.restart();
    place.reads(&[]);
    place.append("in.txt", "d\ne\n");
    place.reads(&[(2, "bcd"), (6, "e")]);
}

#[test]
fn a_rotated_file_is_read_to_its_end_first() {
    let mut place = Place::new(true, "a\n");
    place.reads(&[(0, "a")]);
    place.append("in.txt", "b\n");
    place.rename("in.txt", "in.txt.1");
    place.append("in.txt.1", "c\nhalf");
    place.reads(&[(2, "b"), (4, "c")]);
    place.append("in.txt", "new\n");
    place.reads(&[(6, "half"), (10, "new")]);
    place.append("in.txt", "er\n");
    place.reads(&[(14, "er")]);
    place.restart();
    place.reads(&[]);
    place.append("in.txt", "est\n");
    place.reads(&[(17, "est")]);
}

#[test]
fn a_file_that_was_rotated_while_nobody_read_is_found_beside_it() {
    for follow in [true, false] {
        let mut place = Place::new(follow, "a\n");
        place.reads(&[(0, "a")]);
        place.append("in.txt", "b\n");
        place.rename("in.txt", "in.txt.1");
        place.append("in.txt", "new\n");
        place.restart();
        place.reads(&[(2, "b"), (4, "new")]);
        place.restart();
        place.reads(&[]);
    }
}

#[test]
fn a_file_that_was_replaced_while_nobody_read_is_read_from_its_start() {
    let mut place = Place::new(true, "first\nsecond\n");
    place.reads(&[(0, "first"), (6, "second")]);
    // It may get the number of the one that is gone, and is longer.
    fs::remove_file(place.path("in.txt")).unwrap();
    place.append("in.txt", "other, and longer\n");
    place.restart();
    place.reads(&[(13, "other, and longer")]);
}

#[test]
fn a_file_that_was_cut_off_begins_anew() {
    let mut place = Place::new(true, "first\nsecond\n");
    place.reads(&[(0, "first"), (6, "second")]);
    File::create(place.path("in.txt")).unwrap();
    place.reads(&[]);
    place.append("in.txt", "third\n");
    place.reads(&[(13, "third")]);
    File::create(place.path("in.txt")).unwrap();
    place.restart();
    place.append("in.txt", "4\n");
    place.reads(&[(19, "4")]);
}

#[test]
fn a_crash_before_the_commit_sees_the_change_again() {
    let mut place = Place::new(true, "a\nb\n");
    place.reads(&[(0, "a"), (2, "b")]);
    let (next, mark) = (place.next, place.mark);
    place.rename("in.txt", "in.txt.1");
    place.append("in.txt", "c\n");
    place.reads(&[(4, "c")]);
    (place.next, place.mark) = (next, mark);
    place.restart();
    place.reads(&[(4, "c")]);
}

#[test]
fn a_file_that_is_not_there_is_waited_for_or_told() {
    let mut place = Place::new(true, "");
    fs::remove_file(place.path("in.txt")).unwrap();
    place.reads(&[]);
    place.append("in.txt", "a\n");
    place.reads(&[(0, "a")]);
    let mut place = Place::new(false, "");
    fs::remove_file(place.path("in.txt")).unwrap();
    let told = place.reader.step(Timestamp(7)).unwrap_err();
    assert!(told.contains("in.txt for source lines: there is no such file; make it, or say `follow: true`"), "{told}");
    fs::create_dir(place.path("in.txt")).unwrap();
    let told = place.reader.step(Timestamp(7)).unwrap_err();
    assert!(told.contains("it is a directory; name a file in it"), "{told}");
}

#[test]
fn a_path_that_vanishes_is_waited_for_where_it_is_followed() {
    let mut place = Place::new(true, "a\n");
    place.reads(&[(0, "a")]);
    fs::remove_file(place.path("in.txt")).unwrap();
    place.reads(&[]);
    place.restart();
    place.reads(&[]);
    place.append("in.txt", "b\n");
    place.reads(&[(2, "b")]);
}

#[test]
fn a_run_until_the_end_reads_what_was_there() {
    let mut place = Place::new(true, "a\nb\nc");
    place.restart_until(Some(5));
    place.append("in.txt", "d\ne\n");
    place.reads(&[(0, "a"), (2, "b")]);
    assert_eq!(place.next, Offset(4));
    place.restart();
    place.reads(&[(4, "cd"), (7, "e")]);
}

#[test]
fn a_line_too_long_is_shown_by_its_beginning_and_bounded() {
    let long = "x".repeat(3 << 20);
    let mut place = Place::new(false, "a\n");
    place.append("in.txt", format!("{long}\nb\n{long}"));
    let lines = place.read();
    let offsets: Vec<_> = lines.iter().map(|(offset, line)| (*offset, line.len())).collect();
    let behind = 2 + long.len() as i64 + 1;
    assert_eq!(offsets, [(0, 1), (2, SHOWN), (behind, 1), (behind + 2, SHOWN)]);
    assert_eq!(place.next, Offset(behind + 2 + long.len() as i64));
    assert!(place.reader.rest.capacity() < 4 * CHUNK, "{}", place.reader.rest.capacity());
}

#[test]
fn a_line_too_long_says_in_a_header_how_long_it_is() {
    let mut records = Batch::default();
    for (line, dropped) in [(&[b'x'; LONGEST][..], 0), (&[b'x'; LONGEST + 1], 0), (&[b'x'; SHOWN + 4], 5_000)] {
        push(&mut records, line, dropped, LONGEST, Timestamp(7));
    }
    let lengths: Vec<_> = records
        .iter()
        .map(|record| {
            let header = Headers::new(record.headers.unwrap_or_default()).next();
            (record.value.unwrap().len(), header.map(|(name, value)| (name.to_owned(), value.unwrap().to_vec())))
        })
        .collect();
    let header = |length: &str| Some((LINE_BYTES.to_owned(), length.as_bytes().to_vec()));
    assert_eq!(lengths, [(LONGEST, None), (SHOWN, header("2001")), (SHOWN, header("6004"))]);
}

#[test]
fn many_lines_come_a_few_hundred_at_a_time() {
    let text = (0..10_000).map(|line| format!("line {line}")).collect::<Vec<_>>().join("\n") + "\n";
    let mut place = Place::new(false, &text);
    let lines = place.read();
    assert_eq!(lines.len(), 10_000);
    assert!(lines.iter().all(|(offset, line)| text[*offset as usize..].starts_with(&format!("{line}\n"))));
}
