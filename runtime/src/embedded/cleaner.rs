//! Removes what newer records of changelogs have made superfluous, on a thread of its own.
//!
//! As Kafka's log cleaner does it: where each row of the part behind the last cleaning stands last is put down in memory,
//! then the partition is written anew from its begin, without the records that stand elsewhere. Offsets stay. A deletion is
//! kept until the cleaning after the next, so that stores which lag a little behind learn of it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use fjall::Readable as _;
use wasmill_core::batch::Message;
use wasmill_core::record::Offset;

use super::block::{self, Block, Read};
use super::catalog::{Extent, Extents, Wear};
use super::error::LogError;
use super::layout::{self, Place};
use super::log::{Inner, lock};

/// Rows whose last records are put down at once: what bounds the memory of a cleaning.
const MOST_ROWS: usize = if cfg!(test) { 200 } else { 1_000_000 };
/// Bytes of such rows.
const MOST_BYTES: usize = 64 << 20;
/// Bytes that are read and written in one step.
const STEP: usize = if cfg!(test) { 1 << 10 } else { 1 << 20 };

/// Where commits say that a partition is worth cleaning.
#[derive(Debug)]
pub(super) struct Cleaning(Sender<Option<Place>>);

impl Cleaning {
    /// What says it, and where it is heard.
    pub(super) fn channel() -> (Self, Receiver<Option<Place>>) {
        let (said, heard) = mpsc::channel();
        (Self(said), heard)
    }

    /// Asks for a partition to be cleaned.
    pub(super) fn want(&self, place: Place) {
        // Without anybody who hears it, the log is being closed.
        let _ = self.0.send(Some(place));
    }
}

/// The thread; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Cleaner {
    stop: Arc<AtomicBool>,
    wake: Sender<Option<Place>>,
    thread: Option<JoinHandle<()>>,
}

impl Cleaner {
    /// Starts it.
    pub(super) fn start(log: Arc<Inner>, heard: Receiver<Option<Place>>) -> Result<Self, LogError> {
        let (stop, wake) = (Arc::new(AtomicBool::new(false)), log.cleaning.0.clone());
        let (stopped, path) = (Arc::clone(&stop), log.disk.path().to_path_buf());
        let run = move || {
            let mut failed = HashSet::new();
            while let Ok(Some(place)) = heard.recv() {
                if stopped.load(Ordering::Acquire) {
                    return;
                }
                // A log that is not cleaned only grows; whoever needs what is damaged tells it as well.
                if !failed.contains(&place)
                    && let Err(error) = log.clean(place, &stopped)
                {
                    tracing::warn!(%error, "a changelog is not cleaned any more, and grows until the next start");
                    failed.insert(place);
                }
            }
        };
        let thread = thread::Builder::new().name("log-cleaner".into()).spawn(run).map_err(|error| {
            LogError::Storage { path, doing: "start its cleaning thread", reason: error.to_string() }
        })?;
        Ok(Self { stop, wake, thread: Some(thread) })
    }
}

impl Drop for Cleaner {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        let _ = self.wake.send(None);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The last record of each row of a part of a partition.
struct Last {
    offsets: HashMap<Box<[u8]>, Offset, foldhash::fast::RandomState>,
    bytes: usize,
    /// Deletions below it are dropped.
    old: Offset,
}

impl Last {
    fn note(&mut self, row: &[u8], offset: Offset) {
        if let Some(last) = self.offsets.get_mut(row) {
            *last = offset;
        } else {
            self.bytes += row.len();
            self.offsets.insert(row.into(), offset);
        }
    }

    fn keeps(&self, offset: Offset, message: Message<'_>) -> bool {
        let newest = self.offsets.get(message.key.unwrap_or_default()).is_none_or(|&last| last <= offset);
        newest && !self.is_over(offset, message)
    }

    fn is_over(&self, offset: Offset, message: Message<'_>) -> bool {
        message.value.is_none() && offset < self.old
    }
}

/// Blocks that take the place of others.
#[derive(Default)]
struct Step {
    /// Offsets under which blocks were found.
    old: Vec<Offset>,
    /// Blocks to write, each under the offset of one of them.
    new: Vec<(Offset, Block)>,
    read: usize,
    /// Whether a deletion is dropped that stores might not know of.
    forgets: bool,
}

impl Inner {
    /// Cleans a partition, if that is worth while.
    pub(super) fn clean(&self, place: Place, stop: &AtomicBool) -> Result<(), LogError> {
        let Extent { end, wear, .. } = self.extent(place);
        if !wear.is_due() {
            return Ok(());
        }
        let (last, until, left) = self.last_records(place, wear, end, stop)?;
        let (mut from, mut clean) = (Offset(0), 0);
        while from < until {
            if stop.load(Ordering::Acquire) {
                return Ok(());
            }
            let part = self.step(place, from, until, &last)?;
            let Some(&at) = part.old.last() else { break };
            if part.forgets && self.extent(place).wear.forgotten < last.old {
                self.note(place, |wear| wear.forgotten = last.old)?;
            }
            clean += self.rewrite(place, part)?;
            from = at.next();
        }
        self.note(place, |now| {
            let since = now.dirty.saturating_sub(wear.dirty);
            *now = Wear { cleaned: until, clean, dirty: left + since, ..*now };
        })
    }

