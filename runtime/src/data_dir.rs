//! The directory where one process keeps what is its own.
//!
//! ```text
//! <data-dir>/lock        held while a process runs: its id in decimal, and a line that no other taking writes
//! <data-dir>/format      "wasmill data 2"
//! <data-dir>/log/        the embedded log, and log.synced beside it
//! <data-dir>/log.sock    where a running process serves the log
//! <data-dir>/plugins/    compiled plugins
//! <data-dir>/files/      how much of the files of sinks is written
//! <data-dir>/store/      rows of stateful operators, a cache of the changelogs
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use thiserror::Error;
use uuid::Uuid;

const FORMAT: u32 = 2;
/// What [`DataDir::empty`] leaves.
const KEPT: [&str; 4] = ["lock", "format", "plugins", "node-id"];
/// Where it is recorded how much of the files of sinks is written.
pub const FILES: &str = "files";
const FORMAT_PREFIX: &str = "wasmill data ";

/// Why a data directory cannot be used.
#[derive(Debug, Error)]
pub enum DataDirError {
    /// Another process has it.
    #[error("data directory {} is in use by process {process}: stop it, or give another --data-dir", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The process, as far as it has said so.
        process: String,
    },
    /// A later version of Wasmill made it.
    #[error("data directory {} has format {found}, and this wasmill knows formats up to {FORMAT}: \
             use the newer wasmill that made it, or give another --data-dir", path.display())]
    Newer {
        /// The directory.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// An earlier version of Wasmill made it.
    #[error("data directory {} has format {found}, which this wasmill, of format {FORMAT}, does not read any more: \
             use the wasmill that made it, or give another --data-dir", path.display())]
    Older {
        /// The directory.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// It does not say what it is.
    #[error("data directory {}: its file `format` reads {found:?}, not \"{FORMAT_PREFIX}{FORMAT}\": \
             give a directory that wasmill made, or a new one", path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// What its format file says.
        found: String,
    },
    /// There is none where one was looked for.
    #[error("no data directory at {}: run a pipeline first, or give --data-dir", .0.display())]
    Missing(PathBuf),
    /// There are several to choose from.
    #[error("several data directories, give one of them with --data-dir: {}", list(.0))]
    Several(Vec<PathBuf>),
    /// Somebody else made it.
    #[error("data directory {} belongs to user {owner}, and this process is user {process}, which may not {doing}: \
             run as user {owner}, or give another --data-dir", path.display())]
    Foreigner {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who wants it.
        process: u32,
        /// What was being done.
        doing: &'static str,
    },
    /// The system refused.
    #[error("data directory {}: cannot {doing}: {reason}; give another --data-dir, or make it usable", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// The system's answer.
        reason: io::Error,
    },
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// A data directory that this process has for itself, until this is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    lock: File,
}

impl Drop for DataDir {
    /// A process that another thread is starting has the file open as well until it runs its program: closing it does not
    /// free the directory yet.
    fn drop(&mut self) {
        // Closing it is what is left to do.
        let _ = self.lock.unlock();
    }
}

impl DataDir {
    /// Takes a directory, and makes it if there is none.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let failed = |doing| move |reason| refused(path, doing, reason);
        fs::create_dir_all(path).map_err(failed("make it"))?;
        let lock = lock(path)?;
        let format = path.join("format");
        match fs::read_to_string(&format) {
            Ok(text) => check_format(path, text.trim_end())?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::write(&format, format!("{FORMAT_PREFIX}{FORMAT}\n")).map_err(failed("write its format"))?;
            }
            Err(error) => return Err(failed("read its format")(error)),
        }
        Ok(Self { path: path.to_path_buf(), lock })
    }

    /// Removes all that is in it but compiled plugins, which depend on nothing else.
    pub fn empty(&self) -> Result<(), DataDirError> {
        let failed = |reason| DataDirError::Io { path: self.path.clone(), doing: "empty it", reason };
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if KEPT.iter().any(|kept| entry.file_name() == *kept) {
                continue;
            }
            let is_dir = entry.file_type().map_err(failed)?.is_dir();
            let removed = if is_dir { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) };
            removed.map_err(failed)?;
        }
        Ok(())
    }

    /// The directory that commands use when none is given: the only one under `base`.
    pub fn only_one_under(base: &Path) -> Result<PathBuf, DataDirError> {
        let mut found = match fs::read_dir(base) {
            Ok(entries) => entries.flatten().map(|entry| entry.path()).filter(|path| is_data_dir(path)).collect(),
            Err(_) => Vec::new(),
        };
        found.sort();
        match found.len() {
            0 => Err(DataDirError::Missing(base.to_path_buf())),
            1 => Ok(found.swap_remove(0)),
            _ => Err(DataDirError::Several(found)),
        }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the embedded log is.
    pub fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    /// Where it is recorded how much of the files of sinks is written.
    pub fn files(&self) -> PathBuf {
        self.path.join(FILES)
    }

    /// Where rows are kept.
    pub fn store(&self) -> PathBuf {
        self.path.join("store")
    }

    /// Where a running process serves the log of a data directory.
    pub fn socket(path: &Path) -> PathBuf {
        path.join("log.sock")
    }
}

