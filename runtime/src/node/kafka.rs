//! Pipelines on Kafka.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use uuid::Uuid;
use wasmill_core::commit::{Guarantee, Repair};
use wasmill_core::record::{Offset, Partition, TaskId, Timestamp};
use wasmill_core::scope::Limits;
use wasmill_core::task::row::TaskRow;
use wasmill_core::worker::Ports;

use super::backend::{Backend, Membership, NewTopic, Site, TopicKind};
use super::embedded::{LARGEST_RECORD, StoreBackend, StoreKind};
use crate::broker::Broker;
use crate::data_dir::DataDir;
use crate::embedded::Stops;
use crate::files;
use crate::kafka::admin::{self, Described};
use crate::kafka::records::Records;
use crate::kafka::rows;
use crate::kafka::{Client, Event, Group, Identity, Leave, Lookup, Pipeline};
use crate::topology::Topology;

/// Bytes that a batch, and the headers of a dead letter, add to a record.
const OVERHEAD: usize = 8 << 10;

/// How far the clocks of brokers may be apart from this one, and how long a record may take to them.
const SKEW: Duration = Duration::from_secs(10);

/// A Kafka cluster as what pipelines run on.
pub struct Kafka {
    client: Client,
    node: String,
    stores: Mutex<StoreBackend>,
    lookup: Lookup,
    _dir: DataDir,
}

impl Kafka {
    /// Connects, and opens this node's stores.
    pub fn open(client: Client, dir: DataDir, store: StoreKind) -> Result<Self> {
        client.connect()?;
        let node = node_id(&dir)?;
        let stores = Mutex::new(StoreBackend::open(store, &dir)?);
        let lookup = Lookup::new(&client)?;
        Ok(Self { client, node, stores, lookup, _dir: dir })
    }

