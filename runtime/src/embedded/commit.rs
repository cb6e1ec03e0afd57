//! A commit: records, changes of changelogs and task rows that become visible together.

use std::collections::BTreeMap;

use wasmill_core::batch::Message;
use wasmill_core::record::{Offset, Timestamp};

use super::block::Block;
use super::catalog::{Extent, Extents};
use super::error::LogError;
use super::layout::{self, Place};
use super::log::{Inner, lock};

/// What a commit writes, gathered before offsets are known.
#[derive(Debug, Default)]
pub(super) struct Draft {
    records: Blocks,
    changes: Blocks,
}

type Blocks = BTreeMap<Place, Vec<Block>>;

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
        push(&mut self.records, place, message);
    }

    pub(super) fn change(&mut self, place: Place, row: &[u8], value: Option<&[u8]>) {
        let message = Message { key: Some(row), value, headers: None, timestamp: Timestamp::NONE };
        push(&mut self.changes, place, message);
    }

    pub(super) fn clear(&mut self) {
        self.records.clear();
        self.changes.clear();
    }
}

fn push(blocks: &mut Blocks, place: Place, message: Message<'_>) {
    let blocks = blocks.entry(place).or_default();
    if blocks.last().is_none_or(Block::is_full) {
        blocks.push(Block::default());
    }
    if let Some(block) = blocks.last_mut() {
        block.push(message);
    }
}

impl Inner {
    /// Writes a draft as one atomic batch, and answers where the partitions it wrote to end. The draft is empty
    /// afterwards.
    pub(super) fn commit(&self, draft: &mut Draft, rows: &[Row], owner: Option<&Owner>) -> Result<Extents, LogError> {
        let _writing = lock(&self.writer);
        let commit = {
            let catalog = lock(&self.catalog);
            if let Some(owner) = owner {
                catalog.check_fence(&owner.id, owner.number)?;
            }
            catalog.commits + 1
        };
        let disk = &self.disk;
        let mut batch = disk.batch(draft.records.len() + draft.changes.len() + rows.len() + 64);
        let mut extents = Ends { inner: self, touched: Extents::default() };
        let (records, changes) = (std::mem::take(&mut draft.records), std::mem::take(&mut draft.changes));
        for (place, blocks) in records {
            for block in blocks {
                batch.insert(&disk.records, place.record(extents.take(place, block.span())), block.encode());
            }
        }
        for (place, blocks) in changes {
            for block in blocks {
                let (last, bytes) = (extents.take(place, block.span()), block.encode());
                extents.wear(place, bytes.len());
                batch.insert(&disk.records, place.record(last), bytes);
            }
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
            if extent.wear.is_due() {
                self.cleaning.want(place);
            }
        }
        self.changed.notify_all();
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
    fn extent(&mut self, place: Place) -> &mut Extent {
        self.touched.entry(place).or_insert_with(|| lock(&self.inner.catalog).extent(place))
    }

    /// Takes so many offsets. Answers the last.
    fn take(&mut self, place: Place, count: u64) -> Offset {
        let extent = self.extent(place);
        extent.end = Offset(extent.end.0.saturating_add_unsigned(count));
        Offset(extent.end.0 - 1)
    }

    fn wear(&mut self, place: Place, bytes: usize) {
        self.extent(place).wear.dirty += bytes as u64;
    }
}
