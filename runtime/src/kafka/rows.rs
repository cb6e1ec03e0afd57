//! The committed rows of tasks: offsets of the tasks topics' partitions, with metadata.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{Offset, TopicPartitionList};
use wasmill_core::commit::Guarantee;
use wasmill_core::port::{self, Fault, Lease};
use wasmill_core::record::{Epoch, TaskId};
use wasmill_core::task::row::TaskRow;

use super::client::{Client, Error, Logs, setting};
use super::fault::{asked, describe, is_passing};
use super::group::Group;
use super::native::producer::Producer;
use super::pipeline::Pipeline;
use crate::topology::Topology;

/// How long one try takes at most. A row with an open transaction does not come before that is decided.
const TRY: Duration = Duration::from_secs(2);

/// The rows of a worker's tasks.
pub struct Rows {
    /// Reads what is decided.
    stable: BaseConsumer<Logs>,
    /// Reads what was sent last, decided or not.
    latest: BaseConsumer<Logs>,
    pipeline: Arc<Pipeline>,
    group: Arc<Group>,
    worker: u32,
    id: String,
    /// Whether a row that cannot be read is none.
    lenient: bool,
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").field("worker", &self.worker).finish_non_exhaustive()
    }
}

impl Rows {
    pub(super) fn new(pipeline: &Arc<Pipeline>, group: &Arc<Group>, worker: u32) -> Result<Self, Error> {
        let name = pipeline.identity.group();
        Ok(Self {
            stable: pipeline.client.rows(&name, "read_committed")?,
            latest: pipeline.client.rows(&name, "read_uncommitted")?,
            id: owner(pipeline, worker),
            pipeline: Arc::clone(pipeline),
            group: Arc::clone(group),
            worker,
            lenient: false,
        })
    }

    /// From now on a row that somebody else has written is none.
    pub fn pass_over_unreadable(&mut self) {
        self.lenient = true;
    }

    /// The row of a task as a client sees it, asked for until a deadline: a time-out says that it is not decided yet.
    fn read(&self, client: &BaseConsumer<Logs>, task: TaskId) -> Result<Option<TaskRow>, Fault> {
        let doing = format!("read the row of task {task}");
        let topic = self.pipeline.topology.rows(task).unwrap_or_default();
        let partition = task.partition.0 as i32;
        let deadline = Instant::now() + self.pipeline.client.timing().transaction + Duration::from_secs(10);
        loop {
            // Serves logs and errors.
            drop(client.poll(Duration::ZERO));
            let mut list = TopicPartitionList::with_capacity(1);
            list.add_partition(topic, partition);
            let answer = client.committed_offsets(list, TRY);
            let found = answer.and_then(|list| {
                let Some(element) = list.find_partition(topic, partition) else { return Ok(None) };
                element.error()?;
                let Offset::Offset(epoch) = element.offset() else { return Ok(None) };
                Ok(Some((Epoch(epoch as u64), element.metadata().to_owned())))
            });
            match found {
                Ok(None) => return Ok(None),
                Ok(Some((epoch, metadata))) => {
                    let row = decode(epoch, &metadata);
                    return if row.is_none() && !self.lenient { Err(unreadable(&doing, epoch)) } else { Ok(row) };
                }
                Err(error) if is_passing(error.rdkafka_error_code()) && Instant::now() < deadline => {
                    tracing::debug!(%task, error = describe(&error), "a row is not decided yet");
                }
                Err(error) => return Err(asked(&doing, &error)),
            }
        }
    }
}

