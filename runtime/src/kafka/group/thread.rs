//! The thread that polls a group consumer, and what it does when the group rebalances.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use wasmill_core::record::{Partition, TaskId};

use super::{Event, LEAVE, Released, Shared};
use crate::kafka::client::{Error, log_line, setting};
use crate::kafka::native::member::Member;

/// How long a poll waits; a stop is noticed after that.
const POLL: Duration = Duration::from_millis(50);

/// How long to wait before joining again after a fatal error, at first and at most.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// How long leaving the group may take when all tasks are released.
const LEAVING: Duration = Duration::from_secs(3);

/// Answers the group's rebalances.
pub(super) struct Rebalances {
    shared: Weak<Shared>,
    events: Mutex<Sender<Event>>,
}

impl ClientContext for Rebalances {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, reason);
    }
}

impl ConsumerContext for Rebalances {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, what: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let Some(shared) = self.shared.upgrade() else { return };
        let tasks = tasks(&shared, list);
        let done = if what == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            self.assigned(&shared, consumer, list, tasks)
        } else {
            self.revoked(&shared, consumer.assignment_lost(), tasks);
            consumer.incremental_unassign(list)
        };
        if let Err(error) = done {
            tracing::error!(%error, "rebalance");
        }
    }
}

impl Rebalances {
    /// Takes partitions at offset 0 and pauses them before anything is fetched: they have no data, and their committed
    /// offsets are epochs, which are no places in them.
    fn assigned(
        &self,
        shared: &Shared,
        consumer: &BaseConsumer<Self>,
        list: &mut TopicPartitionList,
        tasks: Vec<TaskId>,
    ) -> KafkaResult<()> {
        list.set_all_offsets(Offset::Offset(0))?;
        consumer.incremental_assign(list)?;
        if tasks.is_empty() {
            return Ok(());
        }
        consumer.pause(list)?;
        let generation = Member::of(consumer).map_or(-1, |member| member.generation());
        shared.leases().grant(&tasks, generation);
        tracing::info!(generation, tasks = tasks.len(), "granted");
        self.tell(Event::Granted(tasks));
        Ok(())
    }

    fn revoked(&self, shared: &Shared, lost: bool, tasks: Vec<TaskId>) {
        if tasks.is_empty() {
            return;
        }
        tracing::info!(tasks = tasks.len(), lost, "revoked");
        if lost {
            shared.leases().void(&tasks);
            self.tell(Event::Lost { tasks, reason: "the group took this node for dead".into() });
            return;
        }
        if !shared.is_stopping() {
            let patience = shared.pipeline.client.timing().release();
            let (answer, answered) = mpsc::channel();
            let released = Released { deadline: Instant::now() + patience, _answer: answer };
            self.tell(Event::Revoked { tasks: tasks.clone(), released });
            // Nothing is ever sent: the answer is that the sender is dropped.
            if answered.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
                // Who was to have them released has the same deadline, and warns.
                tracing::debug!(tasks = tasks.len(), "revoked tasks were not released in time");
            }
        }
        shared.leases().void(&tasks);
    }

    fn tell(&self, event: Event) {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        // With nobody left to hear it, the node is stopping.
        drop(events.send(event));
    }
}

/// The tasks of partitions of tasks topics.
fn tasks(shared: &Shared, list: &TopicPartitionList) -> Vec<TaskId> {
    let topics = &shared.pipeline.topology.tasks;
    let elements = list.elements();
    let tasks = elements.iter().filter_map(|element| {
        let stage = topics.iter().position(|topic| topic == element.topic())?;
        Some(TaskId { stage: stage as u16, partition: Partition(u32::try_from(element.partition()).ok()?) })
    });
    tasks.collect()
}

/// Makes a consumer and subscribes it.
pub(super) fn join(shared: &Arc<Shared>, events: &Sender<Event>) -> Result<BaseConsumer<Rebalances>, Error> {
    let identity = &shared.pipeline.identity;
    let group = identity.group();
    let config = shared.pipeline.client.member(&group, &identity.node);
    let context = Rebalances { shared: Arc::downgrade(shared), events: Mutex::new(events.clone()) };
    let consumer: BaseConsumer<_> = config.create_with_context(context).map_err(setting)?;
    consumer.subscribe(&shared.topics()).map_err(|error| Error::failed(format!("join group {group}"), error))?;
    Ok(consumer)
}

