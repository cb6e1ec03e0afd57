//! What an operator declares when it opens.

use std::collections::HashSet;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::bindings::operator::exports::wasmill::plugin::lifecycle::{
    MetricDecl, MetricKind, OperatorInfo, OutputDecl, StateDecl, StateKind,
};
use crate::metric::{Counter, Gauge, Histogram};
use crate::output::{Buffer, Port};
use crate::state::{Declared, Older, OrderedMap, Place, Single};
use crate::{Error, Result};

/// Settings in, declarations out: what [`Open::open`](crate::Open::open) is given.
///
/// It is run on every new instance, and once more when a pipeline is deployed, to learn what the operator is. So it
/// declares the same for the same settings, and does nothing else.
///
/// ```
/// use std::time::Duration;
/// use wasmill_sdk::{Counter, Keys, Open, Port, Result, Setup, Single};
///
/// #[derive(serde::Deserialize)]
/// struct Settings { limit: u64 }
///
/// struct Totals { limit: u64, total: Single<u64>, over: Port, seen: Counter }
///
/// impl Open for Totals {
///     fn open(setup: &mut Setup) -> Result<Self> {
///         let Settings { limit } = setup.settings()?;
///         Ok(Self {
///             limit,
///             total: setup.state("total").ttl(Duration::from_secs(3600)).prefetched(),
///             over: setup.output("over", Keys::Kept),
///             seen: setup.counter("seen", "orders"),
///         })
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Setup {
    settings: String,
    info: OperatorInfo,
}

/// An input of the operator, made by [`Setup::input`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input(pub(crate) u32);

/// What an output does with the keys of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// Every record leaves with the key that it came with, so no repartitioning is needed behind the output. Emitting
    /// another key there is a permanent error.
    Kept,
    /// Records may leave with other keys.
    Changed,
}

impl Setup {
    pub(crate) fn new(settings: &str) -> Self {
        let main = OutputDecl { name: "main".to_owned(), keeps_keys: false };
        let info = OperatorInfo {
            name: String::new(),
            version: String::new(),
            inputs: Vec::new(),
            outputs: vec![main],
            states: Vec::new(),
            metrics: Vec::new(),
        };
        Self { settings: settings.to_owned(), info }
    }

    /// The operator's `settings` in the pipeline file. What does not fit `T` is a permanent error that says where; so are
    /// unknown settings if `T` has `#[serde(deny_unknown_fields)]`.
    pub fn settings<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_str(&self.settings).map_err(|error| Error::Permanent(format!("read the settings: {error}")))
    }

    /// Whether there are any settings. Not left to a parser, which would be most of the size of an operator without them.
    pub(crate) fn has_settings(&self) -> bool {
        self.settings.contains(|c: char| !c.is_whitespace() && c != '{' && c != '}')
    }

    /// Declares an input by name. An operator that declares none has one, `in`.
    pub fn input(&mut self, name: &str) -> Input {
        self.info.inputs.push(name.to_owned());
        Input(self.info.inputs.len() as u32 - 1)
    }

    /// Says what the main output does with keys. Without it they may change.
    pub fn main_output(&mut self, keys: Keys) {
        if let Some(main) = self.info.outputs.first_mut() {
            main.keeps_keys = keys == Keys::Kept;
        }
    }

    /// Declares an output besides the main one.
    pub fn output(&mut self, name: &str, keys: Keys) -> Port {
        self.info.outputs.push(OutputDecl { name: name.to_owned(), keeps_keys: keys == Keys::Kept });
        Port(self.info.outputs.len() as u32 - 1)
    }

    /// Begins to declare a state with values of type `T`; the name ties what is stored to the code across versions. A
    /// stateless operator has no use for it.
    pub fn state<T>(&mut self, name: &str) -> StateSetup<'_, T> {
        StateSetup { setup: self, name: name.to_owned(), ttl: None, encoding: 1, older: None }
    }

    /// Declares a counter. `unit` is what one of it is, such as `orders` or `bytes`.
    pub fn counter(&mut self, name: &str, unit: &str) -> Counter {
        Counter(self.metric(name, MetricKind::Counter, unit))
    }

    /// Declares a gauge.
    pub fn gauge(&mut self, name: &str, unit: &str) -> Gauge {
        Gauge(self.metric(name, MetricKind::Gauge, unit))
    }

    /// Declares a histogram.
    pub fn histogram(&mut self, name: &str, unit: &str) -> Histogram {
        Histogram(self.metric(name, MetricKind::Histogram, unit))
    }

    fn metric(&mut self, name: &str, kind: MetricKind, unit: &str) -> u32 {
        self.info.metrics.push(MetricDecl { name: name.to_owned(), kind, unit: unit.to_owned() });
        self.info.metrics.len() as u32 - 1
    }

    /// What was declared, once everything is.
    pub(crate) fn finish(mut self, name: &str, version: &str) -> Result<OperatorInfo> {
        name.clone_into(&mut self.info.name);
        version.clone_into(&mut self.info.version);
        if self.info.inputs.is_empty() {
            self.info.inputs.push("in".to_owned());
        }
        unique("input", self.info.inputs.iter())?;
        unique("output", self.info.outputs.iter().map(|output| &output.name))?;
        unique("state", self.info.states.iter().map(|state| &state.name))?;
        unique("metric", self.info.metrics.iter().map(|metric| &metric.name))?;
        Ok(self.info)
    }

    pub(crate) fn buffers(&self) -> Vec<Buffer> {
        self.info.outputs.iter().map(|output| Buffer::new(&output.name, output.keeps_keys)).collect()
    }

    pub(crate) fn prefetched(&self) -> usize {
        self.info.states.iter().filter(|state| state.prefetch).count()
    }
}