/// What the lock of a data directory says: it changes each time the directory is taken.
pub fn last_taken(path: &Path) -> Option<String> {
    fs::read_to_string(path.join("lock")).ok()
}

/// Whether a path is a data directory, by its format file.
pub fn is_data_dir(path: &Path) -> bool {
    path.join("format").is_file()
}

/// Says why the system refused, and whose the directory is if that is why.
fn refused(path: &Path, doing: &'static str, reason: io::Error) -> DataDirError {
    let user = |path: &Path| fs::metadata(path).map(|metadata| metadata.uid()).ok();
    let path = path.to_path_buf();
    match (user(&path), user(Path::new("/proc/self"))) {
        (Some(owner), Some(process)) if owner != process && reason.kind() == io::ErrorKind::PermissionDenied => {
            DataDirError::Foreigner { path, owner, process, doing }
        }
        _ => DataDirError::Io { path, doing, reason },
    }
}

fn lock(path: &Path) -> Result<File, DataDirError> {
    let failed = |reason| refused(path, "lock it", reason);
    let mut options = OpenOptions::new();
    let mut file =
        options.read(true).write(true).create(true).truncate(false).open(path.join("lock")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut process = String::new();
            file.read_to_string(&mut process).map_err(failed)?;
            let process = process.lines().next().unwrap_or("unknown").to_owned();
            return Err(DataDirError::InUse { path: path.to_path_buf(), process });
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    file.set_len(0).map_err(failed)?;
    write!(file, "{}\n{}\n", std::process::id(), Uuid::new_v4()).map_err(failed)?;
    Ok(file)
}

fn check_format(path: &Path, text: &str) -> Result<(), DataDirError> {
    match text.strip_prefix(FORMAT_PREFIX).and_then(|number| number.parse::<u32>().ok()) {
        Some(FORMAT) => Ok(()),
        Some(found) if found > FORMAT => Err(DataDirError::Newer { path: path.to_path_buf(), found }),
        Some(found) => Err(DataDirError::Older { path: path.to_path_buf(), found }),
        _ => Err(DataDirError::Foreign { path: path.to_path_buf(), found: text.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::Command;
    use std::thread;

    use super::*;

    #[test]
    fn a_directory_is_taken_once() {
        let dir = tempfile::tempdir().unwrap();
        let taken = DataDir::open(dir.path()).unwrap();
        let error = DataDir::open(dir.path()).unwrap_err().to_string();
        let process = std::process::id();
        assert_eq!(
            error,
            format!(
                "data directory {} is in use by process {process}: stop it, or give another --data-dir",
                dir.path().display()
            )
        );
        drop(taken);
        DataDir::open(dir.path()).unwrap();
    }

    /// A process that does not run its program yet has all files open that are open here.
    #[test]
    fn a_directory_is_free_although_a_process_is_being_started() {
        let dir = tempfile::tempdir().unwrap();
        let taken = DataDir::open(dir.path()).unwrap();
        let ((mut forked, mut tell), (mut go, mut let_go)) = (io::pipe().unwrap(), io::pipe().unwrap());
        let mut command = Command::new("true");
        // SAFETY: what runs in the forked process only writes to a pipe and reads from one.
        unsafe {
            command.pre_exec(move || {
                tell.write_all(b".")?;
                go.read_exact(&mut [0])
            });
        }
        thread::scope(|threads| {
            let ended = threads.spawn(|| command.status());
            forked.read_exact(&mut [0]).unwrap();
            drop(taken);
            let again = DataDir::open(dir.path());
            let_go.write_all(b".").unwrap();
            assert!(ended.join().unwrap().unwrap().success());
            again.unwrap();
        });
    }

    #[test]
    fn only_a_known_format_is_opened() {
        #[rustfmt::skip]
        let table = [
            ("wasmill data 2\n", None),
            ("wasmill data 3\n", Some("has format 3, and this wasmill knows formats up to 2")),
            ("wasmill data 1\n", Some("has format 1, which this wasmill, of format 2, does not read any more")),
            ("postgres",         Some("its file `format` reads \"postgres\"")),
        ];
        for (text, says) in table {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join("format"), text).unwrap();
            match (DataDir::open(dir.path()), says) {
                (Ok(_), None) => {}
                (Err(error), Some(says)) => assert!(error.to_string().contains(says), "{error}"),
                (got, _) => panic!("{text:?}: {got:?}"),
            }
        }
    }

    #[test]
    fn the_only_directory_is_the_default() {
        let base = tempfile::tempdir().unwrap();
        assert!(DataDir::only_one_under(base.path()).unwrap_err().to_string().starts_with("no data directory at"));
        let first = base.path().join("a");
        drop(DataDir::open(&first).unwrap());
        fs::create_dir(base.path().join("other")).unwrap();
        assert_eq!(DataDir::only_one_under(base.path()).unwrap(), first);
        drop(DataDir::open(&base.path().join("b")).unwrap());
        let error = DataDir::only_one_under(base.path()).unwrap_err().to_string();
        assert!(error.starts_with("several data directories") && error.contains("/a, "), "{error}");
    }
}
