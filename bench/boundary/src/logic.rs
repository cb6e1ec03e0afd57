//! The operators that are measured. Host and guests compile this same file.

/// Marks an offset as one into the input.
const INPUT: i32 = i32::MIN;

/// Columns that come in.
#[derive(Clone, Copy)]
pub(crate) struct Records<'a> {
    /// Event times.
    pub(crate) timestamps: &'a [i64],
    /// Six numbers for each record.
    pub(crate) spans: &'a [i32],
    /// The bytes.
    pub(crate) data: &'a [u8],
}

/// Columns that go out.
#[derive(Default)]
pub(crate) struct Output {
    /// Event times.
    pub(crate) timestamps: Vec<i64>,
    /// Six numbers for each record.
    pub(crate) spans: Vec<i32>,
    /// The bytes.
    pub(crate) data: Vec<u8>,
    /// Where each record comes from.
    pub(crate) origins: Vec<u32>,
}

/// Cells that changed.
#[derive(Default)]
pub(crate) struct Changed {
    /// Which.
    pub(crate) cells: Vec<u32>,
    /// Two numbers for each.
    pub(crate) spans: Vec<i32>,
    /// The bytes.
    pub(crate) data: Vec<u8>,
}

fn with_capacity(records: Records<'_>, bytes: usize) -> Output {
    let count = records.timestamps.len();
    let (timestamps, spans) = (Vec::with_capacity(count), Vec::with_capacity(count * 6));
    Output { timestamps, spans, data: Vec::with_capacity(bytes), origins: Vec::new() }
}

/// Puts the value of each record in upper case.
pub(crate) fn map(records: Records<'_>) -> Output {
    let mut output = with_capacity(records, records.data.len());
    for (span, &timestamp) in records.spans.chunks_exact(6).zip(records.timestamps) {
        let start = output.data.len();
        output.data.extend_from_slice(&records.data[span[2] as usize..][..span[3] as usize]);
        output.data[start..].make_ascii_uppercase();
        output.spans.extend_from_slice(&[span[0] | INPUT, span[1], start as i32, span[3], 0, -1]);
        output.timestamps.push(timestamp);
    }
    output
}

/// Keeps the records whose value begins with a letter of the alphabet's first half.
pub(crate) fn filter(records: Records<'_>) -> Output {
    let mut output = with_capacity(records, 0);
    for (index, (span, &timestamp)) in records.spans.chunks_exact(6).zip(records.timestamps).enumerate() {
        if records.data[span[2] as usize] < b'n' {
            output.spans.extend_from_slice(&[span[0] | INPUT, span[1], span[2] | INPUT, span[3], 0, -1]);
            output.timestamps.push(timestamp);
            output.origins.push(index as u32);
        }
    }
    output
}

/// Counts the records of each key, and emits each with the count so far. A value is a byte of encoding and the count.
pub(crate) fn count(records: Records<'_>, slot_of: &[u32], spans: &[i32], data: &[u8]) -> (Output, Changed) {
    let stored = |span: &[i32]| match data.get(span[0] as usize + 1..span[0] as usize + 9) {
        Some(bytes) if span[1] == 9 => bytes.iter().rev().fold(0, |count, &byte| count << 8 | u64::from(byte)),
        _ => 0,
    };
    let mut counts: Vec<u64> = spans.chunks_exact(2).map(stored).collect();
    let mut output = with_capacity(records, records.timestamps.len() * 8);
    for ((span, &timestamp), &slot) in records.spans.chunks_exact(6).zip(records.timestamps).zip(slot_of) {
        let count = &mut counts[slot as usize];
        *count += 1;
        output.spans.extend_from_slice(&[span[0] | INPUT, span[1], output.data.len() as i32, 8, 0, -1]);
        output.data.extend_from_slice(&count.to_le_bytes());
        output.timestamps.push(timestamp);
    }
    let mut changed = Changed { data: Vec::with_capacity(counts.len() * 9), ..Changed::default() };
    for (cell, count) in (0..).zip(&counts) {
        changed.cells.push(cell);
        changed.spans.extend_from_slice(&[changed.data.len() as i32, 9]);
        changed.data.push(1);
        changed.data.extend_from_slice(&count.to_le_bytes());
    }
    (output, changed)
}
