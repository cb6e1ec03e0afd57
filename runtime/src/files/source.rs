//! The source of a worker some of whose inputs are files.

use std::collections::VecDeque;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmill_core::port::{self, Fault, Fetched, Polled, Position};
use wasmill_core::record::{Offset, TaskId};

use super::check::{self, Unusable};
use super::reader::{Reader, Step};
use crate::clock::now;
use crate::embedded::Stops;
use crate::topology::{FileInput, Start, Topology};

/// How often it is looked whether a file has grown.
const LOOK: Duration = Duration::from_millis(20);

/// Reads those inputs that are files, and leaves the others to the log.
pub struct Source {
    log: Box<dyn port::Source>,
    topology: Arc<Topology>,
    stops: Stops,
    readers: Vec<(TaskId, u32, Reader)>,
    /// Inputs of partitions that a file does not have.
    empty: VecDeque<Polled>,
    /// Whose turn it is.
    turn: usize,
    /// Whether the log has had its turn since a file brought something.
    log_first: bool,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("readers", &self.readers).finish_non_exhaustive()
    }
}

impl Source {
    /// Puts files in front of a log, if the pipeline reads any. The stop of an input that is a file is the size that the
    /// file had when the run began.
    pub fn before(log: Box<dyn port::Source>, topology: &Arc<Topology>, stops: &Stops) -> Box<dyn port::Source> {
        if !topology.inputs.iter().flatten().any(|input| input.file.is_some()) {
            return log;
        }
        let (readers, empty) = (Vec::new(), VecDeque::new());
        let (topology, stops) = (Arc::clone(topology), stops.clone());
        Box::new(Self { log, topology, stops, readers, empty, turn: 0, log_first: false })
    }

    fn file(&self, task: TaskId, input: u32) -> Option<&FileInput> {
        self.topology.input(task, input)?.file.as_ref()
    }

    fn begin(&mut self, task: TaskId, position: Position, file: FileInput) {
        let Position { input, next, mark } = position;
        if task.partition.0 > 0 {
            self.empty.push_back(Polled::End { task, input, next });
            return;
        }
        let stop = self.stops.get(&(task, input)).map(|stop| stop.0 as u64);
        self.readers.push((task, input, Reader::new(file, stop, next, mark)));
    }

    /// One round over the files, from the one whose turn it is.
    fn round(&mut self) -> Result<Polled, Fault> {
        if let Some(end) = self.empty.pop_front() {
            return Ok(end);
        }
        let count = self.readers.len();
        for step in 0..count {
            let index = (self.turn + step) % count;
            let Some((task, input, reader)) = self.readers.get_mut(index) else { break };
            let (task, input) = (*task, *input);
            let polled = match reader.step(now()).map_err(Fault::Fatal)? {
                Step::Nothing | Step::More => continue,
                Step::End(next) => Polled::End { task, input, next },
                Step::Lines { records, offsets, next, mark } => {
                    Polled::Records(Fetched { task, input, records, offsets, controls: Vec::new(), next, mark })
                }
            };
            self.turn = index + 1;
            return Ok(polled);
        }
        Ok(Polled::Nothing)
    }
}

impl port::Source for Source {
    fn assign(&mut self, task: TaskId, positions: &[Position]) -> Result<(), Fault> {
        self.unassign(task)?;
        let mut others = Vec::new();
        for &position in positions {
            match self.file(task, position.input).cloned() {
                Some(file) => self.begin(task, position, file),
                None => others.push(position),
            }
        }
        self.log.assign(task, &others)
    }

    fn unassign(&mut self, task: TaskId) -> Result<(), Fault> {
        self.readers.retain(|(of, ..)| *of != task);
        self.empty.retain(|end| !matches!(end, Polled::End { task: of, .. } if *of == task));
        self.log.unassign(task)
    }

    fn poll(&mut self, wait: Duration) -> Result<Polled, Fault> {
        let deadline = Instant::now() + wait;
        if std::mem::take(&mut self.log_first) {
            let polled = self.log.poll(Duration::ZERO)?;
            if polled != Polled::Nothing {
                return Ok(polled);
            }
        }
        loop {
            let polled = self.round()?;
            if polled != Polled::Nothing {
                self.log_first = true;
                return Ok(polled);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let look = if self.readers.is_empty() { left } else { left.min(LOOK) };
            let polled = self.log.poll(look)?;
            if polled != Polled::Nothing || left.is_zero() {
                return Ok(polled);
            }
        }
    }

    fn idle(&mut self, wait: Duration) -> Result<(), Fault> {
        self.log.idle(wait)
    }

    fn start(&mut self, task: TaskId, input: u32) -> Result<Offset, Fault> {
        let Some(found) = self.topology.input(task, input) else { return self.log.start(task, input) };
        match (&found.file, found.start) {
            (None, _) => self.log.start(task, input),
            (Some(file), Start::Latest) if task.partition.0 == 0 => size(&file.path),
            (Some(_), _) => Ok(Offset(0)),
        }
    }
}

/// How long a file is; nothing if there is none.
pub fn size(path: &Path) -> Result<Offset, Fault> {
    let failed = |reason: &dyn fmt::Display| Fault::Fatal(format!("read {}: {reason}", path.display()));
    match check::open(path) {
        Ok(file) => file.metadata().map(|metadata| Offset(metadata.len() as i64)).map_err(|error| failed(&error)),
        Err(Unusable::Missing) => Ok(Offset(0)),
        Err(unusable) => Err(failed(&unusable)),
    }
}