    /// Where the rows behind the last cleaning stand last, how far they were read, and how many bytes are left.
    fn last_records(
        &self,
        place: Place,
        wear: Wear,
        end: Offset,
        stop: &AtomicBool,
    ) -> Result<(Last, Offset, u64), LogError> {
        let mut last = Last { offsets: HashMap::default(), bytes: 0, old: wear.cleaned };
        // A cleaning that did not end has left less than was counted: at the end there is nothing left, whatever was read.
        let (mut until, mut left) = (end, wear.dirty);
        self.blocks(place, wear.cleaned, end, |at, block| {
            left = left.saturating_sub(block.len() as u64);
            let read = block::decode_block(at, block, &mut |offset, message| {
                last.note(message.key.unwrap_or_default(), offset);
                true
            });
            let is_full = last.offsets.len() >= MOST_ROWS || last.bytes >= MOST_BYTES;
            if is_full {
                until = at.next();
            }
            (read, !is_full && !stop.load(Ordering::Acquire))
        })?;
        Ok((last, until, if until == end { 0 } else { left }))
    }

    /// Reads some blocks and makes those that take their place.
    fn step(&self, place: Place, from: Offset, until: Offset, last: &Last) -> Result<Step, LogError> {
        let mut step = Step::default();
        let (mut block, mut next) = (Block::default(), from);
        self.blocks(place, from, until, |at, bytes| {
            let read = block::decode_block(at, bytes, &mut |offset, message| {
                if last.keeps(offset, message) {
                    block.push_behind(offset.0.abs_diff(next.0), message);
                    next = offset.next();
                }
                step.forgets |= last.is_over(offset, message);
                true
            });
            step.old.push(at);
            step.read += bytes.len();
            let goes_on = step.read < STEP;
            if block.is_full() || !goes_on {
                block.skip(at.next().0.abs_diff(next.0));
                step.new.push((at, std::mem::take(&mut block)));
                next = at.next();
            }
            (read, goes_on)
        })?;
        if let Some(&at) = step.old.last()
            && block.count() > 0
        {
            block.skip(at.next().0.abs_diff(next.0));
            step.new.push((at, block));
        }
        Ok(step)
    }

    /// Writes a step at once. Answers the bytes of what it leaves.
    fn rewrite(&self, place: Place, step: Step) -> Result<u64, LogError> {
        let records = &self.disk.records;
        let mut batch = self.disk.batch(step.old.len() + step.new.len());
        let mut left = 0;
        let mut new = step.new.into_iter().filter(|(_, block)| block.count() > 0).peekable();
        for at in step.old {
            match new.next_if(|(to, _)| *to == at) {
                Some((_, block)) => {
                    let bytes = block.encode();
                    left += bytes.len() as u64;
                    batch.insert(records, place.record(at), bytes);
                }
                None => batch.remove(records, place.record(at)),
            }
        }
        self.disk.guarded("clean a changelog", || batch.commit())?;
        Ok(left)
    }

    /// Hands over blocks of a partition as they are at this moment, each with its offset, until one is the last.
    fn blocks(
        &self,
        place: Place,
        from: Offset,
        end: Offset,
        mut visit: impl FnMut(Offset, &[u8]) -> (Read, bool),
    ) -> Result<(), LogError> {
        let whole = self.disk.guarded("read a changelog to clean it", || {
            for entry in self.disk.snapshot().range(&self.disk.records, place.record(from)..place.record(end)) {
                let (key, bytes) = entry.into_inner()?;
                let Some(at) = layout::offset_of(&key) else { return Ok(false) };
                match visit(at, &bytes) {
                    (Read::Whole, true) => {}
                    (Read::Whole, false) => return Ok(true),
                    _ => return Ok(false),
                }
            }
            Ok(true)
        })?;
        if whole { Ok(()) } else { Err(self.disk.damaged("a record of a changelog cannot be read")) }
    }

    /// Writes down how worn a partition is.
    fn note(&self, place: Place, change: impl FnOnce(&mut Wear)) -> Result<(), LogError> {
        let _writing = lock(&self.writer);
        let commit = lock(&self.catalog).commits + 1;
        let mut extent = self.extent(place);
        change(&mut extent.wear);
        let mut batch = self.disk.batch(2);
        batch.insert(&self.disk.meta, place.extent(), layout::encode_extent(extent));
        batch.insert(&self.disk.meta, layout::COMMIT, commit.to_be_bytes());
        self.disk.guarded("clean a changelog", || batch.commit())?;
        self.publish(commit, &Extents::from_iter([(place, extent)]));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use wasmill_core::record::Partition;

    use super::*;
    use crate::data_dir::DataDir;
    use crate::embedded::commit::Draft;
    use crate::embedded::{Kind, Log};

    #[test]
    fn what_a_cleaning_left_that_did_not_end_is_cleaned_once() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::open(DataDir::open(dir.path()).unwrap()).unwrap();
        let place = log.create_topic("rows", 1, Kind::Changelog).unwrap().place(Partition(0)).unwrap();
        let commit = |value: usize| {
            let mut draft = Draft::default();
            draft.change(place, b"row", Some(&vec![7; value]));
            log.inner.commit(&mut draft, &[], None).unwrap();
        };
        (0..3).for_each(|_| commit(600));
        let Extent { end, wear, .. } = log.inner.extent(place);
        assert!(!wear.is_due());
        let (last, until, _) = log.inner.last_records(place, wear, end, &AtomicBool::new(false)).unwrap();
        let step = log.inner.step(place, Offset(0), until, &last).unwrap();
        log.inner.rewrite(place, step).unwrap();
        commit(600);
        while log.inner.extent(place).wear.is_due() {
            let seen = log.commits();
            assert!(seen < 50 && log.wait(seen, Duration::from_secs(30)) > seen, "it is cleaned again and again");
        }
        let wear = log.inner.extent(place).wear;
        assert_eq!((wear.cleaned, wear.dirty), (end.next(), 0));
    }
}
