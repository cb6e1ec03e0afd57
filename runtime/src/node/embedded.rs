//! Pipelines on the log in this process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, anyhow};
use tracing::warn;
use uuid::Uuid;
use wasmill_core::commit::Repair;
use wasmill_core::port;
use wasmill_core::record::{Offset, Partition, TaskId, Timestamp};
use wasmill_core::scope::Limits;
use wasmill_core::task::row::TaskRow;
use wasmill_core::worker::Ports;

use super::backend::{Backend, Membership, NewTopic, Site, TopicKind};
use crate::broker::Broker;
use crate::data_dir::DataDir;
use crate::embedded::{Changelog, Kind, Log, Server, Sink, Source, Stops, Tasks};
use crate::files;
use crate::store::{CACHE, fjall, memory, sled};
use crate::topology::Topology;

/// Bytes of a record: what fits into a topic of Kafka with its defaults, so that the same pipeline runs there.
pub(super) const LARGEST_RECORD: usize = 1_000_000;

/// Where rows are kept on this node.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub enum StoreKind {
    /// In memory; read from the changelogs at every start
    Memory,
    /// In a sled database in the data directory, for up to about two million keys
    #[default]
    Sled,
    /// In a fjall database in the data directory, for more
    Fjall,
}

/// The stores of this process.
#[derive(Clone)]
pub enum StoreBackend {
    /// In memory.
    Memory,
    /// In a database of sled's.
    Sled(Box<sled::Database>),
    /// In one of fjall's.
    Fjall(fjall::Database),
}

impl StoreBackend {
    /// Opens the stores of a data directory.
    pub fn open(kind: StoreKind, dir: &DataDir) -> Result<Self> {
        match kind {
            StoreKind::Memory => Ok(Self::Memory),
            StoreKind::Sled => {
                let (database, removed) = sled::Database::open(&dir.store(), CACHE)?;
                tell(removed);
                Ok(Self::Sled(Box::new(database)))
            }
            StoreKind::Fjall => {
                let (database, removed) = fjall::Database::open(&dir.store(), CACHE)?;
                tell(removed);
                Ok(Self::Fjall(database))
            }
        }
    }

    /// Bytes of a key together with its field that a row may have.
    pub fn longest_name(&self) -> usize {
        match self {
            Self::Memory | Self::Sled(_) => usize::MAX,
            Self::Fjall(_) => fjall::LONGEST_NAME,
        }
    }

    /// The stores of a pipeline.
    pub fn stores(&self, topology: &Arc<Topology>) -> Box<dyn port::Stores> {
        match self {
            Self::Memory => Box::new(memory::Stores::new(topology.clone())),
            Self::Sled(database) => Box::new(database.stores(topology.clone())),
            Self::Fjall(database) => Box::new(database.stores(topology.clone())),
        }
    }
}

fn tell(removed: Option<String>) {
    if let Some(reason) = removed {
        warn!(reason, "the store was damaged and was removed: its rows are read from the changelogs");
    }
}

/// The embedded log as what pipelines run on.
pub struct Embedded {
    log: Log,
    /// Behind a lock because a handle of sled's is for one thread at a time; each worker gets its own.
    stores: Mutex<StoreBackend>,
    _server: Server,
}

impl Embedded {
    /// Opens the log and the stores of a data directory, and serves the log to other commands.
    pub fn open(dir: DataDir, store: StoreKind) -> Result<Self> {
        let stores = StoreBackend::open(store, &dir)?;
        let log = Log::open(dir)?;
        let server = Server::start(log.clone())?;
        Ok(Self { log, stores: Mutex::new(stores), _server: server })
    }
}

