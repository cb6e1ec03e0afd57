//! From a spec to a graph.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    EventTime, Graph, Limits, Operator, Output, Plugin, Retry, Sink, Source,
    order::order,
    resolve::{Names, all},
};
use crate::builtin::BuiltIn;
use crate::pipeline::{
    error::{Document, Kind, Place, Report, Reported, Warning},
    name,
    placed::Placed,
    settings::Settings,
    spec::{self, Code, Spec},
};

/// The version of the format that is read.
const FORMAT_VERSION: u32 = 1;

/// The longest time between two commits that leaves room within Kafka's transaction timeout.
const LONGEST_INTERVAL: Duration = Duration::from_secs(30);

/// What one instance's memory may be: a page of WebAssembly, and all that 32 bits address.
const MEMORY: std::ops::RangeInclusive<u64> = 65_536..=1 << 32;

impl Graph {
    /// Makes a graph of `spec`, which was read from `document`.
    pub(in crate::pipeline) fn new(spec: &Spec, document: Document, report: &Report) -> Result<Self, Reported> {
        let directory = document.file.parent().unwrap_or(Path::new("")).to_path_buf();
        let builder = Builder { spec, directory, report, names: Names::new(spec, report) };
        builder.check_head();
        let commit_interval = builder.commit_interval();
        let sources = all(spec.sources.iter().map(|(name, source)| builder.source(name, source)));
        let operators = all(spec.operators.iter().map(|(name, operator)| builder.operator(name, operator)));
        let sinks = all(spec.sinks.iter().map(|(name, sink)| builder.sink(name, sink)));
        let dead_letters = builder.dead_letters();
        builder.check_topics();
        builder.check_files();
        let (sources, operators, sinks) = (sources?, operators?, sinks?);
        let (operators, sinks) = builder.sort(operators, sinks)?;
        let mut graph = Self {
            document,
            name: spec.name.clone(),
            guarantee: spec.guarantee,
            commit_interval: commit_interval?,
            sources,
            operators,
            sinks,
            dead_letters: dead_letters?,
            warnings: Vec::new(),
        };
        graph.warnings = warnings(&graph);
        Ok(graph)
    }
}

pub(super) struct Builder<'s> {
    pub(super) spec: &'s Spec,
    pub(super) directory: PathBuf,
    pub(super) report: &'s Report,
    names: Names<'s>,
}

