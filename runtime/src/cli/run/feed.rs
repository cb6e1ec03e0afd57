//! Input for sources, written to their topics before the pipelines run.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use wasmill_core::batch::Batch;

use crate::clock::now;
use crate::lines::{Format, Lines};
use crate::node::backend::Backend;
use crate::node::widths;
use crate::pipeline::Graph;
use crate::pipeline::graph::Source;

/// A file for a source: `SOURCE=FILE`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Feed {
    source: String,
    file: PathBuf,
}

impl Feed {
    /// The source.
    pub(in crate::cli) fn source(&self) -> &str {
        &self.source
    }

    /// The file.
    pub(in crate::cli) fn file(&self) -> &Path {
        &self.file
    }
}

impl FromStr for Feed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((source, file)) if !source.is_empty() && !file.is_empty() => {
                Ok(Self { source: source.into(), file: file.into() })
            }
            _ => Err("say SOURCE=FILE, for example lines=text.txt, or lines=- for standard input".into()),
        }
    }
}

fn find<'g>(feed: &Feed, graphs: &'g [Graph]) -> Result<&'g Source> {
    let sources = || graphs.iter().flat_map(Graph::sources);
    let Some(source) = sources().find(|source| source.name == feed.source) else {
        let names: Vec<_> = sources().map(|source| source.name.as_str()).collect();
        bail!("--feed {}: there is no source of this name, only {}", feed.source, names.join(", "));
    };
    Ok(source)
}

/// Fails where a feed cannot be written, before anything is done.
pub(in crate::cli) fn check(feeds: &[Feed], graphs: &[Graph]) -> Result<()> {
    for feed in feeds {
        if let Some(file) = &find(feed, graphs)?.file {
            bail!("--feed {}: the source reads a file, {}: append to that", feed.source, file.path.display());
        }
        if feed.file != Path::new("-") {
            open(&feed.file).with_context(|| format!("--feed {}", feed.source))?;
        }
    }
    Ok(())
}

fn open(file: &Path) -> Result<File> {
    let opened = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    if opened.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        bail!("cannot read {}: it is a directory", file.display());
    }
    Ok(opened)
}

/// Writes feeds to their topics, and samples to new topics that nothing is fed to. Answers how many records it wrote.
pub(super) fn feed(backend: &dyn Backend, feeds: &[Feed], graphs: &[Graph]) -> Result<u64> {
    let mut records = 0;
    for feed in feeds {
        let source = find(feed, graphs)?;
        records += write(backend, source, &feed.file).with_context(|| format!("--feed {}", feed.source))?;
    }
    for source in graphs.iter().flat_map(Graph::sources) {
        let fed = feeds.iter().any(|feed| feed.source == source.name);
        let (Some(sample), Some(topic)) = (&source.sample, source.topics.first()) else { continue };
        if !fed && backend.makes_topics() && backend.partitions(topic)?.is_none() {
            records +=
                write(backend, source, sample).with_context(|| format!("the sample of source {}", source.name))?;
        }
    }
    Ok(records)
}

/// The records of a file.
pub(in crate::cli) fn read(file: &Path) -> Result<Batch> {
    let from: Box<dyn Read> = if file == Path::new("-") { Box::new(io::stdin()) } else { Box::new(open(file)?) };
    let lines = Lines { format: Format::of(file), key_separator: None };
    lines.read(BufReader::new(from), now()).with_context(|| format!("{}", file.display()))
}

fn write(backend: &dyn Backend, source: &Source, file: &Path) -> Result<u64> {
    let records = read(file)?;
    let topic = source.topics.first().context("the source has no topic")?;
    // One that is neither there nor to be made is told by what appends to it.
    widths::ensure(backend, topic, source.create.as_ref())?;
    Ok(backend.broker()?.append(topic, &records)?.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feed_names_a_source_and_a_file() {
        let feed = |text: &str| text.parse::<Feed>();
        assert_eq!(feed("lines=a=b.txt"), Ok(Feed { source: "lines".into(), file: "a=b.txt".into() }));
        assert!(feed("lines").is_err() && feed("=x").is_err() && feed("lines=").is_err());
    }
}
