//! Records on their way through the operators of a stage.

use std::sync::Arc;

use crate::batch::{self, ABSENT, Batch, Malformed, Message, SPANS};
use crate::record::Timestamp;

/// Records in one chunk, at most.
pub const MAX_RECORDS: usize = 256;

/// Bytes in one chunk after which a new one is begun.
pub const MAX_BYTES: usize = 256 * 1024;

/// What a record costs in columns beside its bytes: its time, its spans, its source record, and that it has output.
pub const RECORD: usize = 8 + SPANS * 4 + 4 + 4;

/// Marks an offset in a span as one into the input of the call.
pub const INPUT: i32 = i32::MIN;

/// Some records, and for each the index of the source record that it comes from.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Chunk {
    /// The records.
    pub records: Arc<Batch>,
    /// The source record of each, as an index into those of the turn. They never fall.
    pub origins: Vec<u32>,
}

impl Chunk {
    /// Bytes that it takes in memory, about.
    pub fn bytes(&self) -> usize {
        self.records.bytes() + self.records.len() * RECORD
    }
}

/// Records in chunks of a size that one call may take.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Flow {
    chunks: Vec<Chunk>,
}

/// A moment to which a flow can be taken back.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Mark {
    chunks: usize,
    records: usize,
    bytes: usize,
}

impl Flow {
    /// A flow of whole chunks.
    pub fn of(chunk: Chunk) -> Self {
        Self { chunks: vec![chunk] }
    }

    /// The chunks, in order.
    pub fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.records.len()).sum()
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.chunks.iter().all(|chunk| chunk.records.is_empty())
    }

    /// All records with their origins, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, Message<'_>)> {
        self.chunks.iter().flat_map(|chunk| chunk.origins.iter().copied().zip(chunk.records.iter()))
    }

    /// Adds a record.
    pub fn push(&mut self, origin: u32, message: Message<'_>) {
        let chunk = self.room(0, 0);
        Arc::make_mut(&mut chunk.records).push(message);
        chunk.origins.push(origin);
    }

    /// The chunk for the next record, of so many that are to come.
    fn room(&mut self, records: usize, bytes: usize) -> &mut Chunk {
        let full = |chunk: &Chunk| chunk.records.len() >= MAX_RECORDS || chunk.records.bytes() >= MAX_BYTES;
        if self.chunks.last().is_none_or(full) {
            let records = records.min(MAX_RECORDS);
            let (batch, origins) = (Batch::with_capacity(records, bytes.min(MAX_BYTES)), Vec::with_capacity(records));
            self.chunks.push(Chunk { records: Arc::new(batch), origins });
        }
        let last = self.chunks.len() - 1;
        &mut self.chunks[last]
    }

    /// Now.
    pub fn mark(&self) -> Mark {
        let (records, bytes) = self.chunks.last().map_or((0, 0), |chunk| (chunk.records.len(), chunk.records.bytes()));
        Mark { chunks: self.chunks.len(), records, bytes }
    }

    /// Takes back what was added since a mark.
    pub fn undo(&mut self, mark: Mark) {
        self.chunks.truncate(mark.chunks);
        if let Some(chunk) = self.chunks.last_mut() {
            Arc::make_mut(&mut chunk.records).truncate(mark.records, mark.bytes);
            chunk.origins.truncate(mark.records);
        }
    }

    /// Adds records as a guest hands them over: a span whose offset has its sign bit set counts in `input`.
    /// `origins` says of each the source record; nothing is added if anything is out of bounds.
    pub fn emit(
        &mut self,
        emitted: Emitted<'_>,
        input: &Batch,
        mut origin: impl FnMut(usize) -> u32,
    ) -> Result<(), Malformed> {
        let (records, bytes) = (emitted.timestamps.len(), emitted.check(input)?);
        for (index, (&timestamp, spans)) in emitted.timestamps.iter().zip(emitted.spans.chunks_exact(SPANS)).enumerate()
        {
            let [key, value, headers] = [0, 2, 4].map(|at| emitted.part(input, spans, at));
            let chunk = self.room(records - index, bytes);
            let message = Message { key, value, headers, timestamp: Timestamp(timestamp) };
            Arc::make_mut(&mut chunk.records).push(message);
            chunk.origins.push(origin(index));
        }
        Ok(())
    }

    /// One flow of several, in the order of the source records; of equal ones the earlier flow goes first.
    pub fn merge(flows: &[&Self]) -> Self {
        let mut records: Vec<_> = flows.iter().flat_map(|flow| flow.iter()).collect();
        records.sort_by_key(|&(origin, _)| origin);
        let mut merged = Self::default();
        records.into_iter().for_each(|(origin, message)| merged.push(origin, message));
        merged
    }
}

