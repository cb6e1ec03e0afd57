//! What sinks got, printed.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::io::{self, Write};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use wasmill_core::record::{Offset, Partition};

use crate::broker::{Broker, Cursor};
use crate::lines::{Format, Lines, Place};
use crate::node::backend::Backend;
use crate::pipeline::Graph;

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
    match sinks().find(|known| known.name == sink) {
        Some(known) => Ok(&known.topic),
        None => {
            let names: Vec<_> = sinks().map(|sink| sink.name.as_str()).collect();
            bail!("there is no sink {sink}, only {}", names.join(", "))
        }
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
        let mut cursors = cursors(broker.as_mut(), topic, backend, Begin::Start)?;
        let mut last: HashMap<Vec<u8>, Option<Vec<u8>>> = HashMap::new();
        loop {
            let chunks = broker.fetch(topic, &mut cursors, Duration::ZERO)?;
            for message in chunks.iter().flat_map(|chunk| chunk.records.iter()) {
                last.insert(message.key.unwrap_or_default().to_vec(), message.value.map(<[u8]>::to_vec));
            }
            if chunks.is_empty() {
                break;
            }
        }
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

fn cursors(broker: &mut dyn Broker, topic: &str, backend: &dyn Backend, begin: Begin) -> Result<Vec<Cursor>> {
    let partitions = backend.partitions(topic)?.unwrap_or_default();
    if partitions == 0 {
        return Ok(Vec::new());
    }
    let topics = broker.topics()?;
    let extents = topics.iter().find(|listed| listed.topic == topic).map(|listed| listed.partitions.as_slice());
    let at = |extent: &crate::broker::Extent| match begin {
        Begin::Start => extent.start,
        Begin::End => extent.end,
    };
    let cursor = |(extent, partition): (_, u32)| Cursor { partition: Partition(partition), next: Offset(at(extent)) };
    Ok(extents.unwrap_or_default().iter().zip(0..).map(cursor).collect())
}

/// Prints what arrives at sinks from now on.
pub(super) struct Printer {
    broker: Box<dyn Broker + Send>,
    sinks: Vec<(String, Vec<Cursor>)>,
    lines: Lines,
}

impl Printer {
    pub(super) fn new(backend: &dyn Backend, graphs: &[Graph], sinks: &[String]) -> Result<Self> {
        let mut broker = backend.broker()?;
        let mut begun = Vec::new();
        for sink in sinks {
            let topic = topic(sink, graphs)?;
            begun.push((topic.to_owned(), cursors(broker.as_mut(), topic, backend, Begin::End)?));
        }
        let lines = Lines { format: Format::Lines, key_separator: Some("\t".into()) };
        Ok(Self { broker, sinks: begun, lines })
    }

    /// Prints what has come since the last time.
    pub(super) fn print(&mut self, to: &mut impl Write) -> Result<()> {
        for (topic, cursors) in &mut self.sinks {
            loop {
                let chunks = self.broker.fetch(topic, cursors, Duration::ZERO)?;
                for chunk in &chunks {
                    for (message, &offset) in chunk.records.iter().zip(&chunk.offsets) {
                        let place = Place { topic, partition: chunk.partition, offset: Offset(offset) };
                        closed(self.lines.print(to, message, place))?;
                    }
                }
                if chunks.is_empty() {
                    break;
                }
            }
        }
        closed(to.flush())
    }
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
