//! Files that cannot be read or written, told before anything is done.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

use anyhow::{Result, bail};

use crate::pipeline::Graph;

/// Fails where a file of these pipelines cannot be what they say.
pub fn check(graphs: &[Graph]) -> Result<()> {
    let mut written: Vec<(PathBuf, &str, &str)> = Vec::new();
    for graph in graphs {
        for source in graph.sources() {
            let Some(file) = &source.file else { continue };
            if let Err(reason) = readable(&file.path, file.follow) {
                bail!("source {} of {}: cannot read {}: {reason}", source.name, graph.name(), file.path.display());
            }
        }
        for sink in graph.sinks() {
            let Some(path) = &sink.file else { continue };
            let full = plain(&std::path::absolute(path).unwrap_or_else(|_| path.clone()));
            if let Some((_, other, pipeline)) = written.iter().find(|(other, ..)| *other == full) {
                bail!(
                    "sink {} of {} and sink {other} of {pipeline} both write {}: give each a file of its own",
                    sink.name,
                    graph.name(),
                    path.display()
                );
            }
            if let Err(reason) = writable(path) {
                bail!("sink {} of {}: cannot write {}: {reason}", sink.name, graph.name(), path.display());
            }
            written.push((full, &sink.name, graph.name()));
        }
    }
    Ok(())
}

/// A path without the parts that lead nowhere, for comparing.
pub fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(plain.components().next_back(), Some(Component::Normal(_))) => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

fn readable(path: &Path, follow: bool) -> Result<(), String> {
    match open(path) {
        Ok(_) => Ok(()),
        Err(Unusable::Missing) if follow => Ok(()),
        Err(unusable) => Err(unusable.to_string()),
    }
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("there is no such file; make it, or say `follow: true` to wait for it")]
    Missing,
    #[error("it is a directory; name a file in it")]
    Directory,
    #[error("it is not a regular file; `wasmill produce` writes what comes out of a pipe to a topic")]
    Special,
    #[error("this process may not read it; change its permissions")]
    Forbidden,
    #[error("{0}")]
    Other(#[from] io::Error),
}

/// Opens a file for reading, if it is one.
pub(super) fn open(path: &Path) -> Result<File, Unusable> {
    let sorted = |error: io::Error| match error.kind() {
        ErrorKind::NotFound => Unusable::Missing,
        ErrorKind::PermissionDenied => Unusable::Forbidden,
        _ => Unusable::Other(error),
    };
    // To open a pipe waits for somebody who writes to it.
    let metadata = fs::metadata(path).map_err(sorted)?;
    if metadata.is_dir() {
        return Err(Unusable::Directory);
    }
    if !metadata.is_file() {
        return Err(Unusable::Special);
    }
    File::open(path).map_err(sorted)
}

fn writable(path: &Path) -> Result<(), String> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Err("it is a directory; name a file in it".to_owned()),
        Ok(metadata) if !metadata.is_file() => Err("it is not a regular file".to_owned()),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            match parent.map(fs::metadata) {
                Some(Err(_)) => Err("its directory does not exist; make it first".to_owned()),
                Some(Ok(parent)) if !parent.is_dir() => Err("what it should be in is not a directory".to_owned()),
                _ => Ok(()),
            }
        }
        Err(error) => Err(error.to_string()),
    }
}
