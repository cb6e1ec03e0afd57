//! Rows on disk, in sled: one database a process, a tree for each operator at each task and each of its generations.
//!
//! ```text
//! <directory>/sled/     the database; its default tree says which generations count:
//!     "G" name          → u32 big-endian, the generation of the rows of that name
//!     "D" tree          → nothing: a tree of an earlier generation, to be emptied
//! <directory>/sled.damaged   made when a tree failed: the database is removed at the next open
//! ```
//!
//! What sled 1.0.0-alpha.124 is spared, each found by measurement: single removals and swaps (they can deadlock, so
//! everything goes through `apply_batch`), bounded ranges (a finished one walks to the end of the tree), its own
//! `clear` and `drop_tree` (single removals), and its own flushing (it aborts the process when it cannot). Any error or
//! panic of it is a [`StoreError`].

mod flusher;
mod opener;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use wasmill_core::port::{self, ChangelogId, Found, StoreError};
use wasmill_core::record::TaskId;
use wasmill_core::writes::Writes;

use self::flusher::Flusher;
use super::behind::Writer;
use super::directory::{Directory, Refused};
use crate::topology::Topology;

const FANOUT: usize = 256;
/// Never: a [`Flusher`] does.
const FLUSH_EVERY_MS: usize = usize::MAX;
const COMPRESSION: i32 = 1;
const EMPTIED_AT_ONCE: usize = 1000;

type Tree = ::sled::Tree<FANOUT>;

/// The database of a process. Cheap to clone, for each worker its own; closed, with a last flush, when the last clone
/// and the last store of it are dropped.
#[derive(Clone)]
pub struct Database {
    // Dropped first: their threads have handles on the database.
    writer: Writer,
    cleaner: Arc<Mutex<Cleaner>>,
    flusher: Arc<Flusher>,
    disk: Disk,
}

/// The database and where it is.
#[derive(Clone)]
struct Disk {
    database: ::sled::Db<FANOUT>,
    directory: Directory,
    /// Held while generations change.
    generations: Arc<Mutex<()>>,
    /// Why nothing more can be written. Held while it is written to disk.
    failed: Arc<Mutex<Option<StoreError>>>,
}

