//! `wasmill consume`: prints the records of a topic.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::{Result, bail};
use wasmill_core::record::{Offset, Partition};

use super::{LogArgs, until_closed};
use crate::broker::{Broker, Chunk, Cursor, Extent, find};
use crate::lines::{Format, Lines, Place};

const WAIT: Duration = Duration::from_secs(1);

/// Print the records of a topic as they come
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    wasmill consume word-counts --from-beginning --until-end --key-separator ' '\n  \
    wasmill consume orders --format jsonl\n  \
    wasmill consume orders --partition 2 --offset 1000 --max-messages 10")]
pub struct Args {
    /// The topic
    pub topic: String,
    /// Which log
    #[command(flatten)]
    pub log: LogArgs,
    /// Begin with the first record that is kept, not with the next one that comes
    #[arg(long)]
    pub from_beginning: bool,
    /// Stop behind the last record that is there now
    #[arg(long)]
    pub until_end: bool,
    /// Only this partition
    #[arg(long, value_name = "N")]
    pub partition: Option<u32>,
    /// Begin at this offset of the partition
    #[arg(long, value_name = "N", requires = "partition", conflicts_with = "from_beginning")]
    pub offset: Option<i64>,
    /// Stop after so many records
    #[arg(long, value_name = "N")]
    pub max_messages: Option<u64>,
    /// How a record is printed: its value, or a JSON object
    #[arg(long, default_value = "lines")]
    pub format: Format,
    /// Print keys too, and this between key and value of a plain line
    #[arg(long, value_name = "TEXT")]
    pub key_separator: Option<String>,
}

/// Prints the records of a topic until it is told to stop, all asked for is printed, or nobody reads them any more.
pub fn run(broker: &mut dyn Broker, args: &Args, to: &mut impl Write, go_on: &dyn Fn() -> bool) -> Result<()> {
    let mut cursors = cursors(broker, args)?;
    let mut printer = Printer {
        topic: &args.topic,
        lines: Lines { format: args.format, key_separator: args.key_separator.clone() },
        left: args.max_messages.unwrap_or(u64::MAX),
        ends: args.until_end.then(|| cursors.iter().map(|(_, end)| *end).collect()),
    };
    let mut cursors: Vec<_> = cursors.drain(..).map(|(cursor, _)| cursor).collect();
    while go_on() && !printer.is_done(&cursors) {
        let chunks = broker.fetch(&args.topic, &mut cursors, if args.until_end { Duration::ZERO } else { WAIT })?;
        match printer.print(&chunks, to) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            printed => printed?,
        }
    }
    Ok(until_closed(to.flush())?)
}

/// Where to begin in each partition, and where it ends now.
fn cursors(broker: &mut dyn Broker, args: &Args) -> Result<Vec<(Cursor, Cursor)>> {
    let topics = broker.topics()?;
    let extents = &find(&topics, &args.topic)?.partitions;
    let all: Vec<(u32, &Extent)> = (0..).zip(extents).collect();
    let wanted = match args.partition {
        Some(partition) => match all.get(partition as usize) {
            Some(&one) => vec![one],
            None => bail!("topic {} has partitions 0 to {}, not {partition}", args.topic, extents.len() - 1),
        },
        None => all,
    };
    let mut cursors = Vec::new();
    for (partition, &Extent { start, end }) in wanted {
        let next = args.offset.unwrap_or(if args.from_beginning { start } else { end });
        if !(start..=end).contains(&next) {
            bail!("{} partition {partition} holds offsets {start} to {end}: {next} is not among them", args.topic);
        }
        let at = |offset| Cursor { partition: Partition(partition), next: Offset(offset) };
        cursors.push((at(next), at(end)));
    }
    Ok(cursors)
}

struct Printer<'a> {
    topic: &'a str,
    lines: Lines,
    left: u64,
    /// Where to stop in each partition, if anywhere.
    ends: Option<Vec<Cursor>>,
}

impl Printer<'_> {
    fn is_done(&self, cursors: &[Cursor]) -> bool {
        let at_end = |ends: &Vec<Cursor>| cursors.iter().zip(ends).all(|(cursor, end)| cursor.next >= end.next);
        self.left == 0 || self.ends.as_ref().is_some_and(at_end)
    }

    fn print(&mut self, chunks: &[Chunk], to: &mut impl Write) -> io::Result<()> {
        for Chunk { partition, records, offsets } in chunks {
            let end = self.ends.iter().flatten().find(|end| end.partition == *partition).map(|end| end.next);
            for (message, &offset) in records.iter().zip(offsets) {
                let offset = Offset(offset);
                if self.left == 0 || end.is_some_and(|end| offset >= end) {
                    break;
                }
                self.left -= 1;
                self.lines.print(to, message, Place { topic: self.topic, partition: *partition, offset })?;
            }
        }
        to.flush()
    }
}
