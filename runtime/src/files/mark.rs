//! Which file it is.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

use sha2::{Digest, Sha256};
use wasmill_core::port::Mark;

/// How many of its first bytes tell a file from another that has its inode's number.
const HEAD: u64 = 1024;

/// A file, by what stays the same while it grows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Known {
    device: u64,
    inode: u64,
    /// The offset of its first byte.
    pub(super) base: i64,
    head: u64,
    digest: u64,
}

impl Known {
    /// A file of which nothing is read yet.
    pub(super) fn new(metadata: &Metadata, base: i64) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino(), base, head: 0, digest: 0 }
    }

    pub(super) fn decode(mark: Mark) -> Option<Self> {
        let Mark([device, inode, base, head, digest]) = mark;
        (mark != Mark::NONE).then_some(Self { device, inode, base: base as i64, head, digest })
    }

    pub(super) fn encode(&self) -> Mark {
        Mark([self.device, self.inode, self.base as u64, self.head, self.digest])
    }

    /// Whether it is the file with this metadata, by its number.
    pub(super) fn has_number(&self, metadata: &Metadata) -> bool {
        (metadata.dev(), metadata.ino()) == (self.device, self.inode)
    }

    /// Whether an open file is this one.
    pub(super) fn is(&self, file: &File) -> io::Result<bool> {
        Ok(self.has_number(&file.metadata()?) && digest(file, self.head)? == Some(self.digest))
    }

    /// Takes note of the first bytes of a file that was read so far.
    pub(super) fn learn(&mut self, file: &File, read: u64) -> io::Result<()> {
        let head = read.min(HEAD);
        if head > self.head
            && let Some(digest) = digest(file, head)?
        {
            (self.head, self.digest) = (head, digest);
        }
        Ok(())
    }
}

/// Tells the first bytes of a file from others; `None` if it has fewer.
fn digest(file: &File, head: u64) -> io::Result<Option<u64>> {
    if head == 0 {
        return Ok(Some(0));
    }
    let mut bytes = vec![0; head.min(HEAD) as usize];
    match file.read_exact_at(&mut bytes, 0) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let hash: [u8; 32] = Sha256::digest(&bytes).into();
    Ok(hash.first_chunk().map(|first| u64::from_le_bytes(*first)))
}
