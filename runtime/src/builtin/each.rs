//! Built-ins that take one record at a time and remember nothing.

use wasmill_core::batch::{ABSENT, Batch, Message, SPANS};
use wasmill_core::flow::{Emitted, INPUT};
use wasmill_core::operator::{Call, CallError, Declaration, Failure, Native, Outcome, OutputDeclaration, Role};
use wasmill_core::scope::{Limits, Scope};

/// What a built-in does with a record.
pub(super) trait Each {
    /// Its output ports; the first is the main one.
    fn ports(&self) -> Vec<String> {
        vec!["out".to_owned()]
    }

    /// Whether records leave with the key that they came with.
    fn keeps_keys(&self) -> bool {
        true
    }

    /// Handles a record, or says why it cannot; what it put out before that does not count.
    fn each(&mut self, record: &Record<'_>, out: &mut Out) -> Result<(), String>;
}

/// A record that a built-in is given.
#[derive(Clone, Copy)]
pub(super) struct Record<'a> {
    pub(super) message: Message<'a>,
    index: u32,
    spans: &'a [i32],
}

/// The records of a batch.
pub(super) fn records(batch: &Batch) -> impl Iterator<Item = Record<'_>> {
    let columns = batch.iter().zip(batch.spans().chunks_exact(SPANS));
    columns.zip(0..).map(|((message, spans), index)| Record { message, index, spans })
}

impl Record<'_> {
    /// Its index in the call.
    pub(super) fn index(&self) -> u32 {
        self.index
    }
}

/// What a call puts out.
pub(super) struct Out {
    ports: Vec<Columns>,
    limits: Limits,
    /// Bytes of the record under way, and of all.
    of_record: usize,
    of_call: usize,
}

#[derive(Default)]
struct Columns {
    timestamps: Vec<i64>,
    spans: Vec<i32>,
    data: Vec<u8>,
    origins: Vec<u32>,
}

/// A part of a record that is put out.
enum Part<'a> {
    Kept,
    New(&'a [u8]),
}

impl Out {
    pub(super) fn new(ports: usize, limits: Limits) -> Self {
        let ports = std::iter::repeat_with(Columns::default).take(ports).collect();
        Self { ports, limits, of_record: 0, of_call: 0 }
    }

    /// Bytes that one record may have.
    pub(super) fn longest(&self) -> usize {
        self.limits.record
    }

    /// Puts a record out as it came.
    pub(super) fn keep(&mut self, port: usize, record: &Record<'_>) -> Result<(), String> {
        self.push(port, record, Part::Kept, Part::Kept)
    }

    /// Puts a record out with another value.
    pub(super) fn value(&mut self, port: usize, record: &Record<'_>, value: &[u8]) -> Result<(), String> {
        self.push(port, record, Part::Kept, Part::New(value))
    }

    /// Puts a record out with another key.
    pub(super) fn key(&mut self, port: usize, record: &Record<'_>, key: &[u8]) -> Result<(), String> {
        self.push(port, record, Part::New(key), Part::Kept)
    }

    fn push(&mut self, port: usize, record: &Record<'_>, key: Part<'_>, value: Part<'_>) -> Result<(), String> {
        let Message { key: old_key, value: old_value, headers, timestamp } = record.message;
        let length = |part: &Part<'_>, old: Option<&[u8]>| match part {
            Part::Kept => old.map_or(0, <[u8]>::len),
            Part::New(bytes) => bytes.len(),
        };
        let size = length(&key, old_key) + length(&value, old_value) + headers.map_or(0, <[u8]>::len);
        if size > self.limits.record {
            let limit = self.limits.record;
            return Err(format!("an output record of {size} bytes passes the limit of {limit}"));
        }
        self.of_record += size + 8;
        if self.of_record > self.limits.output {
            return Err(format!("the output of one record passes the limit of {} bytes", self.limits.output));
        }
        let Some(columns) = self.ports.get_mut(port) else { return Ok(()) };
        for (part, spans) in [key, value, Part::Kept].into_iter().zip(record.spans.chunks_exact(2)) {
            columns.part(part, spans);
        }
        columns.timestamps.push(timestamp.0);
        columns.origins.push(record.index);
        Ok(())
    }

    /// Ends a record: what it put out counts, or does not.
    pub(super) fn end(&mut self, marks: &[Mark], good: bool) -> Result<(), CallError> {
        let of_record = std::mem::take(&mut self.of_record);
        if !good {
            self.ports.iter_mut().zip(marks).for_each(|(columns, mark)| columns.undo(mark));
            return Ok(());
        }
        self.of_call += of_record;
        if self.of_call > self.limits.output {
            // With fewer records in the call it may be enough.
            let limit = self.limits.output;
            return Err(CallError::Limit(format!("the output of one call passes the limit of {limit} bytes")));
        }
        Ok(())
    }

    fn marks(&self, marks: &mut Vec<Mark>) {
        marks.clear();
        marks.extend(
            self.ports.iter().map(|columns| Mark { records: columns.origins.len(), bytes: columns.data.len() }),
        );
    }

    /// Hands it all to the scope.
    pub(super) fn emit(&self, scope: &mut Scope) -> Result<(), CallError> {
        for (columns, port) in self.ports.iter().zip(0..) {
            let Columns { timestamps, spans, data, origins } = columns;
            scope.emit(port, Emitted { timestamps, spans, data }, origins)?;
        }
        Ok(())
    }
}

/// Where columns stood before a record.
pub(super) struct Mark {
    records: usize,
    bytes: usize,
}

impl Columns {
    fn part(&mut self, part: Part<'_>, kept: &[i32]) {
        let span = match (part, kept) {
            (Part::New(bytes), _) => {
                let span = [self.data.len() as i32, bytes.len() as i32];
                self.data.extend_from_slice(bytes);
                span
            }
            (Part::Kept, &[offset, length]) if length != ABSENT => [offset | INPUT, length],
            (Part::Kept, _) => [0, ABSENT],
        };
        self.spans.extend_from_slice(&span);
    }

    fn undo(&mut self, mark: &Mark) {
        self.timestamps.truncate(mark.records);
        self.origins.truncate(mark.records);
        self.spans.truncate(mark.records * SPANS);
        self.data.truncate(mark.bytes);
    }
}

/// A built-in without state at its place in a pipeline.
pub(super) struct Stateless {
    declaration: Declaration,
    each: Box<dyn Each>,
}

impl Stateless {
    pub(super) fn new(name: &str, each: Box<dyn Each>) -> Self {
        let keeps_keys = each.keeps_keys();
        let outputs = each.ports().into_iter().map(|name| OutputDeclaration { name, keeps_keys });
        let declaration = Declaration {
            name: name.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            role: Role::Transform,
            inputs: vec!["in".to_owned()],
            outputs: outputs.collect(),
            states: Vec::new(),
            metrics: Vec::new(),
        };
        Self { declaration, each }
    }
}

impl Native for Stateless {
    fn declaration(&self) -> &Declaration {
        &self.declaration
    }

    fn run(&mut self, call: &Call, scope: &mut Scope) -> Result<Outcome, CallError> {
        let mut outcome = Outcome::default();
        let mut out = Out::new(self.declaration.outputs.len(), scope.limits());
        let mut marks = Vec::new();
        for record in records(&call.records) {
            out.marks(&mut marks);
            let result = self.each.each(&record, &mut out);
            out.end(&marks, result.is_ok())?;
            if let Err(reason) = result {
                outcome.failures.push(Failure { index: record.index, reason });
            }
        }
        out.emit(scope)?;
        Ok(outcome)
    }
}
