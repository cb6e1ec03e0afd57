//! `wasmill topics`: lists the topics of a log.

use std::io::Write;

use anyhow::Result;
use clap::ValueEnum;
use serde::Serialize;

use super::{LogArgs, until_closed};
use crate::broker::{Broker, Listed};

/// List topics: their kind, partitions, and how many records they hold
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    wasmill topics\n  \
    wasmill topics --data-dir .wasmill/word-count --output json")]
pub struct Args {
    /// Which log
    #[command(flatten)]
    pub log: LogArgs,
    /// How to print them
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub output: Output,
}

/// How a list is printed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

#[derive(Serialize)]
struct Line<'a> {
    topic: &'a str,
    kind: &'a str,
    partitions: usize,
    records: i64,
}

/// Lists the topics of a log.
pub fn run(broker: &mut dyn Broker, output: Output, to: &mut impl Write) -> Result<()> {
    let mut topics = broker.topics()?;
    topics.sort_by(|a, b| a.topic.cmp(&b.topic));
    let lines: Vec<_> = topics.iter().map(line).collect();
    let printed = match output {
        Output::Json => serde_json::to_writer_pretty(&mut *to, &lines).map_err(Into::into).and_then(|()| writeln!(to)),
        Output::Table => print(&lines, to),
    };
    Ok(until_closed(printed)?)
}

/// Records by their offsets: in a changelog, which keeps the last record of each key, there are fewer.
fn line(listed: &Listed) -> Line<'_> {
    let Listed { topic, kind, partitions } = listed;
    let records = partitions.iter().map(|extent| extent.end - extent.start).sum();
    Line { topic, kind, partitions: partitions.len(), records }
}

fn print(lines: &[Line<'_>], to: &mut impl Write) -> std::io::Result<()> {
    let width = lines.iter().map(|line| line.topic.len()).max().unwrap_or(0).max("TOPIC".len());
    writeln!(to, "{:width$}  {:9}  {:>10}  {:>12}", "TOPIC", "KIND", "PARTITIONS", "RECORDS")?;
    for Line { topic, kind, partitions, records } in lines {
        writeln!(to, "{topic:width$}  {kind:9}  {partitions:>10}  {records:>12}")?;
    }
    Ok(())
}
