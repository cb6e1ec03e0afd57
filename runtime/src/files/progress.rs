//! How far a sink's topic is copied to its file.
//!
//! One JSON object in `<data-dir>/files/<topic>`, replaced by renaming, so that one of two versions is there whole.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use tracing::warn;

/// Behind the name of one that is being written.
const NEW: &str = ".new";

/// What a sink's file holds.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Progress {
    /// Where the file is.
    pub(super) path: PathBuf,
    /// What tells the topic's log from every other.
    pub(super) log: String,
    /// The first record of the topic that the file does not have.
    pub(super) next: i64,
    /// How long the file is with those before it.
    pub(super) length: u64,
    /// How long it was before the first of them.
    pub(super) base: u64,
    pub(super) device: u64,
    pub(super) inode: u64,
    /// When it was made, where the file system says: the number of an inode is given to a new file when the old one is gone.
    #[serde(default)]
    pub(super) born: Option<u64>,
}

/// When a file was made, in nanoseconds since 1970.
fn born(metadata: &Metadata) -> Option<u64> {
    let since = metadata.created().ok()?.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_nanos()).ok()
}

impl Progress {
    /// A file before anything is written behind its end. `next` is the first record that is to be.
    pub(super) fn begin(path: PathBuf, log: String, next: i64, file: &Metadata) -> Self {
        let (length, device, inode) = (file.len(), file.dev(), file.ino());
        Self { path, log, next, length, base: length, device, inode, born: born(file) }
    }

    /// Reads what was recorded last, if anything was.
    pub(super) fn read(at: &Path) -> io::Result<Option<Self>> {
        match fs::read(at) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::other),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Records it in place of what was there.
    pub(super) fn write(&self, at: &Path) -> io::Result<()> {
        let mut beside = at.as_os_str().to_owned();
        beside.push(NEW);
        let mut file = File::create(&beside)?;
        file.write_all(&serde_json::to_vec(self).map_err(io::Error::other)?)?;
        file.sync_data()?;
        fs::rename(&beside, at)?;
        // What is recorded may be deleted from the topic: a power cut must not bring the older version back.
        at.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
    }

    /// Whether it tells of the file with this metadata.
    pub(super) fn is_of(&self, metadata: &Metadata) -> bool {
        let is_of_its_time = self.born.is_none_or(|born_then| born(metadata).is_none_or(|born| born == born_then));
        (metadata.dev(), metadata.ino()) == (self.device, self.inode) && is_of_its_time
    }
}

/// Takes out of the files what was written to them, for a pipeline that starts over: each gets the length that it had
/// before. `directory` is that of what is recorded.
pub fn withdraw(directory: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let path = entry?.path();
        if path.as_os_str().as_encoded_bytes().ends_with(NEW.as_bytes()) {
            continue;
        }
        let Some(progress) = Progress::read(&path).ok().flatten() else { continue };
        let shown = progress.path.display();
        match OpenOptions::new().write(true).open(&progress.path) {
            Ok(file) if progress.is_of(&file.metadata()?) && file.metadata()?.len() >= progress.length => {
                file.set_len(progress.base)?;
            }
            Ok(_) => warn!("{shown} is not the file that was written any more, and stays as it is"),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_got_the_inode_of_one_that_is_gone_is_another() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let metadata = file.as_file().metadata().unwrap();
        let progress = Progress::begin(file.path().to_owned(), "log".to_owned(), 0, &metadata);
        assert!(progress.is_of(&metadata));
        let mut untold = serde_json::to_value(&progress).unwrap();
        untold.as_object_mut().unwrap().remove("born");
        let (born, earlier) = (progress.born, Progress { born: Some(1), ..progress });
        assert_eq!(earlier.is_of(&metadata), born.is_none(), "born {born:?}");
        assert!(serde_json::from_value::<Progress>(untold).unwrap().is_of(&metadata), "recorded by an older version");
    }
}
