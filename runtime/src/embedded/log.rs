//! A handle on the log.

use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fjall::{Readable as _, Snapshot};
use uuid::Uuid;
use wasmill_core::batch::{Batch, Message};
use wasmill_core::record::{Offset, Partition, Timestamp};
use wasmill_core::task::row::TaskRow;

use super::block::{self, Read};
use super::catalog::{Catalog, Extent, Extents, Kind, Topic, check_topic};
use super::cleaner::{Cleaner, Cleaning};
use super::commit::Draft;
use super::disk::{Disk, Syncer};
use super::error::LogError;
use super::layout::{self, Place};
use crate::data_dir::DataDir;
use crate::partitioner;

/// Bytes that [`Log::append`] takes at once.
pub(super) const LARGEST_APPEND: usize = 1 << 30;
/// Blocks that a purge removes in one commit.
const PURGED_AT_ONCE: usize = 10_000;

/// The embedded log of a data directory. Cheap to clone; the directory is free again when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Log {
    // Ended before the database is closed.
    _threads: Arc<Threads>,
    pub(super) inner: Arc<Inner>,
}

/// What goes on beside commits. Ended in this order: the last flush comes before the database is closed.
#[derive(Debug)]
struct Threads {
    _syncer: Syncer,
    _cleaner: Cleaner,
}

#[derive(Debug)]
pub(super) struct Inner {
    // Dropped in this order: the database is closed before the directory is free.
    pub(super) disk: Arc<Disk>,
    id: Uuid,
    pub(super) catalog: Mutex<Catalog>,
    pub(super) changed: Condvar,
    /// Held while a commit is written: offsets are given out one commit at a time.
    pub(super) writer: Mutex<()>,
    pub(super) cleaning: Cleaning,
    dir: DataDir,
}

/// Records of one partition, in order.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Fetched {
    /// The records.
    pub records: Batch,
    /// The offset of each.
    pub offsets: Vec<i64>,
    /// Where reading goes on.
    pub next: Offset,
}