/// Polls until the membership is stopped.
pub(super) fn run(shared: &Arc<Shared>, events: &Sender<Event>) {
    let mut back_off = BACK_OFF.0;
    let mut refused = false;
    while !shared.is_stopping() {
        let anew = shared.anew.lock().unwrap_or_else(PoisonError::into_inner).take();
        if anew.is_some() && anew == shared.membership() {
            join_anew(shared, events);
        }
        match poll(shared, &mut refused) {
            Ok(()) => {
                if !shared.leases().tasks().is_empty() {
                    back_off = BACK_OFF.0;
                }
            }
            Err(reason) => {
                lose(shared, events, &reason);
                pause(shared, back_off);
                back_off = (back_off * 2).min(BACK_OFF.1);
                rejoin(shared, events);
            }
        }
    }
    if let Some(consumer) = take(shared) {
        if shared.stop.load(Ordering::Acquire) == LEAVE {
            leave(shared, &consumer);
        }
        drop(consumer);
    }
    shared.leases().void_all();
}

/// Polls once. The answer is an error when the consumer is of no use any more. `refused`: whether it was told that the
/// brokers do not take this node's session.
fn poll(shared: &Shared, refused: &mut bool) -> Result<(), String> {
    let consumer = shared.consumer.read().unwrap_or_else(PoisonError::into_inner);
    let Some(consumer) = consumer.as_ref() else { return Err("there is no group consumer".into()) };
    match consumer.poll(POLL) {
        Some(Err(KafkaError::MessageConsumptionFatal(code))) => Err(code.to_string()),
        Some(Err(error)) => {
            tracing::debug!(%error, "group");
            let is_session = error.rdkafka_error_code() == Some(RDKafkaErrorCode::InvalidSessionTimeout);
            if is_session && !std::mem::replace(refused, true) {
                let session = shared.pipeline.client.timing().session;
                tracing::warn!(
                    "the brokers refuse a session of {session:?}, so this node has no tasks: give a --session-timeout from \
                     their group.min.session.timeout.ms, 6s by default, to their group.max.session.timeout.ms"
                );
            }
            Ok(())
        }
        Some(Ok(_)) | None => Ok(()),
    }
}

/// Gives up the place in the group with all tasks, and joins again.
fn join_anew(shared: &Arc<Shared>, events: &Sender<Event>) {
    // Its workers prove their membership with it while they release what they have.
    if let Some(consumer) = shared.consumer.read().unwrap_or_else(PoisonError::into_inner).as_ref() {
        leave(shared, consumer);
    }
    let tasks = shared.leases().void_all();
    if !tasks.is_empty() {
        let reason = "this node joins the group again".to_owned();
        drop(events.send(Event::Lost { tasks, reason }));
    }
    drop(take(shared));
    if !shared.is_stopping() {
        rejoin(shared, events);
    }
}

fn lose(shared: &Shared, events: &Sender<Event>, reason: &str) {
    let tasks = shared.leases().void_all();
    tracing::error!(reason, tasks = tasks.len(), "lost the membership of the group");
    drop(events.send(Event::Lost { tasks, reason: reason.to_owned() }));
    drop(take(shared));
}

/// Takes the consumer from whoever uses it.
fn take(shared: &Shared) -> Option<BaseConsumer<Rebalances>> {
    shared.consumer.write().unwrap_or_else(PoisonError::into_inner).take()
}

fn rejoin(shared: &Arc<Shared>, events: &Sender<Event>) {
    match join(shared, events) {
        Ok(consumer) => *shared.consumer.write().unwrap_or_else(PoisonError::into_inner) = Some(consumer),
        Err(error) => tracing::error!(%error, "join the group again"),
    }
}

fn pause(shared: &Shared, wait: Duration) {
    let deadline = Instant::now() + wait;
    while !shared.is_stopping() && Instant::now() < deadline {
        std::thread::sleep(POLL.min(wait));
    }
}

/// Gives up the place in the group: a static member that only closes keeps it.
fn leave(shared: &Shared, consumer: &BaseConsumer<Rebalances>) {
    consumer.unsubscribe();
    let begun = Instant::now();
    // Of a node that stops, no worker has a task any more.
    let release = || if shared.is_stopping() { Duration::ZERO } else { shared.pipeline.client.timing().release() };
    // The client says that it leaves only behind the last revocation, and a static member that is closed before then
    // does not leave at all. It has left when it has no member id any more.
    let is_in = || !shared.leases().tasks().is_empty() || Member::of(consumer).is_some();
    while is_in() && begun.elapsed() < release() + LEAVING {
        drop(consumer.poll(POLL));
    }
}
