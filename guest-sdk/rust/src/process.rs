//! Keyed operators.

use crate::{Context, Open, Record, Result, Timer};

/// A keyed operator, with state and timers. All records of a key come to the same task, in order.
///
/// ```
/// use wasmill_sdk::{Context, Open, Process, Record, Result, Setup, Single};
///
/// /// Passes a record on when its value differs from the last one of its key.
/// struct Changes {
///     last: Single<Vec<u8>>,
/// }
///
/// impl Open for Changes {
///     fn open(setup: &mut Setup) -> Result<Self> {
///         Ok(Self { last: setup.state("last").prefetched() })
///     }
/// }
///
/// impl Process for Changes {
///     fn process(&mut self, record: Record<'_>, cx: &mut Context) -> Result<()> {
///         let value = record.value().unwrap_or_default().to_vec();
///         if self.last.get(cx)?.as_ref() != Some(&value) {
///             self.last.put(cx, &value)?;
///             cx.emit(record)?;
///         }
///         Ok(())
///     }
/// }
///
/// wasmill_sdk::export!(process Changes);
/// # fn main() {}
/// ```
pub trait Process: Open {
    /// Handles one record. On a failure the host makes the call again without the record, so that it leaves nothing.
    ///
    /// What `self` remembers is a cache: the host may drop an instance between any two calls. What must last goes into
    /// state.
    fn process(&mut self, record: Record<'_>, cx: &mut Context<'_>) -> Result<()>;

    /// Handles a timer that came due. Without it timers fire and do nothing.
    fn on_timer(&mut self, timer: Timer<'_>, cx: &mut Context<'_>) -> Result<()> {
        let _ = (timer, cx);
        Ok(())
    }
}
