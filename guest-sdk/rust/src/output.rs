//! What an operator emits.

use crate::bindings::operator::wasmill::plugin::types::Batch;
use crate::{Bytes, Call, Error, Message, Record, Result, host};

/// An output of the operator other than the main one, made by [`Setup::output`](crate::Setup::output).
///
/// A pipeline reads it as the operator's name, a dot and the output's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port(pub(crate) u32);

const MAIN: Port = Port(0);

/// A buffer is handed to the host when it passes this many bytes, at the latest at the end of the call.
const FLUSH_BYTES: usize = 1 << 20;

/// What a call emits so far.
///
/// ```
/// # use wasmill_sdk::{Output, Port, Record, Result};
/// fn forward(record: Record<'_>, rejected: Port, out: &mut Output) -> Result<()> {
///     match record.value() {
///         Some(_) => out.emit(record),
///         None => out.emit_to(rejected, record.with_value("nothing")),
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Output<'a> {
    buffers: &'a mut [Buffer],
    call: &'a Call,
    input: &'a [u8],
    record: Option<Record<'a>>,
}

/// The columns of one output, kept from call to call for their memory.
#[derive(Debug)]
pub(crate) struct Buffer {
    name: String,
    keeps_keys: bool,
    batch: Batch,
    origins: Vec<u32>,
    /// Number of records and of data bytes when the record at hand began.
    mark: (usize, usize),
}

impl<'a> Output<'a> {
    pub(crate) fn new(buffers: &'a mut [Buffer], call: &'a Call, input: &'a [u8]) -> Self {
        buffers.iter_mut().for_each(Buffer::clear);
        Self { buffers, call, input, record: None }
    }

    /// Emits to the main output. A [`Record`] is passed on as it is.
    ///
    /// It is a permanent error to emit another key than the record's own to an output that is declared to keep keys, and
    /// a failure of the record to emit more than 2 GiB in a call.
    pub fn emit<'m>(&mut self, message: impl Into<Message<'m>>) -> Result<()> {
        self.push(MAIN, &message.into())
    }

    /// Emits to a named output, as [`emit`](Output::emit) does to the main one.
    pub fn emit_to<'m>(&mut self, port: Port, message: impl Into<Message<'m>>) -> Result<()> {
        self.push(port, &message.into())
    }

    /// The call that the record came by.
    pub fn call(&self) -> &'a Call {
        self.call
    }

    fn push(&mut self, port: Port, message: &Message<'_>) -> Result<()> {
        let missing = || Error::permanent(format!("emit: this operator has no output {}", port.0));
        let buffer = self.buffers.get_mut(port.0 as usize).ok_or_else(missing)?;
        let origin = self.record.map_or(0, |record| record.index);
        if buffer.keeps_keys && self.record.is_some_and(|record| record.key != message.key()) {
            let name = &buffer.name;
            return Err(Error::Permanent(format!(
                "output `{name}` is declared to keep keys, but was given another one"
            )));
        }
        let mut span_of = |bytes: &Option<Bytes<'_>>| buffer.span(self.input, bytes.as_ref().map(Bytes::as_slice));
        let spans = [span_of(&message.key)?, span_of(&message.value)?, span_of(&message.headers)?];
        buffer.batch.spans.extend_from_slice(spans.as_flattened());
        buffer.batch.timestamps.push(message.timestamp.as_millis());
        buffer.origins.push(origin);
        Ok(())
    }

    /// From here on everything emitted comes from this record.
    pub(crate) fn begin(&mut self, record: Record<'a>) {
        self.record = Some(record);
        self.buffers.iter_mut().for_each(Buffer::mark);
    }

    /// The record at hand is done: its output stays.
    pub(crate) fn settle(&mut self) {
        for (port, buffer) in self.buffers.iter_mut().enumerate() {
            if buffer.batch.data.len() > FLUSH_BYTES {
                buffer.flush(port);
            }
        }
    }

    /// Takes back what the record at hand emitted.
    pub(crate) fn roll_back(&mut self) {
        self.buffers.iter_mut().for_each(Buffer::roll_back);
    }

    /// Hands everything to the host.
    pub(crate) fn finish(self) {
        for (port, buffer) in self.buffers.iter_mut().enumerate() {
            buffer.flush(port);
        }
    }
}

impl Buffer {
    pub(crate) fn new(name: &str, keeps_keys: bool) -> Self {
        let batch = Batch { timestamps: Vec::new(), spans: Vec::new(), data: Vec::new() };
        Self { name: name.to_owned(), keeps_keys, batch, origins: Vec::new(), mark: (0, 0) }
    }

    /// The offset and the length of bytes; those that lie in the call's input are not copied.
    fn span(&mut self, input: &[u8], bytes: Option<&[u8]>) -> Result<[i32; 2]> {
        let Some(bytes) = bytes else { return Ok([0, -1]) };
        let too_large = |_| Error::failure("emit: more than 2 GiB in one call");
        let length = i32::try_from(bytes.len()).map_err(too_large)?;
        if let Some(offset) = offset_in(input, bytes) {
            return Ok([offset | i32::MIN, length]);
        }
        let offset = i32::try_from(self.batch.data.len()).map_err(too_large)?;
        self.batch.data.extend_from_slice(bytes);
        Ok([offset, length])
    }

    fn mark(&mut self) {
        self.mark = (self.batch.timestamps.len(), self.batch.data.len());
    }

    fn roll_back(&mut self) {
        let (records, bytes) = self.mark;
        self.batch.timestamps.truncate(records);
        self.batch.spans.truncate(6 * records);
        self.batch.data.truncate(bytes);
        self.origins.truncate(records);
    }

    fn flush(&mut self, port: usize) {
        if self.origins.is_empty() {
            return;
        }
        host::output::emit(port as u32, &self.batch, &self.origins);
        self.clear();
    }

    fn clear(&mut self) {
        self.mark = (0, 0);
        self.roll_back();
    }
}

/// Where in `input` the bytes lie, if they are a part of it. The empty string is a part of nothing.
fn offset_in(input: &[u8], bytes: &[u8]) -> Option<i32> {
    let offset = bytes.as_ptr().addr().checked_sub(input.as_ptr().addr())?;
    let inside = !bytes.is_empty() && offset.checked_add(bytes.len())? <= input.len();
    inside.then(|| i32::try_from(offset).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_the_input_are_told_from_other_bytes() {
        let whole = b"0123456789".to_vec();
        let input = &whole[2..8];
        assert_eq!(offset_in(input, &whole[2..8]), Some(0));
        assert_eq!(offset_in(input, &whole[7..8]), Some(5));
        assert_eq!(offset_in(input, &whole[7..9]), None);
        assert_eq!(offset_in(input, &whole[1..3]), None);
        assert_eq!(offset_in(input, &whole[8..9]), None);
        assert_eq!(offset_in(input, &whole[4..4]), None);
        assert_eq!(offset_in(input, b"234"), None);
        assert_eq!(offset_in(&[], &whole), None);
    }
}
