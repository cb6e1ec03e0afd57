//! A commit: records, changes of changelogs and task rows that become visible together.

use std::collections::{BTreeMap, HashMap};

use wasmill_core::batch::Message;
use wasmill_core::record::{Offset, Timestamp};

use super::catalog::Extents;
use super::error::LogError;
use super::layout::{self, Block, Place};
use super::log::{Inner, lock};

/// What a commit writes, gathered before offsets are known.
#[derive(Debug, Default)]
pub(super) struct Draft {
    blocks: BTreeMap<Place, Vec<Block>>,
    changes: Vec<Change>,
}

#[derive(Debug)]
struct Change {
    place: Place,
    /// Where the row's last offset is found.
    latest: Vec<u8>,
    record: Block,
}

/// A task's row to write, and the epoch that it may not fall behind.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
    pub(super) epoch: u64,
}

/// Who commits: a transactional id and its fencing number.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    pub(super) id: String,
    pub(super) number: u64,
}

impl Draft {
    pub(super) fn add(&mut self, place: Place, message: Message<'_>) {
        let blocks = self.blocks.entry(place).or_default();
        if blocks.last().is_none_or(Block::is_full) {
            blocks.push(Block::default());
        }
        if let Some(block) = blocks.last_mut() {
            block.push(message);
        }
    }

    pub(super) fn change(&mut self, place: Place, row: &[u8], value: Option<&[u8]>) {
        let record = Block::of(Message { key: Some(row), value, headers: None, timestamp: Timestamp::NONE });
        self.changes.push(Change { place, latest: place.latest(row), record });
    }

    pub(super) fn clear(&mut self) {
        self.blocks.clear();
        self.changes.clear();
    }

    /// Keeps the last change of each row.
    fn settle(&mut self) {
        let mut last: HashMap<_, _, foldhash::fast::RandomState> = HashMap::default();
        last.reserve(self.changes.len());
        for (index, change) in self.changes.iter().enumerate() {
            last.insert(change.latest.as_slice(), index);
        }
        if last.len() < self.changes.len() {
            let mut keep = vec![false; self.changes.len()];
            for index in last.into_values() {
                keep[index] = true;
            }
            let mut keep = keep.into_iter();
            self.changes.retain(|_| keep.next().unwrap_or(true));
        }
    }
}

impl Inner {
    /// Writes a draft as one atomic batch, and answers where the partitions it wrote to end. The draft is empty
    /// afterwards.
    pub(super) fn commit(&self, draft: &mut Draft, rows: &[Row], owner: Option<&Owner>) -> Result<Extents, LogError> {
        draft.settle();
        let _writing = lock(&self.writer);
        let commit = {
            let catalog = lock(&self.catalog);
            if let Some(owner) = owner {
                catalog.check_fence(&owner.id, owner.number)?;
            }
            catalog.commits + 1
        };
        let disk = &self.disk;
        let mut batch = disk.batch(draft.changes.len() * 3 + rows.len() + 64);
        let mut extents = Ends { inner: self, touched: Extents::default() };
        for (place, blocks) in std::mem::take(&mut draft.blocks) {
            for block in blocks {
                let last = extents.take(place, block.count());
                batch.insert(&disk.records, place.record(last), block.encode());
            }
        }
        for Change { place, latest, record } in draft.changes.drain(..) {
            if let Some(old) = self.latest(&latest)? {
                batch.remove(&disk.records, place.record(old));
            }
            let offset = extents.take(place, 1);
            batch.insert(&disk.records, place.record(offset), record.encode());
            batch.insert(&disk.latest, latest, offset.0.to_be_bytes());
        }
        for (place, extent) in &extents.touched {
            batch.insert(&disk.meta, place.extent(), layout::encode_extent(*extent));
        }
        for row in rows {
            self.check_epoch(row)?;
            batch.insert(&disk.meta, row.key.as_slice(), row.value.as_slice());
        }
        batch.insert(&disk.meta, layout::COMMIT, commit.to_be_bytes());
        disk.guarded("commit", || batch.commit())?;
        self.publish(commit, &extents.touched);
        Ok(extents.touched)
    }

    /// Lets readers see a commit.
    pub(super) fn publish(&self, commit: u64, extents: &Extents) {
        self.disk.committed(commit);
        let mut catalog = lock(&self.catalog);
        catalog.commits = commit;
        for (&place, &extent) in extents {
            catalog.set_extent(place, extent);
        }
        self.changed.notify_all();
    }

    fn latest(&self, key: &[u8]) -> Result<Option<Offset>, LogError> {
        let Some(bytes) = self.disk.guarded("read an offset", || self.disk.latest.get(key))? else { return Ok(None) };
        match layout::decode_u64(&bytes) {
            Some(offset) => Ok(Some(Offset(offset as i64))),
            None => Err(self.disk.damaged("an offset is not 8 bytes long")),
        }
    }

    fn check_epoch(&self, row: &Row) -> Result<(), LogError> {
        let Some(committed) = self.row(&row.key)? else { return Ok(()) };
        if row.epoch >= committed.epoch.0 {
            return Ok(());
        }
        Err(LogError::EpochWentBack { task: row.name.clone(), new: row.epoch, committed: committed.epoch.0 })
    }
}

/// Hands out offsets behind the ends of partitions.
struct Ends<'a> {
    inner: &'a Inner,
    touched: Extents,
}

impl Ends<'_> {
    /// Takes so many offsets. Answers the last.
    fn take(&mut self, place: Place, count: u32) -> Offset {
        let extent = self.touched.entry(place).or_insert_with(|| lock(&self.inner.catalog).extent(place));
        let last = Offset(extent.end.0 + i64::from(count) - 1);
        extent.end = last.next();
        last
    }
}
