//! Rows on disk, in fjall: one database a process, another than the embedded log's, and a keyspace for each operator at
//! each task. Any error or panic of it is a [`StoreError`].
//!
//! ```text
//! <directory>/fjall/    the database; a keyspace is named by the digest of the store's name, which may be long
//! <directory>/fjall.damaged   made when something failed: the database is removed at the next open
//! ```
//!
//! A store is emptied by making its keyspace anew: fjall's own `clear` is a record of the journal that is played again at
//! the next open, and takes with it the tables that were loaded behind it, which are in no journal.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use ::fjall::{Keyspace, KeyspaceCreateOptions, PersistMode};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use wasmill_core::port::{self, ChangelogId, Found, StoreError};
use wasmill_core::record::TaskId;
use wasmill_core::writes::Writes;

use super::behind::Writer;
use super::directory::{Directory, Failure, Refused};
use super::panic_message;
use crate::topology::Topology;

const MEMTABLE: u64 = 32 << 20;
const JOURNAL: u64 = 256 << 20;
/// So many rows are worth tables of their own.
const INGESTED: usize = 10_000;

/// Bytes of a key and a field in a row: a key of fjall's has 64 KiB, less what a row and its place among those that expire
/// have beside them.
pub const LONGEST_NAME: usize = u16::MAX as usize - 64;

/// The database of a process. Cheap to clone.
#[derive(Clone)]
pub struct Database {
    // Dropped first: its thread writes to the database.
    writer: Writer,
    disk: Disk,
}

#[derive(Clone)]
struct Disk {
    database: ::fjall::Database,
    directory: Directory,
}

impl Database {
    /// Opens the database in a directory, with so many bytes of cache. One that is damaged is removed, and an empty one
    /// is opened in its place: the second answer says why.
    pub fn open(directory: &Path, cache: usize) -> Result<(Self, Option<String>), StoreError> {
        let (directory, database, removed) = Directory::open(directory, "fjall", |path| open(path, cache))?;
        Ok((Self { writer: Writer::start()?, disk: Disk { database, directory } }, removed))
    }

    /// The stores of the operators that the plan names.
    pub fn stores(&self, topology: Arc<Topology>) -> Stores {
        Stores { database: self.clone(), topology }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("directory", &self.disk.directory).finish_non_exhaustive()
    }
}

fn open(path: &Path, cache: usize) -> Result<::fjall::Database, Refused> {
    let open = || {
        let builder = ::fjall::Database::builder(path).cache_size(cache as u64).max_journaling_size(JOURNAL);
        builder.worker_threads(2).open()
    };
    match catch_unwind(AssertUnwindSafe(open)) {
        Ok(Ok(database)) => Ok(database),
        Ok(Err(::fjall::Error::Io(error))) => Err(Refused::by(&error)),
        Ok(Err(error)) => Err(Refused::Damaged(error.to_string())),
        Err(panic) => Err(Refused::Damaged(panic_message(&*panic))),
    }
}

impl Failure for ::fjall::Error {
    fn system(&self) -> Option<&io::Error> {
        match self {
            Self::Io(error) | Self::Storage(::fjall::LsmError::Io(error)) => Some(error),
            _ => None,
        }
    }
}

/// Opens the stores of a plan's operators.
#[derive(Clone, Debug)]
pub struct Stores {
    database: Database,
    topology: Arc<Topology>,
}

impl port::Stores for Stores {
    fn open(&mut self, task: TaskId, changelog: ChangelogId) -> Result<Box<dyn port::Store>, StoreError> {
        let name = super::name(&self.topology, task, changelog)?;
        let Database { writer, disk } = &self.database;
        let keyspace = disk.directory.call("open a keyspace", || keyspace(&disk.database, &name))?;
        Ok(Box::new(writer.behind(Store { keyspace, name, disk: disk.clone() })))
    }
}

fn keyspace(database: &::fjall::Database, name: &str) -> ::fjall::Result<Keyspace> {
    let digest = URL_SAFE_NO_PAD.encode(Sha256::digest(name));
    database.keyspace(&digest, || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE))
}

#[derive(Clone)]
struct Store {
    keyspace: Keyspace,
    name: String,
    disk: Disk,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("name", &self.name).finish_non_exhaustive()
    }
}

impl port::Store for Store {
    fn get(&self, row: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.disk.directory.call("read a row", || self.keyspace.get(row))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn get_many(&self, rows: &[&[u8]], visit: &mut Found<'_>) -> Result<(), StoreError> {
        self.disk.directory.call("read rows", || {
            for &row in rows {
                visit(row, self.keyspace.get(row)?.as_deref());
            }
            ::fjall::Result::Ok(())
        })
    }

    fn scan(&self, from: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StoreError> {
        let directory = &self.disk.directory;
        let mut rows = directory.call("scan rows", || ::fjall::Result::Ok(self.keyspace.range(from..)))?;
        while let Some((row, value)) =
            directory.call("scan rows", || rows.next().map(::fjall::Guard::into_inner).transpose())?
        {
            if !visit(&row, &value) {
                break;
            }
        }
        Ok(())
    }

    fn apply(&mut self, writes: Arc<Writes>) -> Result<(), StoreError> {
        self.disk.directory.call("write rows", || {
            let batch = ::fjall::OwnedWriteBatch::with_capacity(self.disk.database.clone(), writes.len());
            let mut batch = batch.durability(Some(PersistMode::Buffer));
            for (row, value) in writes.iter() {
                match value {
                    Some(value) => batch.insert(&self.keyspace, row, value),
                    None => batch.remove(&self.keyspace, row),
                }
            }
            batch.commit()
        })
    }

    fn restore(&mut self, writes: Arc<Writes>) -> Result<(), StoreError> {
        if writes.len() < INGESTED {
            return self.apply(writes);
        }
        self.disk.directory.call("load rows", || {
            let mut ingestion = self.keyspace.start_ingestion()?;
            for (row, value) in writes.iter() {
                match value {
                    Some(value) => ingestion.write(row, value)?,
                    None => ingestion.write_tombstone(row)?,
                }
            }
            ingestion.finish()
        })
    }

    fn clear(&mut self) -> Result<(), StoreError> {
        let cleared = self.disk.directory.call("drop rows", || {
            self.disk.database.delete_keyspace(self.keyspace.clone())?;
            keyspace(&self.disk.database, &self.name)
        })?;
        self.keyspace = cleared;
        Ok(())
    }
}