/// The rows of tasks as they were committed last, without those that are not decided yet. `lenient`: without those that
/// something else has written, too.
pub fn latest(
    client: &Client,
    group: &str,
    topology: &Topology,
    tasks: &[TaskId],
    lenient: bool,
) -> Result<BTreeMap<TaskId, TaskRow>, Fault> {
    let doing = format!("read the rows of group {group}");
    let consumer = client.rows(group, "read_uncommitted")?;
    let mut list = TopicPartitionList::with_capacity(tasks.len());
    for &task in tasks {
        list.add_partition(topology.rows(task).unwrap_or_default(), task.partition.0 as i32);
    }
    let list = committed(&consumer, &list, client.timing().transaction).map_err(|error| asked(&doing, &error))?;
    let mut rows = BTreeMap::new();
    for &task in tasks {
        let topic = topology.rows(task).unwrap_or_default();
        let Some(element) = list.find_partition(topic, task.partition.0 as i32) else { continue };
        if let Offset::Offset(epoch) = element.offset() {
            let epoch = Epoch(epoch as u64);
            match decode(epoch, element.metadata()) {
                Some(row) => _ = rows.insert(task, row),
                None if lenient => {}
                None => return Err(unreadable(&doing, epoch)),
            }
        }
    }
    Ok(rows)
}

/// Asks for committed offsets. A group whose coordinator is not there yet, or moves, is asked for again.
fn committed(
    consumer: &BaseConsumer<Logs>,
    list: &TopicPartitionList,
    patience: Duration,
) -> KafkaResult<TopicPartitionList> {
    let deadline = Instant::now() + patience;
    loop {
        let answer = consumer.committed_offsets(list.clone(), TRY).and_then(|list| {
            list.elements().iter().try_for_each(TopicPartitionListElem::error)?;
            Ok(list)
        });
        match answer {
            Err(error) if is_passing(error.rdkafka_error_code()) && Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(50));
            }
            answer => return answer,
        }
    }
}

/// Who may have a transaction open for the worker's tasks: nobody where there are none.
fn owner(pipeline: &Pipeline, worker: u32) -> String {
    match pipeline.topology.guarantee {
        Guarantee::ExactlyOnce => pipeline.identity.transactional_id(worker),
        Guarantee::AtLeastOnce => String::new(),
    }
}

/// The row in an offset's metadata; `None` if something else wrote it.
fn decode(epoch: Epoch, metadata: &str) -> Option<TaskRow> {
    let bytes = STANDARD_NO_PAD.decode(metadata).ok()?;
    TaskRow::decode(epoch, &bytes)
}

fn unreadable(doing: &str, epoch: Epoch) -> Fault {
    Fault::Fatal(format!(
        "{doing}: the offset {epoch} was committed by something else than wasmill, or by a newer one: run that one; or go on \
         from the changelog with `wasmill offsets PIPELINE --from-changelog`; or say where to go on, with `--reset WHERE`"
    ))
}

impl port::Tasks for Rows {
    fn lease(&mut self, task: TaskId) -> Option<Lease> {
        self.group.lease(task, self.worker)
    }

    fn owner(&mut self, task: TaskId) -> Result<Option<String>, Fault> {
        let row = self.read(&self.latest, task)?;
        Ok(row.map(|row| row.owner).filter(|owner| !owner.is_empty()))
    }

    fn fence(&mut self, owner: &str) -> Result<(), Fault> {
        if self.pipeline.is_own(owner) {
            return Ok(());
        }
        let config = self.pipeline.client.producer(owner);
        let producer = Producer::new(&config, [], 0).map_err(setting)?;
        let deadline = Instant::now() + self.pipeline.client.timing().transaction;
        loop {
            let Err(refused) = producer.init(TRY) else { return Ok(()) };
            // Being fenced in turn means that somebody else has done it.
            if is_fenced(refused.code) {
                return Ok(());
            }
            if !refused.retriable || Instant::now() >= deadline {
                return Err(Fault::Abort(format!("end the transaction of {owner}: {refused}")));
            }
        }
    }

    fn row(&mut self, task: TaskId) -> Result<Option<TaskRow>, Fault> {
        self.read(&self.stable, task)
    }

    fn id(&self) -> &str {
        &self.id
    }
}

fn is_fenced(code: rdkafka::error::RDKafkaErrorCode) -> bool {
    use rdkafka::error::RDKafkaErrorCode as Code;
    matches!(code, Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch)
}