impl Builder<'_> {
    fn check_head(&self) {
        let version = &self.spec.format_version;
        if version.value != FORMAT_VERSION {
            let message = format!("format version {} is not known; this version reads {FORMAT_VERSION}", version.value);
            self.report.at(Kind::Unsupported, version.place, message);
        }
        if let Err(message) = name::check(&self.spec.name) {
            self.report.at(Kind::Value, self.spec.name.place, message);
        }
        if self.spec.sources.0.is_empty() {
            self.report.push(Kind::Key, None, "the pipeline has no sources; give it at least one below `sources`");
        }
        if self.spec.sinks.0.is_empty() && self.spec.operators.0.is_empty() {
            self.report.push(Kind::Key, None, "the pipeline has no sinks; give it at least one below `sinks`");
        }
    }

    fn commit_interval(&self) -> Result<Duration, Reported> {
        let Some(commit) = self.spec.commit else { return Ok(Duration::from_millis(100)) };
        let interval = Duration::from(commit.interval.value);
        if interval.is_zero() || interval > LONGEST_INTERVAL {
            let message = format!("the interval between commits is from 1ms to {}s", LONGEST_INTERVAL.as_secs());
            return Err(self.report.at(Kind::Value, commit.interval.place, message));
        }
        Ok(interval)
    }

    fn source(&self, name: &Placed<String>, source: &spec::Source) -> Result<Source, Reported> {
        if let Some(file) = &source.file {
            return self.file_source(name, source, file);
        }
        let topics = match (&source.topic, &source.topics) {
            (Some(topic), None) => std::slice::from_ref(topic),
            (None, Some(topics)) if !topics.is_empty() => topics,
            (None, Some(topics)) => {
                return Err(self.report.at(Kind::Value, topics.place, "the list is empty; name the topics to read"));
            }
            (Some(_), Some(topics)) => {
                let message = "`topic` and `topics` exclude each other; put all of them into `topics`";
                return Err(self.report.at(Kind::Key, topics.place, message));
            }
            (None, None) => {
                let message = format!("`{}` needs the key `topic`, `topics` with a list, or `file`", name.value);
                return Err(self.report.at(Kind::Key, name.place, message));
            }
        };
        let time = self.time(&source.time)?;
        Ok(Source {
            name: name.value.clone(),
            place: name.place,
            topics: topics.iter().map(|topic| topic.value.clone()).collect(),
            file: None,
            format: source.format,
            start: source.start,
            time,
            sample: source.sample.as_ref().map(|sample| self.directory.join(sample)),
            create: source.create,
        })
    }

    pub(super) fn time(&self, time: &spec::Time) -> Result<EventTime, Reported> {
        if let (Some(format), None) = (&time.format, &time.field) {
            let message = "`format` says how `field` is written; give `field` too, or remove it";
            return Err(self.report.at(Kind::Key, format.place, message));
        }
        Ok(EventTime {
            field: time.field.clone().map(|field| (field, time.format.map(|f| f.value).unwrap_or_default())),
            out_of_order: time.out_of_order.into(),
            idle_after: time.idle_after.into(),
        })
    }

    fn operator(&self, name: &Placed<String>, operator: &spec::Operator) -> Result<Operator, Reported> {
        let spec::Operator { code, shared } = operator;
        let inputs = self.names.inputs(&shared.from, name.place);
        let (plugin, plugin_place, settings, retry, limits) = match code {
            Code::Plugin(of) => {
                let plugin = self.plugin(&of.plugin);
                (plugin, of.plugin.place, of.settings.clone(), of.retry, self.limits(of.limits.as_ref()))
            }
            Code::Use(built_in) => {
                let place = shared.built_in.as_ref().map_or(name.place, |named| named.place);
                let plugin = self.built_in(built_in, place);
                (plugin, place, Settings::default(), spec::Retry::default(), self.limits(None))
            }
        };
        Ok(Operator {
            name: name.value.clone(),
            place: name.place,
            plugin: plugin?,
            plugin_place,
            inputs: inputs?,
            settings,
            key: shared.key.clone(),
            on_error: shared.on_error,
            retry: Retry { attempts: retry.attempts.get(), backoff: retry.backoff.into() },
            limits: limits?,
            repartition: shared.repartition.map(|r| Placed { value: r.partitions.get(), place: r.place }),
        })
    }

    fn built_in(&self, built_in: &BuiltIn, place: Place) -> Result<Plugin, Reported> {
        match built_in.check() {
            Ok(()) => Ok(Plugin::BuiltIn(built_in.clone())),
            Err((at, message)) => Err(self.report.at(Kind::Value, at.unwrap_or(place), message)),
        }
    }

    fn plugin(&self, written: &Placed<String>) -> Result<Plugin, Reported> {
        let Some(digest) = written.strip_prefix("sha256:") else {
            return match written.as_str() {
                "" => Err(self.report.at(Kind::Value, written.place, "`plugin` is empty; name a file or a directory")),
                path => Ok(Plugin::Path(self.directory.join(path))),
            };
        };
        let digest = digest.to_ascii_lowercase();
        if digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Ok(Plugin::Digest(digest));
        }
        let message = "a digest is `sha256:` and 64 hexadecimal digits";
        Err(self.report.at(Kind::Value, written.place, message))
    }

    fn limits(&self, written: Option<&Placed<spec::Limits>>) -> Result<Limits, Reported> {
        let limits = written.map(|limits| limits.value).unwrap_or_default();
        let place = written.map(|limits| limits.place);
        let fail = |message: &str| Err(self.report.push(Kind::Value, place, message));
        if !MEMORY.contains(&limits.memory.bytes()) {
            return fail("`memory` is from 64KiB to 4GiB");
        }
        let (deadline, open_deadline) = (limits.deadline.into(), limits.open_deadline.into());
        if Duration::is_zero(&deadline) || Duration::is_zero(&open_deadline) {
            return fail("a deadline of nothing lets no call end; give it at least 1ms");
        }
        if limits.output.bytes() == 0 {
            return fail("an `output` of nothing lets no call emit; give it at least 1B");
        }
        Ok(Limits {
            memory: limits.memory.bytes(),
            growth: limits.growth.bytes(),
            deadline,
            open_deadline,
            output: limits.output.bytes(),
            table_elements: limits.table_elements.get(),
            log_lines: limits.log_lines.get(),
        })
    }

    fn sink(&self, name: &Placed<String>, sink: &spec::Sink) -> Result<Sink, Reported> {
        let (topic, file) = self.target(name, sink)?;
        Ok(Sink {
            name: name.value.clone(),
            place: name.place,
            topic,
            file,
            from: self.names.from(&sink.from)?,
            format: sink.format,
            create: sink.create,
        })
    }

    fn dead_letters(&self) -> Result<String, Reported> {
        match &self.spec.dead_letters {
            None => Ok(format!("{}.dead-letters", self.spec.name.value)),
            Some(topic) => self.topic(topic).map(|()| topic.value.clone()),
        }
    }

    fn topic(&self, topic: &Placed<String>) -> Result<(), Reported> {
        name::check_topic(topic).map_err(|message| self.report.at(Kind::Value, topic.place, message))
    }

    /// Reports topics that cannot be, and those that are read twice: a partition has one reader in a consumer group.
    fn check_topics(&self) {
        let mut read: Vec<(&Placed<String>, &str)> = Vec::new();
        for (name, source) in &self.spec.sources {
            let topics = source.topics.iter().flat_map(|topics| &topics.value);
            for topic in source.topic.iter().chain(topics) {
                if self.topic(topic).is_err() {
                    continue;
                }
                match read.iter().find(|(other, _)| other.value == topic.value) {
                    Some((_, other)) => {
                        let message =
                            format!("the source `{other}` reads this topic already; let both readers use that one");
                        self.report.at(Kind::Reference, topic.place, message);
                    }
                    None => read.push((topic, name.as_str())),
                }
            }
        }
        for (_, sink) in &self.spec.sinks {
            // What is wrong is in the report.
            let _ = sink.topic.as_ref().map(|topic| self.topic(topic));
        }
    }

    /// Puts operators behind what they read, and numbers what is read anew.
    fn sort(&self, operators: Vec<Operator>, mut sinks: Vec<Sink>) -> Result<(Vec<Operator>, Vec<Sink>), Reported> {
        let reads: Vec<Vec<usize>> =
            operators.iter().map(|operator| reads(operator).map(|(n, _)| n).collect()).collect();
        let order = order(&reads).map_err(|cycle| self.cycle(&cycle, &operators))?;
        let mut position = vec![0; order.len()];
        for (at, &old) in order.iter().enumerate() {
            position[old] = at;
        }
        let mut operators: Vec<(usize, Operator)> = position.iter().copied().zip(operators).collect();
        operators.sort_by_key(|(at, _)| *at);
        let mut operators: Vec<Operator> = operators.into_iter().map(|(_, operator)| operator).collect();
        let inputs = operators.iter_mut().flat_map(|operator| &mut operator.inputs).flat_map(|input| &mut input.from);
        for upstream in inputs.chain(sinks.iter_mut().flat_map(|sink| &mut sink.from)) {
            if let Output::Operator { index, .. } = &mut upstream.output {
                *index = position[*index];
            }
        }
        Ok((operators, sinks))
    }

    fn cycle(&self, cycle: &[usize], operators: &[Operator]) -> Reported {
        let names: Vec<&str> = cycle.iter().chain(cycle.first()).map(|&n| operators[n].name.as_str()).collect();
        let way = names.join(" -> ");
        let place = match cycle {
            [first, .., last] => reads(&operators[*first]).find(|(n, _)| n == last),
            [only] => reads(&operators[*only]).find(|(n, _)| n == only),
            [] => None,
        };
        let message = format!("operators read each other in a cycle: {way}; read something else in one of them");
        self.report.push(Kind::Reference, place.map(|(_, place)| place), message)
    }
}