impl Database {
    /// Opens the database in a directory, with so many bytes of cache. One that is damaged is removed, and an empty one
    /// is opened in its place: the second answer says why.
    pub fn open(directory: &Path, cache: usize) -> Result<(Self, Option<String>), StoreError> {
        let (directory, database, removed) = Directory::open(directory, "sled", |path| open(path, cache))?;
        let disk = Disk { database, directory, generations: Arc::default(), failed: Arc::default() };
        let cleaner = Arc::new(Mutex::new(Cleaner::start(disk.clone())?));
        let flusher = Arc::new(Flusher::start(disk.clone())?);
        Ok((Self { writer: Writer::start()?, cleaner, flusher, disk }, removed))
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

fn open(path: &Path, cache: usize) -> Result<::sled::Db<FANOUT>, Refused> {
    let config = ::sled::Config::new()
        .path(path)
        .cache_capacity_bytes(cache)
        .flush_every_ms(Some(FLUSH_EVERY_MS))
        .zstd_compression_level(COMPRESSION);
    opener::run(move || config.open::<FANOUT>()).map_err(Refused::Damaged)?.map_err(|error| Refused::by(&error))
}

/// An error without the places in sled that it came through.
fn plain(error: &io::Error) -> io::Error {
    let told = error.to_string();
    io::Error::new(error.kind(), told.rsplit(" -> ").next().unwrap_or_default())
}

impl Disk {
    fn call<T>(&self, doing: &str, run: impl FnOnce() -> io::Result<T>) -> Result<T, StoreError> {
        self.directory.call(doing, || run().map_err(|error| plain(&error))).map_err(|error| {
            // Behind a failed flush all else fails too, and is not what failed.
            let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
            failed.clone().unwrap_or(error)
        })
    }

    /// Waits until all that was written is on disk. That fails once: sled does not try again, and would wait for ever.
    fn flush(&self) -> Result<(), StoreError> {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(failed) = &*failed {
            return Err(failed.clone());
        }
        let flushed =
            self.directory.call("write to disk", || self.database.flush().map(drop).map_err(|error| plain(&error)));
        flushed.map_err(|error| {
            let (StoreError::Broken(reason) | StoreError::Unwritable(reason)) = error;
            // Closing it would end the process.
            std::mem::forget(self.database.clone());
            failed.insert(StoreError::Unwritable(reason)).clone()
        })
    }

    fn has_failed(&self) -> bool {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn generation(&self, name: &str) -> Result<u32, StoreError> {
        let bytes = self.call("read a generation", || self.database.get(key(b'G', name.as_bytes())))?;
        Ok(bytes.and_then(|bytes| Some(u32::from_be_bytes(bytes.as_ref().try_into().ok()?))).unwrap_or(0))
    }

    fn tree(&self, name: &str, generation: u32) -> Result<Tree, StoreError> {
        self.call("open a tree", || self.database.open_tree(tree_name(name, generation)))
    }

    /// Makes another generation count, and marks the one that did so far as to be emptied.
    fn next_generation(&self, name: &str) -> Result<(Tree, Vec<u8>), StoreError> {
        let _changing = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.generation(name)?;
        let mut new = 0;
        while new == old || self.is_to_be_emptied(&tree_name(name, new))? {
            new += 1;
        }
        let tree = self.tree(name, new)?;
        let old = tree_name(name, old);
        let mut batch = ::sled::Batch::default();
        batch.insert(key(b'G', name.as_bytes()), &new.to_be_bytes()[..]);
        batch.insert(key(b'D', &old), &[][..]);
        self.call("change a generation", || self.database.apply_batch(batch))?;
        Ok((tree, old))
    }

    fn is_to_be_emptied(&self, tree: &[u8]) -> Result<bool, StoreError> {
        self.call("read a mark", || Ok(self.database.get(key(b'D', tree))?.is_some()))
    }

    fn to_be_emptied(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        self.call("read marks", || {
            let mut trees = Vec::new();
            for entry in self.database.range(&b"D"[..]..) {
                let (key, _) = entry?;
                match key.split_first() {
                    Some((b'D', tree)) => trees.push(tree.to_vec()),
                    _ => break,
                }
            }
            Ok(trees)
        })
    }

    /// Removes all rows of a tree that does not count any more, until told to stop.
    fn empty(&self, name: &[u8], stop: &AtomicBool) -> Result<(), StoreError> {
        let tree = self.call("open a tree", || self.database.open_tree(name))?;
        while !stop.load(Ordering::Relaxed) {
            let mut batch = ::sled::Batch::default();
            let count = self.call("read a tree to be emptied", || {
                let mut count = 0;
                for entry in tree.range::<&[u8], _>(..).take(EMPTIED_AT_ONCE) {
                    batch.remove(entry?.0);
                    count += 1;
                }
                Ok(count)
            })?;
            if count == 0 {
                let _changing = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
                let mut batch = ::sled::Batch::default();
                batch.remove(key(b'D', name));
                return self.call("remove a mark", || self.database.apply_batch(batch));
            }
            self.call("empty a tree", || tree.apply_batch(batch))?;
        }
        Ok(())
    }
}

fn key(prefix: u8, rest: &[u8]) -> Vec<u8> {
    [&[prefix], rest].concat()
}

fn tree_name(name: &str, generation: u32) -> Vec<u8> {
    [name.as_bytes(), &[0], &generation.to_be_bytes()].concat()
}

/// The thread that empties the trees of earlier generations.
struct Cleaner {
    trees: Option<Sender<Vec<u8>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Cleaner {
    fn start(disk: Disk) -> Result<Self, StoreError> {
        let (trees, names) = mpsc::channel::<Vec<u8>>();
        for tree in disk.to_be_emptied()? {
            let _ = trees.send(tree);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let run = move || {
            for tree in names {
                // What cannot be emptied stays marked, and the store is marked as damaged.
                let _ = disk.empty(&tree, &stopped);
            }
        };
        let thread = thread::Builder::new().name("store-cleaner".into()).spawn(run);
        let thread = thread.map_err(|error| StoreError::Broken(format!("start the store's cleaner: {error}")))?;
        Ok(Self { trees: Some(trees), stop, thread: Some(thread) })
    }
}

impl Drop for Cleaner {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(self.trees.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
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
        let Database { writer, cleaner, flusher, disk } = self.database.clone();
        let tree = disk.tree(&name, disk.generation(&name)?)?;
        Ok(Box::new(writer.behind(Store { tree, name, cleaner, flusher, disk })))
    }
}

#[derive(Clone)]
struct Store {
    tree: Tree,
    name: String,
    cleaner: Arc<Mutex<Cleaner>>,
    #[expect(dead_code, reason = "the thread that flushes lives as long as a store that is written")]
    flusher: Arc<Flusher>,
    disk: Disk,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("name", &self.name).finish_non_exhaustive()
    }
}

impl port::Store for Store {
    fn get(&self, row: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.disk.call("read a row", || self.tree.get(row))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn get_many(&self, rows: &[&[u8]], visit: &mut Found<'_>) -> Result<(), StoreError> {
        self.disk.call("read rows", || {
            for &row in rows {
                visit(row, self.tree.get(row)?.as_deref());
            }
            Ok(())
        })
    }

    fn scan(&self, from: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StoreError> {
        let disk = &self.disk;
        let mut rows = disk.call("scan rows", || Ok(self.tree.range(from..)))?;
        while let Some((row, value)) = disk.call("scan rows", || rows.next().transpose())? {
            if !visit(&row, &value) {
                break;
            }
        }
        Ok(())
    }

    fn apply(&mut self, writes: Arc<Writes>) -> Result<(), StoreError> {
        let mut batch = ::sled::Batch::default();
        for (row, value) in writes.iter() {
            match value {
                Some(value) => batch.insert(row, value),
                None => batch.remove(row),
            }
        }
        self.disk.call("write rows", || self.tree.apply_batch(batch))
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.disk.flush()
    }

    fn clear(&mut self) -> Result<(), StoreError> {
        let (tree, old) = self.disk.next_generation(&self.name)?;
        self.tree = tree;
        let cleaner = self.cleaner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(trees) = &cleaner.trees {
            let _ = trees.send(old);
        }
        Ok(())
    }
}
