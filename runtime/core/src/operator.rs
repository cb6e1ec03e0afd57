//! What the worker calls: a plugin, or something built in, at its place in a pipeline.

mod fit;

use std::sync::Arc;

use thiserror::Error;

use crate::batch::{Batch, Blobs};
use crate::port::Fault;
use crate::record::{Partition, Timestamp};
use crate::scope::Scope;

pub use self::fit::Unfit;

/// How an operator is called.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// One record in, any number out; no state.
    Transform,
    /// By key, with state and timers.
    Process,
}

impl Role {
    /// Whether all records of a key must come to one task.
    pub const fn is_keyed(self) -> bool {
        matches!(self, Self::Process)
    }
}

/// How the values of a state are kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StateKind {
    /// One value for each key.
    Single,
    /// An ordered map from field to value for each key.
    OrderedMap,
}

/// A state that an operator keeps.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StateDeclaration {
    /// Ties stored state to code across versions.
    pub name: String,
    /// One value or a map for each key.
    pub kind: StateKind,
    /// Whether its value is fetched ahead into the slots of a call.
    pub prefetch: bool,
    /// Milliseconds of event time after which what was last written is forgotten.
    pub ttl: Option<u64>,
    /// Version of the values' encoding.
    pub encoding: u8,
}

/// A named output.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OutputDeclaration {
    /// Its port.
    pub name: String,
    /// Records leave with the key that they came with.
    pub keeps_keys: bool,
}

/// What a metric counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Last value.
    Gauge,
    /// Distribution.
    Histogram,
}

/// A metric of an operator's own.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MetricDeclaration {
    /// Its name.
    pub name: String,
    /// What it counts.
    pub kind: MetricKind,
    /// Unit of its values.
    pub unit: String,
}

/// What an operator says of itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Declaration {
    /// Its name, as its author calls it.
    pub name: String,
    /// Its version.
    pub version: String,
    /// How it is called.
    pub role: Role,
    /// Names of its inputs.
    pub inputs: Vec<String>,
    /// Its outputs; the first is the main one.
    pub outputs: Vec<OutputDeclaration>,
    /// Its states. Their order is the number that calls use.
    pub states: Vec<StateDeclaration>,
    /// Its metrics, numbered like its states.
    pub metrics: Vec<MetricDeclaration>,
}

impl Declaration {
    /// Indexes of the states that are fetched ahead, in the order of a slot's cells.
    pub fn prefetched(&self) -> impl Iterator<Item = u32> + Clone {
        self.states.iter().zip(0..).filter(|(state, _)| state.prefetch).map(|(_, index)| index)
    }
}

/// Which clock a timer goes by.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Domain {
    /// The watermark.
    EventTime,
    /// The host's clock.
    ProcessingTime,
}

/// Why an operator is called.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Entry {
    /// Records came.
    Process,
    /// Timers came due: in each record the key is the timer's key, the value its name, the timestamp its time.
    Timers(Domain),
}

/// What holds for all records of a call.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct CallInfo {
    /// Index of the operator's input that the records came by.
    pub input: u32,
    /// The partition that the task works for.
    pub partition: Partition,
    /// Number of this call in the life of the task; a call made again has the same number.
    pub sequence: u64,
    /// The watermark before the first record.
    pub watermark: Timestamp,
    /// The host's clock, read once per turn.
    pub processing_time: Timestamp,
}

/// State fetched ahead: a slot for each distinct key of the call. With s prefetched states a slot has s cells.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Slots {
    /// The slot of each record.
    pub slot_of: Vec<u32>,
    /// The cells, all of slot 0 first. Absent: nothing stored yet. A value begins with its encoding's byte.
    pub values: Blobs,
}

/// Where the records of a call come from, for those who ask.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Origin {
    /// The topic of the input.
    pub topic: Arc<str>,
    /// Offset of each record in the input's partition; -1 where it has none.
    pub offsets: Vec<i64>,
    /// The watermark just before each record.
    pub watermarks: Vec<i64>,
}

/// One call of an operator.
#[derive(Clone, Debug)]
pub struct Call {
    /// Why it is made.
    pub entry: Entry,
    /// What holds for all its records.
    pub info: CallInfo,
    /// The records, at least one.
    pub records: Arc<Batch>,
    /// State fetched ahead; empty for a transform.
    pub slots: Slots,
    /// Where the records come from.
    pub origin: Origin,
}

/// A record that the operator could not handle.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    /// Index of the record in the call.
    pub index: u32,
    /// Why, in the operator's words.
    pub reason: String,
}

/// What an operator says at the end of a call; the rest of its effects are in the scope.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Outcome {
    /// The records that it could not handle.
    pub failures: Vec<Failure>,
    /// The cells that changed, as slot * s + state, each at most once.
    pub cells: Vec<u32>,
    /// Their new values. Absent: deleted.
    pub values: Blobs,
}

/// Why a call as a whole failed. None of its effects hold.
#[derive(Debug, Error)]
pub enum CallError {
    /// It may work later: call again, on a new instance, after a pause.
    #[error("{0}")]
    Transient(String),
    /// It cannot work with these records, as it says.
    #[error("{0}")]
    Permanent(String),
    /// It panicked or trapped.
    #[error("{0}")]
    Trap(String),
    /// It broke a limit or another rule, or returned nonsense.
    #[error("{0}")]
    Limit(String),
    /// It took too long.
    #[error("{0}")]
    Deadline(String),
    /// The host failed during the call, not the operator.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// An operator, ready to be called. One instance serves all tasks of its worker.
pub trait Operator {
    /// What it says of itself. Constant.
    fn declaration(&self) -> &Declaration;

    /// Makes a call. The scope holds the call and takes its effects; it is handed back whatever happens. After an
    /// error the effects in it are void, and the next call runs on a new instance.
    fn call(&mut self, scope: Box<Scope>) -> (Box<Scope>, Result<Outcome, CallError>);

    /// Forgets what the instance has in its own memory: the next call runs on a new one.
    fn renew(&mut self);
}

/// An operator of the host's own. It keeps nothing in memory that it would have to forget.
pub trait Native {
    /// What it says of itself. Constant.
    fn declaration(&self) -> &Declaration;

    /// Makes a call, with its effects in the scope.
    fn run(&mut self, call: &Call, scope: &mut Scope) -> Result<Outcome, CallError>;
}

impl<N: Native> Operator for N {
    fn declaration(&self) -> &Declaration {
        Native::declaration(self)
    }

    fn call(&mut self, mut scope: Box<Scope>) -> (Box<Scope>, Result<Outcome, CallError>) {
        let call = Arc::clone(scope.call());
        let result = self.run(&call, &mut scope);
        (scope, result)
    }

    fn renew(&mut self) {}
}