impl Embedded {
    fn stores(&self) -> StoreBackend {
        self.stores.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A pipeline on the embedded log.
struct Place {
    log: Log,
    stores: Mutex<StoreBackend>,
    pipeline: String,
    /// Tells the ids of this process' workers from those of every earlier one: none of theirs has anything open, and
    /// fencing one must not hit a worker of this process that has another number now.
    incarnation: Uuid,
    topology: Arc<Topology>,
    stops: Stops,
}

impl Site for Place {
    fn ports(&self, worker: usize, _: Repair) -> Result<Ports> {
        let (log, topology) = (|| self.log.clone(), || self.topology.clone());
        let id = format!("{}/{}/{worker}", self.pipeline, self.incarnation);
        let stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner).stores(&self.topology);
        let source = Source::new(log(), topology(), self.stops.clone());
        Ok(Ports {
            source: files::Source::before(Box::new(source), &self.topology, &self.stops),
            sink: Box::new(Sink::new(log(), topology(), &id, false)),
            tasks: Box::new(Tasks::new(log(), topology(), &id)),
            changelog: Box::new(Changelog::new(log(), topology())),
            stores,
        })
    }

    fn membership(&self) -> Membership {
        Membership::Alone
    }
}

impl Backend for Embedded {
    fn partitions(&self, topic: &str) -> Result<Option<u32>> {
        Ok(self.log.topics().iter().find(|there| *there.name == *topic).map(|there| there.partitions))
    }

    fn create(&self, topics: &[NewTopic]) -> Result<()> {
        for NewTopic { name, kind, partitions, .. } in topics {
            let kind = if *kind == TopicKind::Changelog { Kind::Changelog } else { Kind::Records };
            self.log.create_topic(name, *partitions, kind)?;
        }
        Ok(())
    }

    fn grow(&self, topic: &str, partitions: u32) -> Result<()> {
        anyhow::bail!("give topic {topic} {partitions} partitions: the log in this process has no topics that grow")
    }

    fn makes_topics(&self) -> bool {
        true
    }

    fn limits(&self, _: &[&str]) -> Result<Limits> {
        Ok(Limits { record: LARGEST_RECORD, name: self.stores().longest_name(), ..Limits::default() })
    }

    fn forget(&self, _: &str, _: &[&str]) -> Result<()> {
        // The data directory was emptied, and all of it was in there.
        Ok(())
    }

    fn start(&self, topic: &str, partition: Partition) -> Result<Offset> {
        Ok(self.log.start(&self.log.topic(topic)?, partition)?)
    }

    fn at(&self, topic: &str, partition: Partition, time: Timestamp) -> Result<Option<Offset>> {
        Ok(Some(self.log.at(&self.log.topic(topic)?, partition, time)?))
    }

    fn rows(
        &self,
        _: &str,
        topology: &Arc<Topology>,
        tasks: &[TaskId],
        _: Repair,
    ) -> Result<BTreeMap<TaskId, TaskRow>> {
        let mut rows = Tasks::new(self.log.clone(), topology.clone(), "");
        let row = |&task: &TaskId| port::Tasks::row(&mut rows, task).map(|row| row.map(|row| (task, row))).transpose();
        tasks.iter().filter_map(row).collect::<Result<_, _>>().map_err(|fault| anyhow!("{fault}"))
    }

    fn members(&self, _: &str) -> Result<Vec<String>> {
        // Whoever has the data directory is alone.
        Ok(Vec::new())
    }

    fn end(&self, topic: &str, partition: Partition) -> Result<Offset> {
        Ok(self.log.end(&self.log.topic(topic)?, partition)?)
    }

    fn identity(&self, _: &str) -> Result<String> {
        Ok(self.log.id().to_string())
    }

    fn settle(&self, _: &str) -> Result<()> {
        // A commit is seen by all as soon as it is made.
        Ok(())
    }

    fn site(&self, _: &str, pipeline: &str, topology: &Arc<Topology>, stops: &Stops) -> Result<Arc<dyn Site>> {
        Ok(Arc::new(Place {
            log: self.log.clone(),
            stores: Mutex::new(self.stores()),
            pipeline: pipeline.to_owned(),
            incarnation: Uuid::new_v4(),
            topology: topology.clone(),
            stops: stops.clone(),
        }))
    }

    fn broker(&self) -> Result<Box<dyn Broker + Send>> {
        Ok(Box::new(self.log.clone()))
    }

    fn purge(&self, before: &[(&str, Partition, Offset)]) -> Result<()> {
        for &(topic, partition, offset) in before {
            self.log.purge(&self.log.topic(topic)?, partition, offset)?;
        }
        Ok(())
    }

    fn finish(&self) -> Result<()> {
        Ok(self.log.sync()?)
    }
}
