//! Sources and sinks that are files.

use std::path::PathBuf;

use super::{File, Source, build::Builder};
use crate::files::check::plain;
use crate::pipeline::{
    error::{Kind, Place, Reported},
    placed::Placed,
    spec,
};

impl Builder<'_> {
    pub(super) fn file_source(
        &self,
        name: &Placed<String>,
        source: &spec::Source,
        file: &Placed<spec::File>,
    ) -> Result<Source, Reported> {
        let others = [
            (source.topic.is_some() || source.topics.is_some(), "a source reads topics or a file; remove one of them"),
            (source.sample.is_some(), "`sample` is for new topics, and this source reads a file; remove one of them"),
            (source.create.is_some(), "`create` is for topics, and this source reads a file; remove one of them"),
        ];
        if let Some((_, message)) = others.into_iter().find(|(given, _)| *given) {
            return Err(self.report.at(Kind::Key, file.place, message));
        }
        let path = self.path(&file.value.path, file.place)?;
        Ok(Source {
            name: name.value.clone(),
            place: name.place,
            topics: vec![pseudonym(&file.value.path)],
            file: Some(File { path, follow: file.value.follow }),
            format: source.format,
            start: source.start,
            time: self.time(&source.time)?,
            sample: None,
            create: None,
        })
    }

    /// The topic of a sink, and its file where it has one.
    pub(super) fn target(
        &self,
        name: &Placed<String>,
        sink: &spec::Sink,
    ) -> Result<(String, Option<PathBuf>), Reported> {
        match (&sink.topic, &sink.file) {
            (Some(topic), None) => Ok((topic.value.clone(), None)),
            (None, Some(file)) if sink.create.is_some() => {
                let message = "`create` is for topics, and this sink writes a file; remove one of them";
                Err(self.report.at(Kind::Key, file.place, message))
            }
            (None, Some(file)) => Ok((pseudonym(&file.value), Some(self.path(&file.value, file.place)?))),
            (Some(_), Some(file)) => {
                let message = "a sink writes a topic or a file; remove one of them, or make it two sinks";
                Err(self.report.at(Kind::Key, file.place, message))
            }
            (None, None) => {
                let message = format!("`{}` needs the key `topic`, or `file`", name.value);
                Err(self.report.at(Kind::Key, name.place, message))
            }
        }
    }

    fn path(&self, written: &str, place: Place) -> Result<PathBuf, Reported> {
        if written.is_empty() {
            return Err(self.report.at(Kind::Value, place, "the path is empty; name a file"));
        }
        Ok(self.directory.join(written))
    }

    /// Reports files that are read or written twice: a file has one reader, and one writer that knows how long it is.
    pub(super) fn check_files(&self) {
        let sources = self.spec.sources.0.iter();
        let read =
            sources.filter_map(|(name, source)| source.file.as_ref().map(|file| (name, &file.value.path, file.place)));
        self.check_pairs(read, |other| {
            format!("the source `{other}` reads this file already; let both readers use that one")
        });
        let sinks = self.spec.sinks.0.iter();
        let written = sinks.filter_map(|(name, sink)| sink.file.as_ref().map(|file| (name, &file.value, file.place)));
        self.check_pairs(written, |other| {
            format!(
                "the sink `{other}` writes this file already; write another one, or let that sink have both in `from`"
            )
        });
    }

    fn check_pairs<'f>(
        &self,
        files: impl Iterator<Item = (&'f Placed<String>, &'f String, Place)>,
        message: impl Fn(&str) -> String,
    ) {
        let mut seen: Vec<(PathBuf, &str)> = Vec::new();
        for (name, path, place) in files {
            let path = plain(&self.directory.join(path));
            match seen.iter().find(|(other, _)| *other == path) {
                Some((_, other)) => {
                    self.report.at(Kind::Reference, place, message(other));
                }
                None => seen.push((path, name.as_str())),
            }
        }
    }
}

/// What a file is called where topics are named.
fn pseudonym(path: &str) -> String {
    format!("file:{path}")
}
