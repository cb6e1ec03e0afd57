//! The command line.

pub mod consume;
pub mod produce;
pub mod topics;

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::data_dir::{DataDir, is_data_dir};
use crate::embedded::{self, Connection, LogError};

/// Where `run` keeps its data directories.
const BASE: &str = ".wasmill";

/// Which embedded log a command talks to.
#[derive(Clone, Debug, Default, Eq, PartialEq, clap::Args)]
pub struct LogArgs {
    /// The data directory of the log; by default the only one under .wasmill
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

impl LogArgs {
    /// Connects to a log that must be there already.
    pub fn existing(&self) -> Result<Connection, LogError> {
        let path = self.path()?;
        if !is_data_dir(&path) {
            return Err(crate::data_dir::DataDirError::Missing(path).into());
        }
        embedded::connect(&path)
    }

    /// Connects to a log, and makes one where a directory was named and is not there.
    pub fn existing_or_new(&self) -> Result<Connection, LogError> {
        embedded::connect(&self.path()?)
    }

    fn path(&self) -> Result<PathBuf, LogError> {
        match &self.data_dir {
            Some(path) => Ok(path.clone()),
            None => Ok(DataDir::only_one_under(Path::new(BASE))?),
        }
    }
}

/// Takes the end of a pipe that nobody reads any more for the end of the work.
fn until_closed(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
