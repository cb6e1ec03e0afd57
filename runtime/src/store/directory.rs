//! The directory of a database that may be damaged.

use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::{fmt, fs};

use wasmill_core::port::StoreError;

/// What to do when the disk is full.
const MAKE_ROOM: &str = "make room for it and run again: all that was committed is in the log";

/// Where a database is. Beside it lies a file `<name>.damaged` while it is known to be, with the reason.
#[derive(Clone)]
pub(super) struct Directory {
    path: PathBuf,
    name: &'static str,
}

/// Why a database cannot be opened.
#[derive(Debug)]
pub(super) enum Refused {
    /// The system does not let us have it.
    System(String),
    /// What is there cannot be read.
    Damaged(String),
}

impl Refused {
    /// An error of the system is about the files' content unless it is about our rights to them or their room.
    pub(super) fn by(error: &io::Error) -> Self {
        match error.kind() {
            kind if is_full(kind) => Self::System(format!("{error}; {MAKE_ROOM}")),
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem | ErrorKind::WouldBlock => {
                Self::System(error.to_string())
            }
            _ => Self::Damaged(error.to_string()),
        }
    }
}

fn is_full(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
}

/// An error of a database.
pub(super) trait Failure: Display {
    /// What the system said, if it is of that.
    fn system(&self) -> Option<&io::Error>;
}

impl Failure for io::Error {
    fn system(&self) -> Option<&io::Error> {
        Some(self)
    }
}

impl Directory {
    /// Opens a database in a directory, which is made if there is none. One that cannot be read, or of which something
    /// failed before, is removed, and an empty one is opened in its place: the second answer says why.
    pub(super) fn open<T>(
        path: &Path,
        name: &'static str,
        open: impl Fn(&Path) -> Result<T, Refused>,
    ) -> Result<(Self, T, Option<String>), StoreError> {
        let directory = Self { path: path.to_path_buf(), name };
        let failed =
            |doing: &str, error: &dyn Display| StoreError::Broken(format!("{doing} {}: {error}", path.display()));
        fs::create_dir_all(path).map_err(|error| failed("make the store", &error))?;
        let mut removed = None;
        if let Ok(reason) = fs::read_to_string(directory.mark()) {
            directory.remove().map_err(|error| failed("remove the damaged store", &error))?;
            fs::remove_file(directory.mark())
                .map_err(|error| failed("remove the mark of the damaged store", &error))?;
            removed = Some(reason);
        }
        let database = match open(&directory.database()) {
            Ok(database) => database,
            Err(Refused::System(error)) => return Err(failed("open the store", &error)),
            Err(Refused::Damaged(reason)) => {
                directory.remove().map_err(|error| failed("remove the damaged store", &error))?;
                removed = Some(reason);
                open(&directory.database()).map_err(|refused| failed("open a new store", &refused))?
            }
        };
        Ok((directory, database, removed))
    }

    fn database(&self) -> PathBuf {
        self.path.join(self.name)
    }

    fn mark(&self) -> PathBuf {
        self.path.join(format!("{}.damaged", self.name))
    }

    fn remove(&self) -> io::Result<()> {
        match fs::remove_dir_all(self.database()) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Calls the database. What fails is marked, so that the next open starts empty, unless it is for want of room.
    pub(super) fn call<T, E: Failure>(&self, doing: &str, run: impl FnOnce() -> Result<T, E>) -> Result<T, StoreError> {
        let told = |reason: &str| format!("{doing} in the store {}: {reason}", self.path.display());
        let reason = match catch_unwind(AssertUnwindSafe(run)) {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) if error.system().is_some_and(|error| is_full(error.kind())) => {
                return Err(StoreError::Unwritable(told(&format!("{error}; {MAKE_ROOM}"))));
            }
            Ok(Err(error)) => told(&error.to_string()),
            Err(panic) => told(&super::panic_message(&*panic)),
        };
        // Without the mark the damage is found again, later.
        let _ = fs::write(self.mark(), &reason);
        Err(StoreError::Broken(reason))
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.database().fmt(f)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(reason) | Self::Damaged(reason) => f.write_str(reason),
        }
    }
}
