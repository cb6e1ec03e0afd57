//! `wasmill validate`, `schema`, `inspect` and `build`: what needs no log.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::build as builder;
use crate::node::plugins::{Plugins, declarations};
use crate::pipeline::graph::Plugin;
use crate::pipeline::{self, Plan};

/// Check pipeline files, without a log
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  wasmill validate pipeline.yaml\n  wasmill validate examples/word-count --plugins")]
pub struct Validate {
    /// Pipeline files, or directories that hold a pipeline.yaml
    #[arg(required = true, value_name = "PIPELINE")]
    pub pipelines: Vec<PathBuf>,
    /// Also build and compile the plugins, and check the ports that they have
    #[arg(long)]
    pub plugins: bool,
}

/// Checks pipeline files, and says what is wrong with them.
pub fn validate(args: &Validate) -> Result<()> {
    for path in &args.pipelines {
        let graph = super::run::load(path)?;
        // Where nothing must be built, ports are checked anyway.
        if args.plugins || graph.operators().iter().all(|operator| matches!(operator.plugin, Plugin::BuiltIn(_))) {
            let placed = Plugins::transient()?.place(&graph)?;
            Plan::new(&graph, &declarations(&graph, &placed), pipeline::plan::DEFAULT_CLUSTER)?;
        }
        let (sources, operators, sinks) = (graph.sources().len(), graph.operators().len(), graph.sinks().len());
        let counts = [(sources, "source"), (operators, "operator"), (sinks, "sink")];
        let counts: Vec<_> =
            counts.iter().map(|(n, what)| format!("{n} {what}{}", if *n == 1 { "" } else { "s" })).collect();
        println!("{}: {} is valid: {}", graph.file().display(), graph.name(), counts.join(", "));
    }
    Ok(())
}

/// Prints the JSON Schema of pipeline files.
pub fn schema() -> Result<()> {
    let text = serde_json::to_string_pretty(&pipeline::schema())?;
    super::until_closed(writeln!(io::stdout(), "{text}"))?;
    Ok(())
}

/// Build the plugin in a source directory
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  wasmill build\n  wasmill build examples/word-count/split --out split.wasm")]
pub struct Build {
    /// The source directory
    #[arg(default_value = ".", value_name = "DIR")]
    pub directory: PathBuf,
    /// Where to copy the plugin to
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Builds a plugin, and says where it is.
pub fn build(args: &Build) -> Result<()> {
    let built = builder::build(&args.directory)?;
    let plugin = match &args.out {
        Some(out) => {
            fs::copy(&built, out).with_context(|| format!("cannot write {}", out.display()))?;
            out.clone()
        }
        None => built,
    };
    println!("{}", plugin.display());
    Ok(())
}

/// Show what a plugin is: its role, ports, states and imports
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  wasmill inspect split.wasm\n  wasmill inspect examples/word-count/count --output json"
)]
pub struct Inspect {
    /// A plugin, or a source directory, which is built first
    pub plugin: PathBuf,
    /// Settings to describe it with, as a JSON object
    #[arg(long, default_value = "{}", value_name = "JSON")]
    pub settings: String,
    /// How it is printed
    #[arg(long, default_value = "table", value_name = "FORMAT")]
    pub output: super::topics::Output,
}

/// Describes a plugin.
pub fn inspect(args: &Inspect) -> Result<()> {
    let described = Described::of(&args.plugin, &args.settings)?;
    let text = match args.output {
        super::topics::Output::Json => serde_json::to_string_pretty(&described)?,
        super::topics::Output::Table => described.to_string(),
    };
    super::until_closed(writeln!(io::stdout(), "{text}"))?;
    Ok(())
}

/// What a plugin says of itself, and what it is made of.
#[derive(Debug, serde::Serialize)]
struct Described {
    file: PathBuf,
    bytes: u64,
    digest: String,
    name: String,
    version: String,
    role: &'static str,
    inputs: Vec<String>,
    outputs: Vec<String>,
    states: Vec<String>,
    metrics: Vec<String>,
    imports: Vec<String>,
}

impl Described {
    fn of(path: &Path, settings: &str) -> Result<Self> {
        use wasmill_core::operator::{Role, StateKind};

        let file = if path.is_dir() { builder::build(path)? } else { path.to_path_buf() };
        let plugin = Plugins::transient()?.load(&file)?;
        let place = crate::plugin::Place {
            operator: "inspected".into(),
            settings: settings.into(),
            limits: crate::plugin::Limits::default(),
        };
        let placed = plugin.place(place)?;
        let declaration = placed.declaration();
        let state = |state: &wasmill_core::operator::StateDeclaration| {
            let kind = if state.kind == StateKind::Single { "single" } else { "ordered map" };
            let prefetched = if state.prefetch { ", prefetched" } else { "" };
            let ttl = state.ttl.map(|ttl| format!(", forgotten after {ttl} ms")).unwrap_or_default();
            format!("{} ({kind}{prefetched}{ttl}, encoding {})", state.name, state.encoding)
        };
        let output = |output: &wasmill_core::operator::OutputDeclaration| {
            format!("{}{}", output.name, if output.keeps_keys { " (keeps keys)" } else { "" })
        };
        Ok(Self {
            bytes: fs::metadata(&file).map(|metadata| metadata.len()).unwrap_or_default(),
            file,
            digest: format!("sha256:{}", plugin.digest()),
            name: declaration.name.clone(),
            version: declaration.version.clone(),
            role: match declaration.role {
                Role::Transform => "transform",
                Role::Process => "process",
            },
            inputs: declaration.inputs.clone(),
            outputs: declaration.outputs.iter().map(output).collect(),
            states: declaration.states.iter().map(state).collect(),
            metrics: declaration.metrics.iter().map(|metric| metric.name.clone()).collect(),
            imports: plugin.imports(),
        })
    }
}

impl std::fmt::Display for Described {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{} {}, a {} plugin", self.name, self.version, self.role)?;
        writeln!(f, "file      {} ({} bytes)", self.file.display(), self.bytes)?;
        writeln!(f, "digest    {}", self.digest)?;
        let lists = [
            ("inputs", &self.inputs),
            ("outputs", &self.outputs),
            ("states", &self.states),
            ("metrics", &self.metrics),
            ("imports", &self.imports),
        ];
        let shown: Vec<_> = lists
            .iter()
            .filter(|(_, list)| !list.is_empty())
            .map(|(name, list)| format!("{name:<9} {}", list.join(", ")))
            .collect();
        f.write_str(&shown.join("\n"))
    }
}