fn unique<'a>(noun: &str, mut names: impl Iterator<Item = &'a String>) -> Result<()> {
    let mut seen = HashSet::new();
    match names.find(|name| !seen.insert(*name)) {
        Some(name) => Err(Error::Permanent(format!("declare {noun} `{name}`: there are two of that name"))),
        None => Ok(()),
    }
}

/// A state being declared, by [`Setup::state`].
#[derive(Debug)]
#[must_use = "a state is declared by `single`, `prefetched` or `ordered_map`"]
pub struct StateSetup<'a, T> {
    setup: &'a mut Setup,
    name: String,
    ttl: Option<Duration>,
    encoding: u8,
    older: Option<Older<T>>,
}

impl<T> StateSetup<'_, T> {
    /// Forgets what was last written this long ago, in event time: when the watermark passes the greater of the watermark
    /// and the event time at the write by it. Whole milliseconds.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// The version of the values' encoding, 1 without it. Raise it when the bytes of `T` change their meaning; a reload
    /// to a lower one is refused. It is the first byte of every stored value.
    pub fn encoding(mut self, version: u8) -> Self {
        self.encoding = version;
        self
    }

    /// How values of other encodings are read, by version and bytes. Without it meeting one is a permanent error.
    pub fn older(mut self, read: Older<T>) -> Self {
        self.older = Some(read);
        self
    }

    /// One value for each key, read when it is asked for: for values that few records need.
    pub fn single(self) -> Single<T> {
        Single(self.declare(StateKind::Single, false))
    }

    /// One value for each key, fetched ahead for all keys of a call: for values that most records need.
    pub fn prefetched(self) -> Single<T> {
        Single(self.declare(StateKind::Single, true))
    }

    /// An ordered map from fields to values for each key.
    pub fn ordered_map(self) -> OrderedMap<T> {
        let index = self.setup.info.states.len() as u32;
        OrderedMap { declared: self.declare(StateKind::OrderedMap, false), index }
    }

    fn declare(self, kind: StateKind, prefetch: bool) -> Declared<T> {
        let place = if prefetch {
            Place::Cell(self.setup.prefetched())
        } else {
            Place::Row(self.setup.info.states.len() as u32)
        };
        let ttl_ms = self.ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
        let (name, encoding) = (self.name, self.encoding);
        self.setup.info.states.push(StateDecl { name: name.clone(), kind, prefetch, ttl_ms, encoding });
        Declared { name, place, encoding, older: self.older }
    }
}
