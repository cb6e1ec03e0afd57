//! What sinks got, printed.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::io::{self, Write};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use wasmill_core::record::{Offset, Partition};

use crate::broker::{Broker, Chunk, Cursor, Extent};
use crate::lines::{Format, Lines, Place};
use crate::node::backend::Backend;
use crate::pipeline::Graph;

/// How long a look at the log may wait for records that are there.
const WAIT: Duration = Duration::from_millis(100);

/// The greatest last values of a sink: `SINK=N`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Top {
    sink: String,
    count: usize,
}

impl FromStr for Top {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('=').and_then(|(sink, count)| Some((sink, count.parse().ok()?)));
        match parsed {
            Some((sink, count)) if !sink.is_empty() && count > 0 => Ok(Self { sink: sink.into(), count }),
            _ => Err("say SINK=N, for example counts=10".into()),
        }
    }
}

/// Fails if a sink is named that no pipeline has.
pub(super) fn check<'a>(names: impl Iterator<Item = &'a str>, graphs: &[Graph]) -> Result<()> {
    for name in names {
        topic(name, graphs)?;
    }
    Ok(())
}

fn topic<'g>(sink: &str, graphs: &'g [Graph]) -> Result<&'g str> {
    let sinks = || graphs.iter().flat_map(Graph::sinks);
    if let Some(known) = sinks().find(|known| known.name == sink) {
        match &known.file {
            None => Ok(&known.topic),
            Some(file) => bail!("sink {sink} writes a file, {}: look at that", file.display()),
        }
    } else {
        let names: Vec<_> = sinks().map(|sink| sink.name.as_str()).collect();
        bail!("there is no sink {sink}, only {}", names.join(", "))
    }
}

/// A number of a value's text, for ordering.
fn number(value: &[u8]) -> Option<f64> {
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

fn greater(a: &[u8], b: &[u8]) -> Ordering {
    match (number(a), number(b)) {
        (Some(a), Some(b)) => b.total_cmp(&a),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => b.cmp(a),
    }
}

impl Top {
    /// The sink's name.
    pub(super) fn sink(&self) -> &str {
        &self.sink
    }

    /// Reads the sink's topic whole, and prints the keys with the greatest last values: numbers first, greatest first,
    /// of equal ones in order of the keys.
    pub(super) fn print(&self, backend: &dyn Backend, graphs: &[Graph], to: &mut impl Write) -> Result<()> {
        let topic = topic(&self.sink, graphs)?;
        let mut broker = backend.broker()?;
        let mut cursors = cursors(broker.as_mut(), topic, Begin::Start)?;
        let mut last: HashMap<Vec<u8>, Option<Vec<u8>>> = HashMap::new();
        to_end(broker.as_mut(), topic, &mut cursors, &mut |chunk| {
            for message in chunk.records.iter() {
                last.insert(message.key.unwrap_or_default().to_vec(), message.value.map(<[u8]>::to_vec));
            }
            Ok(())
        })?;
        let mut rows: Vec<_> = last.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
        rows.sort_by(|a, b| greater(&a.1, &b.1).then_with(|| a.0.cmp(&b.0)));
        for (key, value) in rows.iter().take(self.count) {
            closed(writeln!(to, "{}\t{}", String::from_utf8_lossy(key), String::from_utf8_lossy(value)))?;
        }
        Ok(())
    }
}

/// A closed pipe is somebody who has seen enough.
fn closed(written: io::Result<()>) -> Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot print"),
    }
}

/// Where printing begins.
#[derive(Clone, Copy)]
enum Begin {
    Start,
    End,
}

fn cursors(broker: &mut dyn Broker, topic: &str, begin: Begin) -> Result<Vec<Cursor>> {
    let topics = broker.topics()?;
    let extents = topics.iter().find(|listed| listed.topic == topic).map(|listed| listed.partitions.as_slice());
    let at = |extent: &Extent| match begin {
        Begin::Start => extent.start,
        Begin::End => extent.end,
    };
    let cursor = |(extent, partition): (_, u32)| Cursor { partition: Partition(partition), next: Offset(at(extent)) };
    Ok(extents.unwrap_or_default().iter().zip(0..).map(cursor).collect())
}

/// Reads a topic on, up to where it ends now.
fn to_end(
    broker: &mut dyn Broker,
    topic: &str,
    cursors: &mut [Cursor],
    visit: &mut dyn FnMut(&Chunk) -> Result<()>,
) -> Result<()> {
    let ends = self::cursors(broker, topic, Begin::End)?;
    let behind = |cursors: &[Cursor]| cursors.iter().zip(&ends).any(|(cursor, end)| cursor.next < end.next);
    while behind(cursors) {
        for chunk in &broker.fetch(topic, cursors, WAIT)? {
            visit(chunk)?;
        }
    }
    Ok(())
}

/// Prints what arrives at sinks from now on.
pub(super) struct Printer {
    readers: Vec<Reader>,
    lines: Lines,
}

/// Where printing stands in a topic.
struct Reader {
    broker: Box<dyn Broker + Send>,
    topic: String,
    cursors: Vec<Cursor>,
}

impl Printer {
    pub(super) fn new(backend: &dyn Backend, graphs: &[Graph], sinks: &[String]) -> Result<Self> {
        let mut begun = Vec::new();
        for sink in sinks {
            // Each sink has a reader of its own, which stays where it is between two looks.
            let (topic, mut broker) = (topic(sink, graphs)?, backend.broker()?);
            let cursors = cursors(broker.as_mut(), topic, Begin::End)?;
            begun.push(Reader { broker, topic: topic.to_owned(), cursors });
        }
        Ok(Self { readers: begun, lines: Lines { format: Format::Lines, key_separator: Some("\t".into()) } })
    }

    /// Prints what has come since the last time.
    pub(super) fn print(&mut self, to: &mut impl Write) -> Result<()> {
        for reader in &mut self.readers {
            for chunk in &reader.broker.fetch(&reader.topic, &mut reader.cursors, Duration::ZERO)? {
                print(&self.lines, &reader.topic, chunk, to)?;
            }
        }
        closed(to.flush())
    }

    /// Prints all that has come, to the end.
    pub(super) fn finish(&mut self, to: &mut impl Write) -> Result<()> {
        for Reader { broker, topic, cursors } in &mut self.readers {
            to_end(broker.as_mut(), topic, cursors, &mut |chunk| print(&self.lines, topic, chunk, to))?;
        }
        closed(to.flush())
    }
}

fn print(lines: &Lines, topic: &str, chunk: &Chunk, to: &mut impl Write) -> Result<()> {
    for (message, &offset) in chunk.records.iter().zip(&chunk.offsets) {
        let place = Place { topic, partition: chunk.partition, offset: Offset(offset) };
        closed(lines.print(to, message, place))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_ordered_as_numbers() {
        let mut values: Vec<&[u8]> = vec![b"9", b"10", b"b", b"-1", b"a", b"10.5"];
        values.sort_by(|a, b| greater(a, b));
        assert_eq!(values, [&b"10.5"[..], b"10", b"9", b"-1", b"b", b"a"]);
    }

    #[test]
    fn a_top_names_a_sink_and_a_number() {
        assert_eq!("counts=10".parse(), Ok(Top { sink: "counts".into(), count: 10 }));
        for bad in ["counts", "counts=0", "=3", "counts=x"] {
            assert!(bad.parse::<Top>().is_err(), "{bad}");
        }
    }
}
