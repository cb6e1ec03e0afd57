//! What can go wrong with the log.

use std::path::PathBuf;

use thiserror::Error;
use wasmill_core::port::Fault;
use wasmill_core::record::{Offset, Partition};

use crate::data_dir::DataDirError;

/// Why the log did not do it.
#[derive(Debug, Error)]
pub enum LogError {
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// What is on disk is not what was written.
    #[error("log {} is damaged: {reason}: put back a copy of the data directory, or start over without it", path.display())]
    Damaged {
        /// Where the log is.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The disk or the database refused.
    #[error("log {}: {doing}: {reason}", path.display())]
    Storage {
        /// Where the log is.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What it answered.
        reason: String,
    },
    /// No topic of that name.
    #[error("topic {0} does not exist: `wasmill topics` lists those that do")]
    UnknownTopic(String),
    /// A topic has fewer partitions.
    #[error("topic {topic} has partitions 0 to {}, not {partition}", partitions - 1)]
    UnknownPartition {
        /// The topic.
        topic: String,
        /// What was asked for.
        partition: Partition,
        /// How many it has.
        partitions: u32,
    },
    /// A name that no topic may have.
    #[error("topic name {0:?}: 1 to 249 of the characters a-z A-Z 0-9 . _ - make a name, but neither . nor .. alone")]
    InvalidName(String),
    /// A topic needs a partition.
    #[error("topic {topic}: {partitions} partitions: a topic has 1 to 10000")]
    InvalidPartitions {
        /// The topic.
        topic: String,
        /// What was asked for.
        partitions: u32,
    },
    /// A changelog where records were meant, or the other way round.
    #[error("topic {topic} is a {found} topic: {doing} needs one of {wanted}")]
    WrongKind {
        /// The topic.
        topic: String,
        /// What was being done.
        doing: &'static str,
        /// Its kind.
        found: super::Kind,
        /// The kind it should have.
        wanted: super::Kind,
    },
    /// An offset outside of what a partition holds.
    #[error("read {topic} partition {partition} from offset {from}: it holds offsets {start} to {end}")]
    OutOfRange {
        /// The topic.
        topic: String,
        /// The partition.
        partition: Partition,
        /// What was asked for.
        from: Offset,
        /// The first offset that is kept.
        start: Offset,
        /// The offset behind the last record.
        end: Offset,
    },
    /// Deletions may be gone from a changelog that rows are to be brought up to date with.
    #[error(
        "read {topic} partition {partition} from offset {from}: deletions before {forgotten} are forgotten; \
         the rows are read anew"
    )]
    Forgotten {
        /// The changelog.
        topic: String,
        /// The partition.
        partition: Partition,
        /// Where the rows stand.
        from: Offset,
        /// Below it, deletions may be gone.
        forgotten: Offset,
    },
    /// More bytes than go into one commit.
    #[error("append to {topic}: {bytes} bytes at once, and at most {limit} can be all or nothing: split the input")]
    TooLarge {
        /// The topic.
        topic: String,
        /// Bytes there are.
        bytes: usize,
        /// Bytes there may be.
        limit: usize,
    },
    /// Somebody else took over a transactional id.
    #[error("commit as {0}: another worker has taken over this id")]
    Fenced(String),
    /// A task's row may not go back.
    #[error("commit epoch {new} of task {task}: its row is at epoch {committed} already")]
    EpochWentBack {
        /// The task's name.
        task: String,
        /// What was to be committed.
        new: u64,
        /// What is.
        committed: u64,
    },
    /// The process that has the log did not answer as it should.
    #[error("ask the process that has {}: {reason}", path.display())]
    Remote {
        /// The data directory.
        path: PathBuf,
        /// What it said, or why it said nothing.
        reason: String,
    },
}

impl From<LogError> for Fault {
    /// The log is in this process: what it refuses once, it refuses for ever.
    fn from(error: LogError) -> Self {
        match error {
            // A cleaning came before the read: the next try sees it.
            LogError::Forgotten { .. } => Self::Abort(error.to_string()),
            _ => Self::Fatal(error.to_string()),
        }
    }
}
