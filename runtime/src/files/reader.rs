//! One file, line by line.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use tracing::{info, warn};
use wasmill_core::batch::{Batch, Message, encode_headers};
use wasmill_core::port::Mark;
use wasmill_core::record::{Offset, Timestamp};

use super::LINE_BYTES;
use super::check::{self, Unusable};
use super::mark::Known;
use crate::topology::FileInput;

/// Bytes that are read at once.
const CHUNK: usize = 256 << 10;
/// Records that one step brings, at most.
const MOST_RECORDS: usize = 256;
/// Bytes of records that one step brings, at most, but one record.
const MOST_BYTES: usize = 256 << 10;
/// How much of a line that is too long becomes a record, for the dead letter to show.
const SHOWN: usize = 1_000;
/// Reads without a whole line before others have their turn.
const PATIENCE: usize = 64;

/// What a step brought.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// Nothing new.
    Nothing,
    /// Nothing yet, but there is more to read.
    More,
    /// Lines with their offsets; none where reading went over to another file.
    Lines { records: Batch, offsets: Vec<i64>, next: Offset, mark: Mark },
    /// It is read to its end.
    End(Offset),
}

/// Reads a file from a position on.
#[derive(Debug)]
pub(super) struct Reader {
    input: FileInput,
    /// Where the file at the path ends for this run, although more may come.
    stop: Option<u64>,
    /// The offset of the next line.
    next: Offset,
    /// The file that it counts in, once one was opened.
    known: Option<Known>,
    open: Option<Open>,
    /// Bytes that were read, and how many of them were handed out.
    rest: Vec<u8>,
    done: usize,
    /// Bytes of a line of which only the beginning is kept in `rest`.
    long: Option<u64>,
    /// Whether nothing is read any more.
    over: bool,
    /// Whether it was told that it is read to its end.
    told: bool,
}

#[derive(Debug)]
struct Open {
    file: File,
    known: Known,
    /// The next byte to read.
    at: u64,
    /// Whether it was found at the path, and not beside it under another name.
    is_current: bool,
}

impl Reader {
    /// A reader that goes on at `next`, which counts in the file that `mark` tells of.
    pub(super) fn new(input: FileInput, stop: Option<u64>, next: Offset, mark: Mark) -> Self {
        let known = Known::decode(mark);
        let stop = stop.filter(|_| input.follow);
        Self { input, stop, next, known, open: None, rest: Vec::new(), done: 0, long: None, over: false, told: false }
    }

    /// Reads on. A failure is told with what was being done.
    pub(super) fn step(&mut self, now: Timestamp) -> Result<Step, String> {
        self.advance(now).map_err(|reason| {
            let FileInput { source, path, .. } = &self.input;
            format!("read {} for source {source}: {reason}", path.display())
        })
    }

    fn advance(&mut self, now: Timestamp) -> Result<Step, Unusable> {
        if self.over {
            return Ok(self.end());
        }
        if self.open.is_none() {
            return self.begin();
        }
        for _ in 0..PATIENCE {
            if let Some(lines) = self.lines(now) {
                return self.hand_out(lines);
            }
            if !self.fill()? {
                return self.at_end(now);
            }
        }
        Ok(Step::More)
    }

    fn end(&mut self) -> Step {
        if std::mem::replace(&mut self.told, true) { Step::Nothing } else { Step::End(self.next) }
    }