/// Columns as a guest hands them over.
#[derive(Clone, Copy, Debug)]
pub struct Emitted<'a> {
    /// Event times.
    pub timestamps: &'a [i64],
    /// Six numbers for each record.
    pub spans: &'a [i32],
    /// The bytes that spans without sign bit count in.
    pub data: &'a [u8],
}

impl<'a> Emitted<'a> {
    /// Checks that all is in bounds. Answers the bytes of all records.
    fn check(&self, input: &Batch) -> Result<usize, Malformed> {
        if self.spans.len() != self.timestamps.len() * SPANS {
            return Err(Malformed::Shape { timestamps: self.timestamps.len(), spans: self.spans.len() });
        }
        let mut bytes = 0;
        for (index, spans) in self.spans.chunks_exact(SPANS).enumerate() {
            for span in spans.chunks_exact(2) {
                let (offset, available) = match span[0] & INPUT {
                    0 => (span[0], self.data.len()),
                    _ => (span[0] & !INPUT, input.bytes()),
                };
                batch::check_span(index, i64::from(offset), i64::from(span[1]), available)?;
                bytes += span[1].max(0) as usize;
            }
            if self.part(input, spans, 4).is_some_and(|bytes| !batch::is_headers(bytes)) {
                return Err(Malformed::Headers { index });
            }
        }
        Ok(bytes)
    }

    fn part<'b>(&self, input: &'b Batch, spans: &[i32], at: usize) -> Option<&'b [u8]>
    where
        'a: 'b,
    {
        let (offset, length) = (spans[at], spans[at + 1]);
        let data = if offset & INPUT == 0 { self.data } else { input.data() };
        let start = (offset & !INPUT) as usize;
        if length == ABSENT { None } else { data.get(start..start + length as usize) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input() -> Batch {
        let mut input = Batch::default();
        input.push(Message { key: Some(b"key"), value: Some(b"value"), headers: None, timestamp: Timestamp(1) });
        input
    }

    fn emit(spans: &[i32], data: &[u8]) -> Result<Flow, Malformed> {
        let timestamps = vec![5; spans.len() / SPANS];
        let mut flow = Flow::default();
        flow.emit(Emitted { timestamps: &timestamps, spans, data }, &input(), |index| index as u32)?;
        Ok(flow)
    }

    #[test]
    fn spans_count_in_the_input_or_in_the_data() {
        let flow = emit(&[INPUT, 3, 0, 2, 0, ABSENT, INPUT | 3, 5, 0, ABSENT, 0, ABSENT], b"xy");
        let records: Vec<_> = flow.iter().flat_map(Flow::iter).map(|(o, m)| (o, m.key, m.value)).collect();
        assert_eq!(records, [(0, Some(&b"key"[..]), Some(&b"xy"[..])), (1, Some(b"value"), None)]);
    }

    #[test]
    fn what_leaves_its_bounds_is_refused_whole() {
        #[rustfmt::skip]
        let table: [&[i32]; 8] = [
            &[0, 3, 0, 0, 0, ABSENT],
            &[INPUT, 9, 0, 0, 0, ABSENT],
            &[INPUT | 8, 1, 0, 0, 0, ABSENT],
            &[i32::MAX, i32::MAX, 0, 0, 0, ABSENT],
            &[0, -2, 0, 0, 0, ABSENT],
            &[0, 0, 0, 0, 0, 2],
            &[0, 0, 0, 0],
            &[0, 0, 0, 0, 0, ABSENT, 1],
        ];
        for spans in table {
            assert!(emit(spans, b"xy").is_err(), "{spans:?}");
        }
    }

    #[test]
    fn a_flow_is_cut_into_chunks_and_taken_back() {
        let mut flow = Flow::default();
        let message = |n: &'static [u8]| Message { key: None, value: Some(n), headers: None, timestamp: Timestamp(0) };
        flow.push(0, message(b"a"));
        let before = flow.clone();
        let mark = flow.mark();
        (0..600).for_each(|origin| flow.push(origin, message(b"b")));
        assert_eq!(flow.chunks().iter().map(|chunk| chunk.records.len()).collect::<Vec<_>>(), [256, 256, 89]);
        flow.undo(mark);
        assert_eq!(flow, before);
    }

    #[test]
    fn flows_merge_by_origin() {
        let mut flows = [Flow::default(), Flow::default()];
        let message = |v: &'static [u8]| Message { key: None, value: Some(v), headers: None, timestamp: Timestamp(0) };
        for (flow, origin, value) in [(0, 0, &b"a"[..]), (0, 2, b"d"), (1, 0, b"b"), (1, 1, b"c"), (1, 2, b"e")] {
            flows[flow].push(origin, message(value));
        }
        let merged = Flow::merge(&[&flows[0], &flows[1]]);
        assert_eq!(merged.iter().map(|(_, m)| m.value.unwrap_or(b"")).collect::<Vec<_>>().concat(), b"abcde");
    }
}