/// Locks what a panic of another thread cannot have left half done: it is changed in single steps.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Log {
    /// Opens the log of a data directory, and makes it if there is none.
    pub fn open(dir: DataDir) -> Result<Self, LogError> {
        let disk = Arc::new(Disk::open(&dir.log())?);
        let id = identity(&disk)?;
        let catalog = load(&disk)?;
        disk.check_witness(catalog.commits)?;
        let syncer = Syncer::start(Arc::clone(&disk))?;
        let (cleaning, heard) = Cleaning::channel();
        catalog.worn().for_each(|place| cleaning.want(place));
        let (catalog, changed, writer) = (Mutex::new(catalog), Condvar::new(), Mutex::new(()));
        let inner = Arc::new(Inner { disk, id, catalog, changed, writer, cleaning, dir });
        let cleaner = Cleaner::start(Arc::clone(&inner), heard)?;
        Ok(Self { _threads: Arc::new(Threads { _syncer: syncer, _cleaner: cleaner }), inner })
    }

    /// The data directory.
    pub fn dir(&self) -> &Path {
        self.inner.dir.path()
    }

    /// What tells this log from every other one.
    pub fn id(&self) -> Uuid {
        self.inner.id
    }

    /// Makes a topic, or finds the one that has this name, however many partitions that has.
    pub fn create_topic(&self, name: &str, partitions: u32, kind: Kind) -> Result<Topic, LogError> {
        check_topic(name, partitions)?;
        let _writing = lock(&self.inner.writer);
        let (found, id, commit) = {
            let catalog = lock(&self.inner.catalog);
            (catalog.topic(name).cloned(), catalog.next_id(), catalog.commits + 1)
        };
        if let Some(topic) = found {
            topic.must_be(kind, "create it again")?;
            return Ok(topic);
        }
        let mut batch = self.inner.disk.batch(2);
        batch.insert(&self.inner.disk.meta, layout::topic_key(id), layout::encode_topic(name, kind, partitions));
        batch.insert(&self.inner.disk.meta, layout::COMMIT, commit.to_be_bytes());
        self.inner.disk.guarded("make a topic", || batch.commit())?;
        let topic = Topic { id, name: name.into(), kind, partitions };
        lock(&self.inner.catalog).add(topic.clone());
        self.inner.publish(commit, &Extents::default());
        Ok(topic)
    }

    /// All topics, in the order in which they were made.
    pub fn topics(&self) -> Vec<Topic> {
        lock(&self.inner.catalog).topics().to_vec()
    }

    /// The topic of a name.
    pub fn topic(&self, name: &str) -> Result<Topic, LogError> {
        let catalog = lock(&self.inner.catalog);
        catalog.topic(name).cloned().ok_or_else(|| LogError::UnknownTopic(name.to_owned()))
    }

    /// The first offset that a partition keeps.
    pub fn start(&self, topic: &Topic, partition: Partition) -> Result<Offset, LogError> {
        Ok(self.extent(topic.place(partition)?).start)
    }

    /// The offset behind a partition's last record.
    pub fn end(&self, topic: &Topic, partition: Partition) -> Result<Offset, LogError> {
        Ok(self.extent(topic.place(partition)?).end)
    }

    /// The first record of a time or later, or the end: there is no index of times.
    pub fn at(&self, topic: &Topic, partition: Partition, time: Timestamp) -> Result<Offset, LogError> {
        self.read(topic, partition, self.start(topic, partition)?, None, &mut |_, message| message.timestamp < time)
    }

    /// Deletions of rows below this offset may be gone from a changelog.
    pub(super) fn forgotten(&self, topic: &Topic, partition: Partition) -> Result<Offset, LogError> {
        Ok(self.extent(topic.place(partition)?).wear.forgotten)
    }

    /// Appends records, all or none: each to the partition of its key, those without keys to all partitions in turn.
    /// Answers how many each partition got.
    pub fn append(&self, topic: &Topic, records: &Batch) -> Result<Vec<u64>, LogError> {
        topic.must_be(Kind::Records, "append")?;
        let bytes = records.bytes() + records.len() * 64;
        if bytes > LARGEST_APPEND {
            return Err(LogError::TooLarge { topic: topic.name.to_string(), bytes, limit: LARGEST_APPEND });
        }
        let mut draft = Draft::default();
        let mut counts = vec![0; topic.partitions as usize];
        let mut turn: u64 = topic.all().map(|partition| self.end(topic, partition).map_or(0, |end| end.0 as u64)).sum();
        for record in records.iter() {
            let partition = if let Some(key) = record.key {
                partitioner::partition(key, topic.partitions)
            } else {
                turn += 1;
                Partition(((turn - 1) % u64::from(topic.partitions)) as u32)
            };
            draft.add(topic.place(partition)?, record);
            counts[partition.0 as usize] += 1;
        }
        if !records.is_empty() {
            self.inner.commit(&mut draft, &[], None)?;
        }
        Ok(counts)
    }

    /// Reads records of a partition: at most so many, and so many bytes, but one if there is one.
    pub fn fetch(
        &self,
        topic: &Topic,
        partition: Partition,
        from: Offset,
        most_records: usize,
        most_bytes: usize,
    ) -> Result<Fetched, LogError> {
        let mut fetched = Fetched::default();
        let (records, offsets) = (&mut fetched.records, &mut fetched.offsets);
        fetched.next = self.read(topic, partition, from, None, &mut |offset, message| {
            let full = records.len() >= most_records || records.bytes() + message.size() > most_bytes;
            if full && !records.is_empty() {
                return false;
            }
            records.push(message);
            offsets.push(offset.0);
            true
        })?;
        Ok(fetched)
    }

    /// Hands over the committed records of a partition from an offset on, in order, until one is refused, or up to an
    /// offset or the end. Answers where reading goes on.
    pub fn read(
        &self,
        topic: &Topic,
        partition: Partition,
        from: Offset,
        until: Option<Offset>,
        visit: &mut dyn FnMut(Offset, Message<'_>) -> bool,
    ) -> Result<Offset, LogError> {
        let end = self.check_range(topic, partition, from)?.end;
        let until = until.map_or(end, |until| until.min(end));
        if from >= until {
            return Ok(from);
        }
        self.read_at(&self.inner.disk.snapshot(), topic, partition, from..until, visit)
    }

    fn check_range(&self, topic: &Topic, partition: Partition, from: Offset) -> Result<Extent, LogError> {
        let extent = self.extent(topic.place(partition)?);
        let Extent { start, end, .. } = extent;
        if from < start || from > end {
            return Err(LogError::OutOfRange { topic: topic.name.to_string(), partition, from, start, end });
        }
        Ok(extent)
    }

    /// The log as it is now. Rows that are brought up to date from an offset on learn of all deletions from there on.
    pub(super) fn tail(&self, topic: &Topic, partition: Partition, from: Offset) -> Result<Snapshot, LogError> {
        let snapshot = self.inner.disk.snapshot();
        // What a cleaning drops is written down before it does: what the snapshot lacks is known here.
        let forgotten = self.check_range(topic, partition, from)?.wear.forgotten;
        if Offset(0) < from && from < forgotten {
            return Err(LogError::Forgotten { topic: topic.name.to_string(), partition, from, forgotten });
        }
        Ok(snapshot)
    }

    /// Hands over the records of a range as they were at a moment, in order, until one is refused. Answers where reading
    /// goes on.
    pub(super) fn read_at(
        &self,
        snapshot: &Snapshot,
        topic: &Topic,
        partition: Partition,
        Range { start: from, end: until }: Range<Offset>,
        visit: &mut dyn FnMut(Offset, Message<'_>) -> bool,
    ) -> Result<Offset, LogError> {
        let place = topic.place(partition)?;
        let stopped = self.inner.disk.guarded("read records", || {
            // A block is kept under its last offset: the first key at or behind `from` is that of the block it is in. That
            // of the last record before the end may be behind the end, once it is cleaned.
            let rest = place.record(from)..=place.record(Offset(i64::MAX));
            for entry in snapshot.range(&self.inner.disk.records, rest) {
                let (key, bytes) = entry.into_inner()?;
                let mut within =
                    |offset: Offset, message: Message<'_>| offset < from || (offset < until && visit(offset, message));
                let read = layout::offset_of(&key).map(|last| block::decode_block(last, &bytes, &mut within));
                match read {
                    Some(Read::Whole) => {}
                    Some(Read::Refused(offset)) => return Ok(Ok(offset.min(until))),
                    Some(Read::Malformed) | None => {
                        return Ok(Err(format!("a record of {} partition {partition} cannot be read", topic.name)));
                    }
                }
            }
            Ok(Ok(until))
        })?;
        stopped.map_err(|reason| self.inner.disk.damaged(reason))
    }

    /// Number of the last commit.
    pub fn commits(&self) -> u64 {
        lock(&self.inner.catalog).commits
    }

    /// Waits for a commit behind this one, at most so long. Answers the number of the last.
    pub fn wait(&self, seen: u64, timeout: Duration) -> u64 {
        let deadline = Instant::now().checked_add(timeout);
        let mut catalog = lock(&self.inner.catalog);
        while catalog.commits <= seen {
            let left = deadline.map_or(timeout, |deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                break;
            }
            catalog = self.inner.changed.wait_timeout(catalog, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        catalog.commits
    }

    /// The last commit that an fsync has covered: a power cut does not undo it.
    pub fn synced(&self) -> u64 {
        self.inner.disk.synced()
    }

    /// Flushes to disk all that is committed.
    pub fn sync(&self) -> Result<(), LogError> {
        self.inner.disk.sync()
    }

    /// Removes the records of a partition below an offset, a part at a time.
    pub fn purge(&self, topic: &Topic, partition: Partition, before: Offset) -> Result<(), LogError> {
        topic.must_be(Kind::Records, "purge")?;
        let place = topic.place(partition)?;
        let mut done = false;
        while !done {
            let _writing = lock(&self.inner.writer);
            let (mut extent, commit) = {
                let catalog = lock(&self.inner.catalog);
                (catalog.extent(place), catalog.commits + 1)
            };
            let (start, before) = (extent.start, before.min(extent.end));
            if before <= start {
                return Ok(());
            }
            // Blocks that end before the offset go; one that it is in the middle of stays.
            let blocks = self.inner.disk.guarded("purge", || {
                let range = self.inner.disk.records.range(place.record(start)..place.record(before));
                range.take(PURGED_AT_ONCE).map(fjall::Guard::key).collect::<fjall::Result<Vec<_>>>()
            })?;
            done = blocks.len() < PURGED_AT_ONCE;
            let last = blocks.last().and_then(|key| layout::offset_of(key));
            let stop = if done { before } else { last.map_or(before, Offset::next) };
            let mut batch = self.inner.disk.batch(blocks.len() + 2);
            for key in blocks {
                batch.remove(&self.inner.disk.records, key);
            }
            extent.start = stop;
            batch.insert(&self.inner.disk.meta, place.extent(), layout::encode_extent(extent));
            batch.insert(&self.inner.disk.meta, layout::COMMIT, commit.to_be_bytes());
            self.inner.disk.guarded("purge", || batch.commit())?;
            self.inner.publish(commit, &Extents::from_iter([(place, extent)]));
        }
        Ok(())
    }

    pub(super) fn extent(&self, place: Place) -> Extent {
        self.inner.extent(place)
    }
}

impl Inner {
    pub(super) fn extent(&self, place: Place) -> Extent {
        lock(&self.catalog).extent(place)
    }

    /// The committed row at a key.
    pub(super) fn row(&self, key: &[u8]) -> Result<Option<TaskRow>, LogError> {
        let Some(bytes) = self.disk.guarded("read a task's row", || self.disk.meta.get(key))? else { return Ok(None) };
        layout::decode_row(&bytes).map(Some).ok_or_else(|| self.disk.damaged("a task's row cannot be read"))
    }
}

fn identity(disk: &Disk) -> Result<Uuid, LogError> {
    if let Some(bytes) = disk.guarded("read its id", || disk.meta.get(layout::ID))? {
        return Uuid::from_slice(&bytes).map_err(|_| disk.damaged("its id is not 16 bytes long"));
    }
    let id = Uuid::new_v4();
    let mut batch = disk.batch(1);
    batch.insert(&disk.meta, layout::ID, *id.as_bytes());
    disk.guarded("write its id", || batch.commit())?;
    Ok(id)
}

fn load(disk: &Disk) -> Result<Catalog, LogError> {
    let mut catalog = Catalog::default();
    if let Some(bytes) = disk.guarded("read its last commit", || disk.meta.get(layout::COMMIT))? {
        catalog.commits =
            layout::decode_u64(&bytes).ok_or_else(|| disk.damaged("its last commit is not 8 bytes long"))?;
    }
    let whole = disk.guarded("read its topics", || {
        for entry in disk.meta.prefix([layout::TOPIC]) {
            let (key, bytes) = entry.into_inner()?;
            let Some((id, name, kind, partitions)) = layout::decode_topic(&key, &bytes) else { return Ok(false) };
            catalog.add(Topic { id, name: name.into(), kind, partitions });
        }
        for entry in disk.meta.prefix([layout::EXTENT]) {
            let (key, bytes) = entry.into_inner()?;
            let (Some(place), Some(extent)) = (layout::place_of(&key), layout::decode_extent(&bytes)) else {
                return Ok(false);
            };
            catalog.set_extent(place, extent);
        }
        Ok(true)
    })?;
    if whole { Ok(catalog) } else { Err(disk.damaged("its list of topics cannot be read")) }
}
