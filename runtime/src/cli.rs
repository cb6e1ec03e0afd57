//! The command line.

pub mod check;
pub mod consume;
pub mod new;
pub mod offsets;
pub mod produce;
pub mod run;
pub mod signals;
pub mod test;
pub mod topics;
pub mod verify;

#[cfg(test)]
mod tests;

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::broker::Broker;
use crate::data_dir::{DataDir, is_data_dir};
use crate::embedded;
use crate::kafka::records::Records;
use crate::kafka::{Client, Properties};

/// Where `run` keeps its data directories.
const BASE: &str = ".wasmill";

/// Which log a command talks to
#[derive(Clone, Debug, Default, Eq, PartialEq, clap::Args)]
pub struct LogArgs {
    /// The data directory of the log; by default the only one under .wasmill
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Kafka, instead of the log of a data directory
    #[command(flatten)]
    pub kafka: KafkaArgs,
}

/// Which Kafka cluster a command talks to
#[derive(Clone, Debug, Default, Eq, PartialEq, clap::Args)]
pub struct KafkaArgs {
    /// Addresses of some brokers of a Kafka cluster, instead of the log in a data directory
    #[arg(long, alias = "bootstrap-server", env = "WASMILL_BROKERS", value_name = "HOST:PORT,…")]
    pub brokers: Option<String>,
    /// Properties of librdkafka for the connection, `name=value` lines; values may be `${env:NAME}` or `${file:PATH}`
    #[arg(long, value_name = "FILE", requires = "brokers")]
    pub kafka_config: Option<PathBuf>,
}

impl KafkaArgs {
    /// A client of the cluster; `None` if none is named.
    pub fn client(&self) -> Result<Option<Client>> {
        let Some(brokers) = &self.brokers else { return Ok(None) };
        let properties = self.kafka_config.as_deref().map(Properties::read).transpose()?.unwrap_or_default();
        Ok(Some(Client::new(brokers, properties)))
    }
}

impl LogArgs {
    /// Connects to a log that must be there already.
    pub fn existing(&self) -> Result<Box<dyn Broker>> {
        if let Some(client) = self.client()? {
            return Ok(Box::new(Records::connect(client)?));
        }
        let path = self.path()?;
        if !is_data_dir(&path) {
            return Err(crate::data_dir::DataDirError::Missing(path).into());
        }
        Ok(Box::new(embedded::connect(&path)?))
    }

    /// Connects to a log, and makes one where a directory was named and is not there.
    pub fn existing_or_new(&self) -> Result<Box<dyn Broker>> {
        match self.client()? {
            Some(client) => Ok(Box::new(Records::connect(client)?)),
            None => Ok(Box::new(embedded::connect(&self.path()?)?)),
        }
    }

    /// A data directory that is named goes before brokers of the environment.
    fn client(&self) -> Result<Option<Client>> {
        if self.data_dir.is_some() { Ok(None) } else { self.kafka.client() }
    }

    fn path(&self) -> Result<PathBuf> {
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