    /// Opens the file that reading goes on in.
    fn begin(&mut self) -> Result<Step, Unusable> {
        let path = self.input.path.clone();
        let current = match check::open(&path) {
            Ok(file) => Some(file),
            Err(Unusable::Missing) => None,
            Err(unusable) => return Err(unusable),
        };
        let Some(known) = self.known else {
            let Some(file) = current else { return self.missing() };
            let metadata = file.metadata()?;
            // A position without a mark is the end that the file had when the pipeline first ran.
            let (at, known) = (self.next.0 as u64, Known::new(&metadata, 0));
            if metadata.len() < at {
                return self.change(file, "is shorter than where reading stood");
            }
            return self.go_on(file, known, at, true);
        };
        let at = (self.next.0 - known.base) as u64;
        if let Some(file) = current {
            if known.is(&file)? {
                if file.metadata()?.len() < at {
                    return self.change(file, "was cut off");
                }
                self.open = Some(Open { file, known, at, is_current: true });
                return Ok(Step::More);
            }
            if let Some(file) = beside(&path, &known)? {
                self.open = Some(Open { file, known, at, is_current: false });
                return Ok(Step::More);
            }
            let what = match known.has_number(&file.metadata()?) {
                true => "was cut off or written anew while nobody read it",
                false => "was replaced while nobody read it, and the old one is not found beside it",
            };
            return self.change(file, what);
        }
        match beside(&path, &known)? {
            Some(file) => {
                self.open = Some(Open { file, known, at, is_current: false });
                Ok(Step::More)
            }
            None => self.missing(),
        }
    }

    /// There is no file at the path.
    fn missing(&mut self) -> Result<Step, Unusable> {
        if !self.input.follow {
            return Err(Unusable::Missing);
        }
        self.over = self.stop.is_some();
        Ok(self.end())
    }

    /// Begins a file at its start, because it is not what was read before.
    fn change(&mut self, file: File, what: &str) -> Result<Step, Unusable> {
        let (source, path) = (&self.input.source, self.input.path.display());
        warn!(source, "{path} {what}: it is read from its start");
        let known = Known::new(&file.metadata()?, self.next.0);
        self.go_on(file, known, 0, true)
    }

    /// Takes a file, and hands out that it was taken.
    fn go_on(&mut self, file: File, known: Known, at: u64, is_current: bool) -> Result<Step, Unusable> {
        (self.rest, self.done, self.long) = (Vec::new(), 0, None);
        let mut known = known;
        known.learn(&file, at)?;
        let mark = known.encode();
        self.open = Some(Open { file, known, at, is_current });
        self.told = false;
        Ok(Step::Lines { records: Batch::default(), offsets: Vec::new(), next: self.next, mark })
    }

