//! What goes through the socket, both ways:
//!
//! ```text
//! u8 version (1) | u32 header length | u32 body length | header: JSON | body: records, if any
//! record in a body: i64 offset | u32 length | record as on disk
//! ```
//!
//! Numbers big-endian. A connection is a sequence of requests, each answered before the next.

use std::io::{self, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use wasmill_core::batch::Batch;
use wasmill_core::record::{Offset, Partition};

use super::block;
use super::log::LARGEST_APPEND;
use crate::broker::{Chunk, Cursor, Listed};

const VERSION: u8 = 1;
const LONGEST_HEADER: usize = 16 << 20;
/// An append's records, and what each of them takes besides its bytes.
const LONGEST_BODY: usize = LARGEST_APPEND + (LARGEST_APPEND >> 2);

/// What a client asks for.
#[derive(Debug, Deserialize, Serialize)]
pub(super) enum Request {
    Topics,
    Ensure {
        topic: String,
        partitions: u32,
    },
    /// The records are in the body.
    Append {
        topic: String,
    },
    Fetch {
        topic: String,
        cursors: Vec<(u32, i64)>,
        wait_ms: u64,
    },
}

/// What it is answered.
#[derive(Debug, Deserialize, Serialize)]
pub(super) enum Answer {
    Topics(Vec<Listed>),
    Done,
    Appended(Vec<u64>),
    /// Partition and number of records of each chunk; the records are in the body. Then where the cursors stand.
    Fetched {
        chunks: Vec<(u32, usize)>,
        cursors: Vec<(u32, i64)>,
    },
    Refused(String),
}

pub(super) fn write(to: &mut impl Write, header: &impl Serialize, body: &[u8]) -> io::Result<()> {
    let header = serde_json::to_vec(header)?;
    let mut frame = vec![VERSION];
    frame.extend_from_slice(&(header.len() as u32).to_be_bytes());
    frame.extend_from_slice(&(body.len() as u32).to_be_bytes());
    frame.extend_from_slice(&header);
    to.write_all(&frame)?;
    to.write_all(body)?;
    to.flush()
}

pub(super) fn read<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<(T, Vec<u8>)> {
    let invalid = |reason: &str| io::Error::new(io::ErrorKind::InvalidData, reason);
    let mut version = [0];
    from.read_exact(&mut version)?;
    if version != [VERSION] {
        return Err(invalid("it speaks another version: use the wasmill that runs there"));
    }
    let header = read_length(from)?;
    let body = read_length(from)?;
    if header > LONGEST_HEADER || body > LONGEST_BODY {
        return Err(invalid("a frame is too long"));
    }
    let header = serde_json::from_slice(&read_bytes(from, header)?)?;
    Ok((header, read_bytes(from, body)?))
}

fn read_length(from: &mut impl Read) -> io::Result<usize> {
    let mut bytes = [0; 4];
    from.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes) as usize)
}

/// Grows with what arrives, not with what was announced.
fn read_bytes(from: &mut impl Read, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(length as u64).read_to_end(&mut bytes)?;
    if bytes.len() == length { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

pub(super) fn encode_cursors(cursors: &[Cursor]) -> Vec<(u32, i64)> {
    cursors.iter().map(|cursor| (cursor.partition.0, cursor.next.0)).collect()
}

pub(super) fn decode_cursors(cursors: &[(u32, i64)]) -> Vec<Cursor> {
    cursors.iter().map(|&(partition, next)| Cursor { partition: Partition(partition), next: Offset(next) }).collect()
}

/// Appends records to a body; those without offsets are on their way in.
pub(super) fn encode_records(records: &Batch, offsets: &[i64], body: &mut Vec<u8>) {
    for (index, record) in records.iter().enumerate() {
        body.extend_from_slice(&offsets.get(index).copied().unwrap_or(-1).to_be_bytes());
        let length_at = body.len();
        body.extend_from_slice(&[0; 4]);
        block::encode_record(record, body);
        let length = (body.len() - length_at - 4) as u32;
        body[length_at..length_at + 4].copy_from_slice(&length.to_be_bytes());
    }
}

/// Takes so many records from the front of a body; `None` if they are not there.
pub(super) fn decode_records(count: usize, body: &mut &[u8]) -> Option<(Batch, Vec<i64>)> {
    let mut records = Batch::default();
    let mut offsets = Vec::new();
    for _ in 0..count {
        offsets.push(take_record(&mut records, body)?);
    }
    Some((records, offsets))
}

/// Takes all records of a body; `None` if it is something else.
pub(super) fn decode_all(mut body: &[u8]) -> Option<Batch> {
    let mut records = Batch::default();
    while !body.is_empty() {
        take_record(&mut records, &mut body)?;
    }
    Some(records)
}

fn take_record(records: &mut Batch, body: &mut &[u8]) -> Option<i64> {
    let (offset, rest) = body.split_first_chunk::<8>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (record, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    records.push(block::decode_record(record)?);
    *body = rest;
    Some(i64::from_be_bytes(*offset))
}

pub(super) fn decode_chunks(heads: &[(u32, usize)], mut body: &[u8]) -> Option<Vec<Chunk>> {
    heads
        .iter()
        .map(|&(partition, count)| {
            let (records, offsets) = decode_records(count, &mut body)?;
            Some(Chunk { partition: Partition(partition), records, offsets })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_and_cut_ones_do_not() {
        let mut bytes = Vec::new();
        write(&mut bytes, &Request::Append { topic: "t".into() }, b"body").unwrap();
        let (request, body) = read::<Request>(&mut bytes.as_slice()).unwrap();
        assert!(matches!(request, Request::Append { topic } if topic == "t"));
        assert_eq!(body, b"body");
        for cut in 0..bytes.len() {
            assert!(read::<Request>(&mut &bytes[..cut]).is_err(), "{cut}");
        }
        bytes[0] = 2;
        assert!(read::<Request>(&mut bytes.as_slice()).unwrap_err().to_string().contains("another version"));
    }
}