/// The operators that `operator` reads, and where it names them.
fn reads(operator: &Operator) -> impl Iterator<Item = (usize, Place)> {
    operator.inputs.iter().flat_map(|input| &input.from).filter_map(|upstream| match upstream.output {
        Output::Operator { index, .. } => Some((index, upstream.place)),
        Output::Source(_) => None,
    })
}

fn warnings(graph: &Graph) -> Vec<Warning> {
    let warn = |place, message| graph.document.warning(Kind::Reference, place, message);
    let of_operators = graph.operators.iter().flat_map(|operator| &operator.inputs).flat_map(|input| &input.from);
    let of_sinks = graph.sinks.iter().flat_map(|sink| &sink.from);
    let (mut read_sources, mut read_operators) = (HashSet::new(), HashSet::new());
    for upstream in of_operators.chain(of_sinks) {
        match upstream.output {
            Output::Source(index) => read_sources.insert(index),
            Output::Operator { index, .. } => read_operators.insert(index),
        };
    }
    let mut warnings = Vec::new();
    for (index, source) in graph.sources.iter().enumerate() {
        if !read_sources.contains(&index) {
            warnings.push(warn(source.place, format!("nothing reads the source `{}`; it is left out", source.name)));
        }
    }
    for (at, operator) in graph.operators.iter().enumerate() {
        if !read_operators.contains(&at) {
            let name = &operator.name;
            warnings
                .push(warn(operator.place, format!("nothing reads the operator `{name}`; what it emits is dropped")));
        }
    }
    for sink in &graph.sinks {
        if let Some(source) = graph.sources.iter().find(|source| source.topics.contains(&sink.topic)) {
            let what = if sink.file.is_some() { "file" } else { "topic" };
            let message = format!(
                "the sink `{}` writes the {what} that the source `{}` reads; records may go round for ever",
                sink.name, source.name
            );
            warnings.push(warn(sink.place, message));
        }
    }
    warnings.sort_by_key(|warning| warning.0.place);
    warnings
}
