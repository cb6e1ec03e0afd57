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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::batch::Message;
    use crate::port::{Fetched, Lease};
    use crate::record::TaskId;
    use crate::stage::{self, Input, Stage};
    use crate::task::memory::Memory;
    use crate::task::row::TaskRow;

    /// A task with three records of a file waiting, whose lines have 10, 15 and 15 bytes.
    fn task() -> Task {
        let zero = Duration::ZERO;
        let progress = stage::Progress::Records { out_of_order: zero, idle_after: zero };
        let inputs = vec![Input { topic: "file:in.txt".into(), progress, edges: Vec::new() }];
        let stage = Arc::new(Stage { name: "s".into(), inputs, nodes: Vec::new(), repartitions: Vec::new() });
        let memory = Memory::new(&stage, vec![Offset(0)]);
        let (id, row, now) = (TaskId::default(), TaskRow::default(), Timestamp(0));
        let mut task = Task::new(id, Lease::default(), stage, &row, memory, Vec::new(), now);
        let mut records = Batch::default();
        for _ in 0..3 {
            records.push(Message { key: None, value: Some(b"line"), headers: None, timestamp: Timestamp(5) });
        }
        let (offsets, next, mark) = (vec![0, 10, 25], Offset(40), Mark([1, 2, 3, 4, 5]));
        task.accept(Fetched { task: id, records, offsets, next, mark, ..Fetched::default() }, now);
        task
    }

    #[test]
    fn a_cut_is_followed_by_the_next_record_however_far_apart_they_are() {
        for (limit, next) in [(1, 10), (2, 25), (3, 40), (9, 40)] {
            assert_eq!(task().cut(limit).unwrap().next, Offset(next), "{limit}");
        }
    }

    #[test]
    fn a_mark_holds_once_all_that_came_with_it_is_done() {
        let mut task = task();
        for (limit, mark) in [(2, Mark::NONE), (2, Mark([1, 2, 3, 4, 5]))] {
            let cut = task.cut(limit).unwrap();
            task.pass(cut, crate::task::turn::Effects::default(), true);
            assert_eq!(task.memory.marks, [mark]);
        }
    }
}
