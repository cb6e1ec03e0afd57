//! The one committed row of a task: what the log says of where it stands.

use crate::commit::Guarantee;
use crate::port::Mark;
use crate::record::{Epoch, Offset, Timestamp};
use crate::task::care::Care;
use crate::varint::{put, take, take_bytes};

/// Where a task stands, as the log has it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TaskRow {
    /// The last committed epoch.
    pub epoch: Epoch,
    /// The transactional id of whoever may have records of this task in an open transaction; empty after a clean release
    /// and where there are no transactions.
    pub owner: String,
    /// How often the task was claimed since its last epoch, and what processes that had it died on.
    pub care: Care,
    /// The revision of the pipeline that committed it.
    pub revision: u64,
    /// At least once: the task's changelogs may hold rows of an epoch that was never committed.
    pub guarantee: Guarantee,
    /// The next record of each input of the stage.
    pub next: Vec<Offset>,
    /// What each of them counts in; empty where no input has anything to tell.
    pub marks: Vec<Mark>,
    /// The task's watermark.
    pub watermark: Timestamp,
    /// What a task without changelogs remembers, encoded; empty for one that has them.
    pub memory: Vec<u8>,
}

/// The longest encoded row in bytes: Kafka takes offset metadata of up to 4,096, as base64.
pub const MAX_ENCODED: usize = 3_000;

/// The version of rows that have no more than all rows have; what others have is added to it.
const VERSION: u64 = 1;

/// There are marks.
const MARKED: u64 = 1;

/// There is more of care than the count of claims.
const CAREFUL: u64 = 2;

impl TaskRow {
    /// Everything but the epoch, as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let marked = self.marks.iter().any(|&mark| mark != Mark::NONE);
        let careful = !self.care.is_plain();
        let more = if marked { MARKED } else { 0 } | if careful { CAREFUL } else { 0 };
        for number in [VERSION + more, self.owner.len() as u64] {
            put(&mut bytes, number);
        }
        bytes.extend_from_slice(self.owner.as_bytes());
        let guarantee = u64::from(self.guarantee == Guarantee::AtLeastOnce);
        [u64::from(self.care.claims), self.revision, guarantee, self.watermark.0 as u64, self.next.len() as u64]
            .into_iter()
            .for_each(|number| put(&mut bytes, number));
        for offset in &self.next {
            put(&mut bytes, offset.0 as u64);
        }
        if marked {
            for input in 0..self.next.len() {
                let Mark(numbers) = self.marks.get(input).copied().unwrap_or_default();
                numbers.into_iter().for_each(|number| put(&mut bytes, number));
            }
        }
        if careful {
            self.care.encode(&mut bytes);
        }
        bytes.extend_from_slice(&self.memory);
        bytes
    }

    /// Reads what [`TaskRow::encode`] wrote; `None` if it did not.
    pub fn decode(epoch: Epoch, mut bytes: &[u8]) -> Option<Self> {
        let from = &mut bytes;
        let more = take(from)?.checked_sub(VERSION).filter(|more| *more <= (MARKED | CAREFUL))?;
        let owner = String::from_utf8(take_bytes(from)?.to_vec()).ok()?;
        let claims = u32::try_from(take(from)?).ok()?;
        let revision = take(from)?;
        let guarantee = match take(from)? {
            0 => Guarantee::ExactlyOnce,
            1 => Guarantee::AtLeastOnce,
            _ => return None,
        };
        let watermark = Timestamp(take(from)? as i64);
        let inputs = usize::try_from(take(from)?).ok().filter(|&inputs| inputs <= from.len())?;
        let next = (0..inputs).map(|_| take(from).map(|offset| Offset(offset as i64))).collect::<Option<_>>()?;
        let marked = if more & MARKED == 0 { 0 } else { inputs };
        let marks = (0..marked).map(|_| take_mark(from)).collect::<Option<_>>()?;
        let plain = Care { claims, ..Care::default() };
        let care = if more & CAREFUL == 0 { plain } else { Care::decode(from, claims)? };
        Some(Self { epoch, owner, care, revision, guarantee, next, marks, watermark, memory: from.to_vec() })
    }
}

fn take_mark(from: &mut &[u8]) -> Option<Mark> {
    let mut mark = Mark::NONE;
    for number in &mut mark.0 {
        *number = take(from)?;
    }
    Some(mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_comes_back_and_a_cut_one_does_not() {
        let row = TaskRow {
            epoch: Epoch(9),
            owner: "wasmill/p/1/0".into(),
            care: Care { claims: 2, ..Care::default() },
            revision: 300,
            guarantee: Guarantee::AtLeastOnce,
            next: vec![Offset(0), Offset(1 << 40)],
            marks: Vec::new(),
            watermark: Timestamp::NONE,
            memory: Vec::new(),
        };
        let bytes = row.encode();
        assert_eq!(TaskRow::decode(Epoch(9), &bytes), Some(row.clone()));
        for cut in 0..bytes.len() {
            assert_eq!(TaskRow::decode(Epoch(9), &bytes[..cut]), None, "{cut}");
        }
        let longer = TaskRow { memory: vec![1, 2], ..row.clone() };
        assert_eq!(TaskRow::decode(Epoch(9), &longer.encode()), Some(longer));
        let marked = TaskRow { marks: vec![Mark::NONE, Mark([1, u64::MAX, 3, 4, 5])], ..row.clone() };
        let bytes = marked.encode();
        assert_eq!(TaskRow::decode(Epoch(9), &bytes), Some(marked));
        assert_eq!(TaskRow::decode(Epoch(9), &bytes[..bytes.len() - 1]), None);
        let careful = TaskRow { care: Care { claims: 3, left: 9, ..Care::default() }, memory: vec![7], ..row.clone() };
        assert_eq!(TaskRow::decode(Epoch(9), &careful.encode()), Some(careful.clone()));
        let both = TaskRow { marks: vec![Mark::NONE, Mark([1, 2, 3, 4, 5])], ..careful };
        assert_eq!(TaskRow::decode(Epoch(9), &both.encode()), Some(both));
        let nothing = TaskRow { marks: vec![Mark::NONE; 2], ..row.clone() };
        assert_eq!(nothing.encode(), row.encode(), "rows without marks stay as they were");
    }
}