    fn stores(&self) -> StoreBackend {
        self.stores.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The id that this node keeps for life, so that a restart knows its own transactions.
fn node_id(dir: &DataDir) -> Result<String> {
    let path = dir.path().join("node-id");
    let context = || format!("cannot keep the node's id in {}", path.display());
    match fs::read_to_string(&path) {
        Ok(id) => match Uuid::parse_str(id.trim()) {
            Ok(id) => Ok(id.to_string()),
            Err(_) => bail!("{} holds no id: remove it, and the node gets a new one", path.display()),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let id = Uuid::new_v4().to_string();
            fs::write(&path, format!("{id}\n")).with_context(context)?;
            Ok(id)
        }
        Err(error) => Err(error).with_context(context),
    }
}

impl Backend for Kafka {
    fn partitions(&self, topic: &str) -> Result<Option<u32>> {
        Ok(self.lookup.partitions(topic)?)
    }

    fn create(&self, topics: &[NewTopic]) -> Result<()> {
        let topic = |topic: &NewTopic| {
            let kind = match topic.kind {
                TopicKind::Records => admin::Kind::Plain,
                TopicKind::Repartition => admin::Kind::Repartition,
                TopicKind::Changelog => admin::Kind::Changelog,
                TopicKind::Tasks => admin::Kind::Tasks,
            };
            let replication = topic.replication.map(u32::from);
            admin::NewTopic { replication, ..admin::NewTopic::new(&topic.name, topic.partitions, kind) }
        };
        admin::create(&self.client, &topics.iter().map(topic).collect::<Vec<_>>())?;
        Ok(())
    }

    fn grow(&self, topic: &str, partitions: u32) -> Result<()> {
        Ok(admin::grow(&self.client, topic, partitions)?)
    }

    fn makes_topics(&self) -> bool {
        false
    }

    fn limits(&self, topics: &[&str]) -> Result<Limits> {
        let described = admin::describe(&self.client, topics.iter().copied())?;
        let least = described.values().map(|topic| topic.largest_message).min().unwrap_or(LARGEST_RECORD);
        let record = least.saturating_sub(OVERHEAD).min(LARGEST_RECORD);
        let near = |side: fn(&Described) -> Duration| {
            let least = described.values().map(side).min().unwrap_or(Duration::MAX);
            if least == Duration::MAX { least } else { least.saturating_sub(SKEW) }
        };
        let (behind, ahead) = (near(|topic| topic.behind), near(|topic| topic.ahead));
        Ok(Limits { record, name: self.stores().longest_name(), behind, ahead, ..Limits::default() })
    }

    fn forget(&self, group: &str, topics: &[&str]) -> Result<()> {
        Ok(admin::forget(&self.client, group, topics)?)
    }

    fn start(&self, topic: &str, partition: Partition) -> Result<Offset> {
        Ok(self.lookup.start(topic, partition)?)
    }

    fn at(&self, topic: &str, partition: Partition, time: Timestamp) -> Result<Option<Offset>> {
        Ok(self.lookup.at(topic, partition, time)?)
    }

    fn rows(
        &self,
        group: &str,
        topology: &Arc<Topology>,
        tasks: &[TaskId],
        repair: Repair,
    ) -> Result<BTreeMap<TaskId, TaskRow>> {
        let lenient = repair != Repair::Never;
        rows::latest(&self.client, group, topology, tasks, lenient).map_err(|fault| anyhow!("{fault}"))
    }

    fn members(&self, group: &str) -> Result<Vec<String>> {
        Ok(self.lookup.members(group)?)
    }

    fn end(&self, topic: &str, partition: Partition) -> Result<Offset> {
        Ok(self.lookup.end(topic, partition)?)
    }

    fn identity(&self, topic: &str) -> Result<String> {
        let described = admin::describe(&self.client, [topic])?;
        Ok(described.get(topic).map(|topic| topic.id.clone()).unwrap_or_default())
    }

    fn settle(&self, topic: &str) -> Result<()> {
        Ok(self.lookup.settle(topic)?)
    }

    fn site(&self, cluster: &str, pipeline: &str, topology: &Arc<Topology>, stops: &Stops) -> Result<Arc<dyn Site>> {
        let identity = Identity { cluster: cluster.into(), pipeline: pipeline.into(), node: self.node.clone() };
        let pipeline = Pipeline::open(self.client.clone(), identity, Topology::clone(topology))?;
        let (group, events) = Group::join(&pipeline)?;
        pipeline.watch(&group)?;
        Ok(Arc::new(Place {
            pipeline,
            group,
            events: Mutex::new(Some(events)),
            stores: Mutex::new(self.stores()),
            topology: topology.clone(),
            stops: stops.clone(),
        }))
    }

    fn broker(&self) -> Result<Box<dyn Broker + Send>> {
        Ok(Box::new(Records::connect(self.client.clone())?))
    }

    fn purge(&self, before: &[(&str, Partition, Offset)]) -> Result<()> {
        Ok(admin::purge(&self.client, before)?)
    }

    fn finish(&self) -> Result<()> {
        Ok(())
    }
}

/// A pipeline on Kafka.
struct Place {
    pipeline: Arc<Pipeline>,
    group: Arc<Group>,
    events: Mutex<Option<Receiver<Event>>>,
    stores: Mutex<StoreBackend>,
    topology: Arc<Topology>,
    stops: Stops,
}

impl Site for Place {
    fn ports(&self, worker: usize, repair: Repair) -> Result<Ports> {
        let mut made = self.pipeline.worker(worker as u32, &self.group)?;
        if repair != Repair::Never {
            made.tasks.pass_over_unreadable();
        }
        for (&(task, input), &stop) in &self.stops {
            made.source.stop_at(task, input, stop);
        }
        let stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner).stores(&self.topology);
        Ok(Ports {
            source: files::Source::before(Box::new(made.source), &self.topology, &self.stops),
            sink: Box::new(made.sink),
            tasks: Box::new(made.tasks),
            changelog: Box::new(made.changelogs),
            stores,
        })
    }

    fn membership(&self) -> Membership {
        match self.events.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(events) => Membership::Group(self.group.clone(), events),
            None => Membership::Alone,
        }
    }

    fn guarantee(&self) -> Guarantee {
        self.topology.guarantee
    }

    fn tasks(&self) -> Option<usize> {
        Some(self.group.tasks().len())
    }

    fn leave(&self, how: Leave) {
        self.group.stop(how);
    }
}
