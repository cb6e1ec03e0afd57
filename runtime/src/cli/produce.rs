//! `wasmill produce`: appends standard input to a topic.

use std::io::{BufRead, Write};

use anyhow::{Context, Result};
use wasmill_core::record::Timestamp;

use super::LogArgs;
use crate::broker::Broker;
use crate::lines::{Format, Lines};

/// Append standard input to a topic, all of it or nothing
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    wasmill produce lines < text.txt\n  \
    echo 'k1:hello' | wasmill produce greetings --key-separator :\n  \
    wasmill produce orders --format jsonl --data-dir .wasmill/orders < orders.jsonl")]
pub struct Args {
    /// The topic; it is made if there is none of this name
    pub topic: String,
    /// Which log
    #[command(flatten)]
    pub log: LogArgs,
    /// What a line is: a value, or a JSON object with key, value, timestamp and headers
    #[arg(long, default_value = "lines")]
    pub format: Format,
    /// What stands between key and value of a plain line
    #[arg(long, value_name = "TEXT")]
    pub key_separator: Option<String>,
    /// How many partitions the topic gets if it is made
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub partitions: u32,
}

/// Appends what is read to a topic, and says how many records went where.
pub fn run(
    broker: &mut dyn Broker,
    args: &Args,
    from: impl BufRead,
    now: Timestamp,
    report: &mut impl Write,
) -> Result<()> {
    let lines = Lines { format: args.format, key_separator: args.key_separator.clone() };
    let records = lines.read(from, now).context("nothing was produced")?;
    broker.ensure(&args.topic, args.partitions)?;
    let counts = broker.append(&args.topic, &records)?;
    let (count, s) = (records.len(), if records.len() == 1 { "" } else { "s" });
    let placed: Vec<_> = (0..).zip(&counts).map(|(partition, count): (u32, _)| format!("{partition}: {count}")).collect();
    writeln!(report, "{count} record{s} to topic {} (partition {})", args.topic, placed.join(", "))?;
    Ok(())
}
