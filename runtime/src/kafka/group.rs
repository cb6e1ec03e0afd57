//! A node's membership in a pipeline's group: which tasks it has, and which worker may commit them.
//!
//! The group is subscribed to the tasks topics, whose partition p is the task (stage, p). One thread does nothing but
//! poll the group consumer, for a consumer that is not polled through an outage loses its membership for good.

mod leases;
mod orphans;
mod thread;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use wasmill_core::port::{Fault, Lease};
use wasmill_core::record::TaskId;

use self::leases::Leases;
use self::thread::Rebalances;
use super::client::Error;
use super::native::member::Member;
use super::pipeline::Pipeline;

/// What happened to a node's tasks.
#[derive(Debug)]
pub enum Event {
    /// The node has these tasks now. They are free to be given to workers.
    Granted(Vec<TaskId>),
    /// The node is to let these tasks go: their workers seal, commit and release them. The group waits until `released`
    /// is dropped, or until its deadline, past which the leases are gone.
    Revoked {
        /// The tasks.
        tasks: Vec<TaskId>,
        /// To be dropped when no worker has them any more.
        released: Released,
    },
    /// The node had these tasks and has lost them; what is not committed of them is void. It tries to join again.
    Lost {
        /// The tasks.
        tasks: Vec<TaskId>,
        /// How that came.
        reason: String,
    },
}

/// Tells the group, by being dropped, that revoked tasks were let go.
#[derive(Debug)]
pub struct Released {
    deadline: Instant,
    _answer: Sender<()>,
}

impl Released {
    /// How much time is left.
    pub fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

/// Whether a node that stops gives up its place in the group.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Leave {
    /// Its tasks go to others at once.
    Now,
    /// Its tasks stay its own until its session ends; a restart within that time moves nothing.
    Stay,
}

/// A node's membership.
pub struct Group {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What a member is in a group: its generation, and its id.
type Membership = (i32, String);

/// What the thread, its callbacks and the workers share.
struct Shared {
    pipeline: Arc<Pipeline>,
    consumer: RwLock<Option<BaseConsumer<Rebalances>>>,
    leases: Mutex<Leases>,
    /// The membership that the thread is to give up, to join again.
    anew: Mutex<Option<Membership>>,
    stop: AtomicU8,
}

const RUN: u8 = 0;
const LEAVE: u8 = 1;
const STAY: u8 = 2;

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("group", &self.shared.pipeline.identity.group()).finish_non_exhaustive()
    }
}

impl Group {
    /// Joins the pipeline's group. What happens to the node's tasks comes through the channel, which somebody must
    /// read: a revocation waits for an answer.
    pub fn join(pipeline: &Arc<Pipeline>) -> Result<(Arc<Self>, Receiver<Event>), Error> {
        let (events, receiver) = mpsc::channel();
        let shared = Arc::new(Shared {
            pipeline: Arc::clone(pipeline),
            consumer: RwLock::new(None),
            leases: Mutex::default(),
            anew: Mutex::default(),
            stop: AtomicU8::new(RUN),
        });
        let consumer = thread::join(&shared, &events)?;
        *shared.consumer.write().unwrap_or_else(PoisonError::into_inner) = Some(consumer);
        let watched = Arc::downgrade(&shared);
        std::thread::Builder::new()
            .name("orphans".into())
            .spawn(move || orphans::watch(&watched))
            .map_err(|error| Error::failed("start the thread that looks for tasks that nobody has", error))?;
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name(format!("group {}", pipeline.identity.pipeline))
            .spawn(move || thread::run(&of_thread, &events))
            .map_err(|error| Error::failed("start the group's thread", error))?;
        Ok((Arc::new(Self { shared, thread: Mutex::new(Some(thread)) }), receiver))
    }

    /// The tasks that the node has.
    pub fn tasks(&self) -> BTreeSet<TaskId> {
        self.shared.leases().tasks()
    }

    /// Sees to it that the topics of tasks are known that there were not when the node started.
    pub fn learn(&self, tasks: &[TaskId]) -> Result<(), Error> {
        let pipeline = &self.shared.pipeline;
        if tasks.iter().all(|&task| pipeline.knows(task)) { Ok(()) } else { pipeline.look_again() }
    }

    /// Gives a task to a worker, in place of any other. `None` if the node does not have it.
    ///
    /// The worker that had it must have released it, or its transactional id must be initialized anew before.
    pub fn give(&self, task: TaskId, worker: u32) -> Option<Lease> {
        self.shared.leases().give(task, worker)
    }

    /// Takes a task back from the worker that has it; the node keeps it.
    pub fn take(&self, task: TaskId) {
        self.shared.leases().take(task);
    }

    /// The right under which a worker has a task now.
    pub fn lease(&self, task: TaskId, worker: u32) -> Option<Lease> {
        self.shared.leases().of(task, worker)
    }

    /// Stops the membership. Workers must have released their tasks before, or lose what is not committed.
    pub fn stop(&self, leave: Leave) {
        let how = if leave == Leave::Now { LEAVE } else { STAY };
        self.shared.stop.store(how, Ordering::Release);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the group's thread panicked");
        }
    }

    /// Commits offsets of the group, outside of any transaction.
    pub(super) fn commit(&self, offsets: &TopicPartitionList) -> KafkaResult<()> {
        let consumer = self.shared.consumer.read().unwrap_or_else(PoisonError::into_inner);
        match consumer.as_ref() {
            Some(consumer) => consumer.commit(offsets, CommitMode::Sync),
            None => Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::UnknownMemberId)),
        }
    }

    /// What the node proves its membership with, as it is at this moment.
    pub(super) fn member(&self) -> Result<Member, Fault> {
        self.shared.member().ok_or_else(|| {
            Fault::Abort(format!("commit: this node is no member of group {}", self.shared.pipeline.identity.group()))
        })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.stop(Leave::Stay);
    }
}

impl Shared {
    fn leases(&self) -> std::sync::MutexGuard<'_, Leases> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn member(&self) -> Option<Member> {
        let consumer = self.consumer.read().unwrap_or_else(PoisonError::into_inner);
        consumer.as_ref().and_then(Member::of)
    }

    fn membership(&self) -> Option<Membership> {
        self.member().map(|member| (member.generation(), member.id().to_owned()))
    }

    /// The topics whose partitions are the group's tasks.
    fn topics(&self) -> Vec<&str> {
        let mut topics: Vec<_> = self.pipeline.topology.tasks.iter().map(String::as_str).collect();
        topics.sort_unstable();
        topics.dedup();
        topics
    }

    fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire) != RUN
    }
}
