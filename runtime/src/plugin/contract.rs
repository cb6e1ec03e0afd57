//! The types of `wasmill:plugin@0.1.0` as the host sees them. The comments are in `wit/`.

use wasmill_core::batch;
use wasmill_core::operator;
use wasmtime::component::{ComponentType, Lift, Lower, WasmList};

// Columns are read and written in place.
const _: () = assert!(cfg!(target_endian = "little"), "guests are little-endian, and so must the host be");

/// The package that plugins import from and export to.
pub(super) const PACKAGE: &str = "wasmill:plugin/";

/// The version that this host implements.
pub(super) const VERSION: &str = "0.1.0";

/// Whether an interface is one of the package in a version that this host does not fit: versions of one track do, those
/// of 0.1.a and 0.1.b.
pub(super) fn is_of_another_track(interface: &str) -> bool {
    let version = interface.strip_prefix(PACKAGE).and_then(|name| name.split_once('@')).map(|(_, version)| version);
    version.is_some_and(|version| track(version) != track(VERSION))
}

/// What to do about an interface of another track.
pub(super) fn advice(interface: &str) -> &'static str {
    let version = interface.split_once('@').map_or("", |(_, version)| version);
    if track(version) > track(VERSION) {
        "run a newer Wasmill, or build it with the SDK of this one"
    } else {
        "build it anew with the SDK of this Wasmill"
    }
}

/// The numbers that tell one track from another.
fn track(version: &str) -> Option<(u64, u64)> {
    let mut numbers = version.split('.').map(|number| number.parse().ok());
    match (numbers.next()??, numbers.next()??) {
        (0, minor) => Some((0, minor)),
        (major, _) => Some((major, 0)),
    }
}

/// The full name of an interface.
pub(super) fn interface(name: &str) -> String {
    format!("{PACKAGE}{name}@{VERSION}")
}

#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub(super) struct CallInfo {
    input: u32,
    partition: u32,
    sequence: u64,
    watermark: i64,
    #[component(name = "processing-time")]
    processing_time: i64,
}

impl From<&operator::CallInfo> for CallInfo {
    fn from(info: &operator::CallInfo) -> Self {
        Self {
            input: info.input,
            partition: info.partition.0,
            sequence: info.sequence,
            watermark: info.watermark.0,
            processing_time: info.processing_time.0,
        }
    }
}

/// A batch on its way into a guest.
#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub(super) struct Batch<'a> {
    timestamps: &'a [i64],
    spans: &'a [i32],
    data: &'a [u8],
}

impl<'a> From<&'a batch::Batch> for Batch<'a> {
    fn from(batch: &'a batch::Batch) -> Self {
        Self { timestamps: batch.timestamps(), spans: batch.spans(), data: batch.data() }
    }
}

/// A batch that lies in a guest's memory.
#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct GuestBatch {
    pub(super) timestamps: WasmList<i64>,
    pub(super) spans: WasmList<i32>,
    pub(super) data: WasmList<u8>,
}

/// Byte strings on their way into a guest.
#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub(super) struct BlobsRef<'a> {
    spans: &'a [i32],
    data: &'a [u8],
}

impl<'a> From<&'a batch::Blobs> for BlobsRef<'a> {
    fn from(blobs: &'a batch::Blobs) -> Self {
        Self { spans: blobs.spans(), data: blobs.data() }
    }
}

/// Byte strings that the host or the guest gives away.
#[derive(ComponentType, Lift, Lower)]
#[component(record)]
pub(super) struct Blobs {
    pub(super) spans: Vec<i32>,
    pub(super) data: Vec<u8>,
}

impl From<batch::Blobs> for Blobs {
    fn from(blobs: batch::Blobs) -> Self {
        let (spans, data) = blobs.into_parts();
        Self { spans, data }
    }
}

#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub(super) struct Slots<'a> {
    #[component(name = "slot-of")]
    slot_of: &'a [u32],
    values: BlobsRef<'a>,
}

impl<'a> From<&'a operator::Slots> for Slots<'a> {
    fn from(slots: &'a operator::Slots) -> Self {
        Self { slot_of: &slots.slot_of, values: (&slots.values).into() }
    }
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct Failure {
    pub(super) index: u32,
    pub(super) reason: String,
}

#[derive(ComponentType, Lift)]
#[component(variant)]
pub(super) enum Error {
    #[component(name = "transient")]
    Transient(String),
    #[component(name = "permanent")]
    Permanent(String),
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct Outcome {
    pub(super) failures: Vec<Failure>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct KeyedOutcome {
    pub(super) failures: Vec<Failure>,
    pub(super) cells: Vec<u32>,
    pub(super) values: Blobs,
}

#[derive(Clone, Copy, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
pub(super) enum Domain {
    #[component(name = "event-time")]
    EventTime,
    #[component(name = "processing-time")]
    ProcessingTime,
}

impl From<Domain> for operator::Domain {
    fn from(domain: Domain) -> Self {
        match domain {
            Domain::EventTime => Self::EventTime,
            Domain::ProcessingTime => Self::ProcessingTime,
        }
    }
}

impl From<operator::Domain> for Domain {
    fn from(domain: operator::Domain) -> Self {
        match domain {
            operator::Domain::EventTime => Self::EventTime,
            operator::Domain::ProcessingTime => Self::ProcessingTime,
        }
    }
}

#[derive(Clone, Copy, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code, reason = "made by lifting only")]
pub(super) enum Level {
    #[component(name = "trace")]
    Trace,
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
}

#[derive(Clone, Copy, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code, reason = "made by lifting only")]
pub(super) enum StateKind {
    #[component(name = "single")]
    Single,
    #[component(name = "ordered-map")]
    OrderedMap,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct StateDecl {
    pub(super) name: String,
    pub(super) kind: StateKind,
    pub(super) prefetch: bool,
    #[component(name = "ttl-ms")]
    pub(super) ttl_ms: Option<u64>,
    pub(super) encoding: u8,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct OutputDecl {
    pub(super) name: String,
    #[component(name = "keeps-keys")]
    pub(super) keeps_keys: bool,
}

#[derive(Clone, Copy, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code, reason = "made by lifting only")]
pub(super) enum MetricKind {
    #[component(name = "counter")]
    Counter,
    #[component(name = "gauge")]
    Gauge,
    #[component(name = "histogram")]
    Histogram,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct MetricDecl {
    pub(super) name: String,
    pub(super) kind: MetricKind,
    pub(super) unit: String,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct OperatorInfo {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) inputs: Vec<String>,
    pub(super) outputs: Vec<OutputDecl>,
    pub(super) states: Vec<StateDecl>,
    pub(super) metrics: Vec<MetricDecl>,
}
