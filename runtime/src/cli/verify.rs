//! `wasmill verify`: kills a pipeline at every step of the commit protocol, and compares what comes of it with a run that
//! was not killed.

mod outcome;
mod trial;

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use indicatif::HumanCount;

use self::outcome::{Comparison, Outcome};
use self::trial::{Died, Input, Rehearsal};
use super::KafkaArgs;
use super::run::feed::Feed;
use super::run::load;
use crate::cli::signals::Signals;
use crate::node::embedded::StoreKind;
use crate::step::Step;

/// Kill a pipeline at every step of its commits, and compare what comes of it with a run that was not killed
///
/// Runs the pipeline once for each step in a process that ends there, lets another one finish, and compares outputs and
/// state. It runs on logs of its own, or on topics of its own on Kafka: no record of yours is read or written but those
/// that are fed.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    wasmill verify examples/word-count\n  \
    wasmill verify pipeline.yaml --feed orders=orders.jsonl --store fjall\n  \
    wasmill verify pipeline.yaml --feed orders=orders.jsonl --brokers localhost:9092")]
pub struct Args {
    /// A pipeline file, or a directory that holds a pipeline.yaml
    #[arg(value_name = "PIPELINE")]
    pub pipeline: PathBuf,
    /// What a source reads; by default its sample
    #[arg(long, value_name = "SOURCE=FILE")]
    pub feed: Vec<Feed>,
    /// Kill at these steps only
    #[arg(long, value_name = "STEP,…", value_delimiter = ',')]
    pub steps: Vec<Step>,
    /// Where rows are kept
    #[arg(long, default_value = "sled")]
    pub store: StoreKind,
    /// Worker threads
    #[arg(long, value_name = "N", default_value = "2", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub workers: u16,
    /// Which Kafka cluster, if any
    #[command(flatten)]
    pub kafka: KafkaArgs,
}

/// What became of a step.
enum Verdict {
    /// All is as it should be.
    Same(Died),
    /// The pipeline never takes the step.
    NotTaken,
    /// What is not.
    Different(Died, Vec<String>),
}

/// Kills the pipeline at each step, and fails if that shows.
pub fn run(args: &Args, signals: &Signals, to: &mut impl Write) -> Result<()> {
    let graph = load(&args.pipeline)?;
    let input = Input::read(&graph, &args.feed)?;
    let steps = if args.steps.is_empty() { Step::all().to_vec() } else { args.steps.clone() };
    let rehearsal = Rehearsal::new(args, graph, input)?;
    writeln!(to, "{}", rehearsal.about())?;
    let begun = Instant::now();
    let mut references = Vec::new();
    let reference = |name: &&str| rehearsal.reference(name);
    side_by_side(&["reference-1", "reference-2"], signals, &reference, &mut |outcome| {
        references.push(outcome);
        Ok(())
    })?;
    let comparison = Comparison::between(references);
    for note in comparison.notes() {
        writeln!(to, "note: {note}")?;
    }
    writeln!(to, "{:<10} {}, {:.1} s", "not killed", comparison.about(), begun.elapsed().as_secs_f64())?;
    let mut different = Vec::new();
    let kill = |step: &Step| -> Result<(Step, Verdict, Duration)> {
        let begun = Instant::now();
        let verdict = match rehearsal.kill(*step)? {
            None => Verdict::NotTaken,
            Some((died, outcome)) => judge(&comparison, died, outcome),
        };
        Ok((*step, verdict, begun.elapsed()))
    };
    side_by_side(&steps, signals, &kill, &mut |(step, verdict, took)| {
        if let Verdict::Different(..) = verdict {
            different.push(step);
        }
        print(to, step, &verdict, took)
    })?;
    if different.is_empty() {
        rehearsal.clean_up();
        let but = if comparison.notes().next().is_some() { ", as far as they can be compared" } else { "" };
        writeln!(to, "outputs and state are those of a run that was not killed{but}, whichever step it was killed at")?;
        return Ok(());
    }
    let names: Vec<_> = different.iter().map(ToString::to_string).collect();
    bail!(
        "{} does not get over a kill at {}: its outputs or state differ from those of a run that was not killed, or it does \
         not go on; what the runs left is in {}",
        rehearsal.pipeline(),
        names.join(", "),
        rehearsal.directory().display()
    )
}

fn judge(comparison: &Comparison, died: Died, outcome: Result<Outcome>) -> Verdict {
    let differences = match outcome {
        Ok(outcome) => comparison.differences(&outcome),
        Err(error) => vec![format!("it does not go on: {}", last_line(&error.to_string()))],
    };
    if differences.is_empty() { Verdict::Same(died) } else { Verdict::Different(died, differences) }
}

/// What a process said last, which is why it ended.
fn last_line(said: &str) -> &str {
    said.lines().rfind(|line| !line.is_empty()).unwrap_or(said)
}

fn print(to: &mut impl Write, step: Step, verdict: &Verdict, took: Duration) -> io::Result<()> {
    let took = took.as_secs_f64();
    match verdict {
        Verdict::Same(died) => writeln!(to, "{step:<10} same, {died}, {took:.1} s")?,
        Verdict::NotTaken => writeln!(to, "{step:<10} is not taken by this pipeline")?,
        Verdict::Different(died, differences) => {
            writeln!(to, "{step:<10} DIFFERENT, {died}, {took:.1} s")?;
            for difference in differences {
                writeln!(to, "           {difference}")?;
            }
        }
    }
    to.flush()
}

/// Does something for each of some items, as many at a time as there are processors, and hands over what comes of it in
/// their order.
fn side_by_side<I: Sync, T: Send>(
    items: &[I],
    signals: &Signals,
    each: &(dyn Fn(&I) -> Result<T> + Sync),
    done: &mut dyn FnMut(T) -> io::Result<()>,
) -> Result<()> {
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let (results, arrived) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..processors.min(items.len()) {
            let (results, next, failed) = (results.clone(), &next, &failed);
            scope.spawn(move || {
                while !failed.load(Ordering::Relaxed) && !signals.stop() {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { return };
                    let result = each(item);
                    // A process that was told to stop as well has not come to its end.
                    if signals.stop() {
                        return;
                    }
                    failed.fetch_or(result.is_err(), Ordering::Relaxed);
                    // Nobody hears it where another one failed.
                    let _ = results.send((index, result));
                }
            });
        }
        drop(results);
        let mut waiting = std::collections::BTreeMap::new();
        let mut turn = 0;
        for (index, result) in arrived {
            waiting.insert(index, result?);
            while let Some(result) = waiting.remove(&turn) {
                done(result)?;
                turn += 1;
            }
        }
        if turn < items.len() { Err(anyhow!("stopped before all steps were tried")) } else { Ok(()) }
    })
}

/// A number of records, in words.
fn records(count: usize) -> String {
    match count {
        1 => "1 record".to_owned(),
        count => format!("{} records", HumanCount(count as u64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_says_at_its_end_why_it_does_not_go_on() {
        assert_eq!(last_line("a process ended with exit status: 1:\nbuilding\nerror: stopped\n\n"), "error: stopped");
        assert_eq!(last_line("cannot start a process"), "cannot start a process");
    }
}
