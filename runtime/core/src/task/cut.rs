//! Which of the records that wait make the next turn.

use std::sync::Arc;

use crate::batch::Batch;
use crate::port::{Control, Fault, Mark};
use crate::record::{Offset, Timestamp};
use crate::task::Task;
use crate::task::turn::Segment;
use crate::watermark::{self, Progress};

/// Records that wait for their turn.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) input: usize,
    pub(super) records: Arc<Batch>,
    pub(super) offsets: Vec<i64>,
    pub(super) controls: Vec<(usize, Control)>,
    pub(super) next: Offset,
    pub(super) mark: Mark,
    pub(super) at: usize,
    pub(super) control: usize,
}

/// How one turn's records are cut off those that wait.
pub(super) struct Cut {
    pub(super) segment: Segment,
    /// What the input has told behind the records; `None` for a turn that takes none.
    pub(super) progress: Option<Progress>,
    pub(super) next: Offset,
    pub(super) at: usize,
    pub(super) control: usize,
}

impl Task {
    /// Cuts the next turn's records off those that wait: as many as `limit`, and none behind the one with which
    /// something comes due.
    pub(super) fn cut(&mut self, limit: usize) -> Result<Cut, Fault> {
        let earliest = self.earliest()?;
        let is_due = |watermark: Timestamp| earliest.is_some_and(|earliest| watermark >= earliest);
        let before = self.memory.watermark;
        // What is overdue goes before the next record.
        let overdue = self.memory.backlog || self.reached() > before;
        let Some(pending) = self.pending.front().filter(|_| !overdue) else { return Ok(self.nothing()) };
        let shape = &self.stage.inputs[pending.input].progress;
        let others: Vec<_> = self.watermarks().enumerate().filter(|&(input, _)| input != pending.input).collect();
        let least = |progress: &Progress, before| {
            let others = others.iter().map(|&(_, watermark)| watermark);
            watermark::least(before, others.chain([progress.watermark(shape)]))
        };
        let mut progress = self.memory.inputs[pending.input].clone();
        let (mut after, mut at, mut control) = (before, pending.at, pending.control);
        let mut watermarks = Vec::new();
        loop {
            while let Some((_, told)) = pending.controls.get(control).filter(|&&(index, _)| index <= at) {
                progress.control(told);
                control += 1;
                after = least(&progress, after);
            }
            let moved = at > pending.at || control > pending.control;
            if at == pending.records.len() || at - pending.at >= limit || (moved && is_due(after)) {
                break;
            }
            watermarks.push(after.0);
            progress.record(Timestamp(pending.records.timestamps()[at]));
            after = least(&progress, after);
            at += 1;
        }
        let whole = at == pending.records.len();
        let records = match (pending.at, whole) {
            (0, true) => pending.records.clone(),
            _ => Arc::new(pending.records.select(pending.at..at)),
        };
        let offsets = pending.offsets.get(pending.at..at).unwrap_or_default().to_vec();
        let taken = offsets.last().map(|&offset| Offset(offset).next());
        let behind = match (pending.offsets.get(at), taken) {
            // Offsets may be apart: those of a file count bytes. Where control records lie between, they are not.
            (Some(&following), _) if pending.controls.is_empty() => Offset(following),
            (_, Some(next)) => next,
            (_, None) => self.memory.next[pending.input],
        };
        let next = if whole && control == pending.controls.len() { pending.next } else { behind };
        let segment = Segment { input: pending.input, records, offsets, watermarks, before, after };
        Ok(Cut { segment, progress: Some(progress), next, at, control })
    }

    /// A turn without records, for what is due by itself.
    fn nothing(&self) -> Cut {
        let before = self.memory.watermark;
        let segment = Segment {
            input: 0,
            records: Arc::default(),
            offsets: Vec::new(),
            watermarks: Vec::new(),
            before,
            after: self.reached(),
        };
        Cut { segment, progress: None, next: Offset::default(), at: 0, control: 0 }
    }
}