    /// Reads some bytes. Answers whether there were any.
    fn fill(&mut self) -> Result<bool, Unusable> {
        let Some(open) = &mut self.open else { return Ok(false) };
        let mut most = CHUNK as u64;
        if let Some(stop) = self.stop.filter(|_| open.is_current) {
            most = most.min(stop.saturating_sub(open.at));
        }
        let before = self.rest.len();
        self.rest.resize(before + most as usize, 0);
        let bytes = self.rest.get_mut(before..).unwrap_or_default();
        let read = loop {
            match open.file.read_at(bytes, open.at) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.rest.truncate(before + *read.as_ref().unwrap_or(&0));
        let read = read?;
        open.at += read as u64;
        Ok(read > 0)
    }

    /// Takes the whole lines that were read, at most as many as one step brings.
    fn lines(&mut self, now: Timestamp) -> Option<(Batch, Vec<i64>)> {
        let (mut records, mut offsets) = (Batch::default(), Vec::new());
        let mut taken = self.done;
        while records.len() < MOST_RECORDS && records.bytes() < MOST_BYTES {
            let rest = self.rest.get(taken..).unwrap_or_default();
            let Some(length) = rest.iter().position(|&byte| byte == b'\n') else { break };
            let line = rest.get(..length).unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let dropped = self.long.take().unwrap_or(0);
            offsets.push(self.next.0);
            push(&mut records, line, dropped, self.input.longest, now);
            taken += length + 1;
            self.next = Offset(self.next.0 + dropped as i64 + length as i64 + 1);
        }
        self.done = taken;
        if records.is_empty() {
            self.rest.drain(..taken);
            self.done = 0;
            self.shorten();
            return None;
        }
        Some((records, offsets))
    }

    /// Forgets what a line too long has behind its beginning.
    fn shorten(&mut self) {
        if self.rest.len() > self.input.longest.max(SHOWN) + 1 {
            let dropped = self.rest.len() - SHOWN;
            self.rest.truncate(SHOWN);
            self.long = Some(self.long.unwrap_or(0) + dropped as u64);
        }
    }

    fn hand_out(&mut self, (records, offsets): (Batch, Vec<i64>)) -> Result<Step, Unusable> {
        let Some(open) = &mut self.open else { return Ok(Step::Nothing) };
        open.known.learn(&open.file, (self.next.0 - open.known.base) as u64)?;
        let mark = open.known.encode();
        self.told = false;
        Ok(Step::Lines { records, offsets, next: self.next, mark })
    }

    /// All bytes are read.
    fn at_end(&mut self, now: Timestamp) -> Result<Step, Unusable> {
        let Some(Open { is_current, known, at, .. }) = &self.open else { return Ok(Step::Nothing) };
        let (is_current, known, at) = (*is_current, *known, *at);
        if is_current && !self.input.follow {
            self.over = true;
            return self.last(now);
        }
        if is_current && self.stop.is_some() {
            self.over = true;
            return Ok(self.end());
        }
        let metadata = match fs::metadata(&self.input.path) {
            Ok(metadata) => metadata,
            // Between two files there is none for a moment.
            Err(error) if error.kind() == ErrorKind::NotFound && is_current => return Ok(self.end()),
            Err(error) if error.kind() == ErrorKind::NotFound => return self.missing_behind(now),
            Err(error) => return Err(error.into()),
        };
        if is_current && known.has_number(&metadata) {
            if metadata.len() >= at {
                return Ok(self.end());
            }
            let file = check::open(&self.input.path)?;
            return self.change(file, "was cut off");
        }
        // Whoever had the old file open may have written a last line since it was read to its end.
        if self.fill()? {
            return Ok(Step::More);
        }
        if !self.rest.is_empty() {
            return self.last(now);
        }
        let file = match check::open(&self.input.path) {
            Ok(file) => file,
            Err(Unusable::Missing) => return Ok(self.end()),
            Err(unusable) => return Err(unusable),
        };
        info!(source = self.input.source, "{} is another file now", self.input.path.display());
        let known = Known::new(&file.metadata()?, self.next.0);
        self.go_on(file, known, 0, true)
    }

    /// A file that was renamed is read to its end, and there is no new one yet.
    fn missing_behind(&mut self, now: Timestamp) -> Result<Step, Unusable> {
        if !self.input.follow {
            self.over = true;
            return self.last(now);
        }
        self.over = self.stop.is_some();
        Ok(self.end())
    }

    /// The end of the file ends its last line.
    fn last(&mut self, now: Timestamp) -> Result<Step, Unusable> {
        if self.rest.is_empty() && self.long.is_none() {
            return Ok(self.end());
        }
        let line = std::mem::take(&mut self.rest);
        let dropped = self.long.take().unwrap_or(0);
        let (mut records, offsets) = (Batch::default(), vec![self.next.0]);
        push(&mut records, &line, dropped, self.input.longest, now);
        self.next = Offset(self.next.0 + (line.len() as u64 + dropped) as i64);
        self.hand_out((records, offsets))
    }
}

/// Adds a line, of which `dropped` bytes are not there.
fn push(records: &mut Batch, line: &[u8], dropped: u64, longest: usize, timestamp: Timestamp) {
    let length = line.len() as u64 + dropped;
    let headers = (length > longest as u64).then(|| {
        let length = length.to_string();
        encode_headers([(LINE_BYTES, Some(length.as_bytes()))])
    });
    let shown = if headers.is_some() { line.get(..SHOWN).unwrap_or(line) } else { line };
    records.push(Message { key: None, value: Some(shown), headers: headers.as_deref(), timestamp });
}

/// The file that was read before, under the name that it has now.
fn beside(path: &Path, known: &Known) -> io::Result<Option<File>> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_file() && metadata.ino() != 0 && known.has_number(&metadata) {
            let file = File::open(entry.path())?;
            if known.is(&file)? {
                return Ok(Some(file));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
