//! What holds for all records of one call.

use std::cell::OnceCell;

use crate::bindings::operator::wasmill::plugin::types::CallInfo;
use crate::setup::Input;
use crate::{Record, Timestamp, host};

/// A call of the operator: a batch of records, or timers that came due together.
///
/// An operator has no other clock than this, so that a call made again has the same effects.
#[derive(Debug)]
pub struct Call {
    info: CallInfo,
    offsets: OnceCell<Vec<i64>>,
    watermarks: OnceCell<Vec<i64>>,
}

impl Call {
    pub(crate) fn new(info: CallInfo) -> Self {
        Self { info, offsets: OnceCell::new(), watermarks: OnceCell::new() }
    }

    /// The input that the records came by.
    pub fn input(&self) -> Input {
        Input(self.info.input)
    }

    /// The partition that is worked for.
    pub fn partition(&self) -> u32 {
        self.info.partition
    }

    /// Number of this call in the life of the task; the same number again is the same call made again.
    pub fn sequence(&self) -> u64 {
        self.info.sequence
    }

    /// The watermark before the first record: no record with an event time at or below it is expected any more.
    /// [`Timestamp::NONE`] before the first.
    pub fn watermark(&self) -> Timestamp {
        Timestamp::from_millis(self.info.watermark)
    }

    /// The host's clock, the same for the whole call.
    pub fn processing_time(&self) -> Timestamp {
        Timestamp::from_millis(self.info.processing_time)
    }

    /// The topic that the records come from.
    pub fn topic(&self) -> String {
        host::origin::topic()
    }

    /// The offset of one of the call's records in its partition. `None` for what is not one of them.
    pub fn offset_of(&self, record: &Record<'_>) -> Option<i64> {
        self.offsets.get_or_init(host::origin::offsets).get(record.index as usize).copied()
    }

    /// The watermark just before one of the call's records. `None` for what is not one of them.
    pub fn watermark_before(&self, record: &Record<'_>) -> Option<Timestamp> {
        let watermarks = self.watermarks.get_or_init(host::origin::watermarks);
        watermarks.get(record.index as usize).copied().map(Timestamp::from_millis)
    }
}
