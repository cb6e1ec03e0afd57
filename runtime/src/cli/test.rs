//! `wasmill test`: runs the cases of an operator in the real host.

mod case;
mod host;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use self::case::Case;
use self::host::Host;
use crate::node::plugins::Plugins;
use crate::plugin::{Limits, Place, Plugin};

/// Run an operator's cases, cases/*.jsonl, in the real host
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    wasmill test\n  \
    wasmill test shout\n\n\
    Lines of a case:\n  \
    {\"settings\": {…}}\n  \
    {\"send\": {\"key\": \"k\", \"value\": \"hello\", \"timestamp\": 1000}}\n  \
    {\"watermark\": 2000}\n  \
    {\"processing-time\": 2000}\n  \
    {\"expect\": {\"output\": \"main\", \"key\": \"k\", \"value\": \"HELLO\"}}\n  \
    {\"expect-failure\": \"part of the reason\"}")]
pub struct Args {
    /// The operator's source directory
    #[arg(default_value = ".", value_name = "DIR")]
    pub directory: PathBuf,
}

/// Builds the operator, runs its cases, and says which of them differ.
pub fn run(args: &Args, to: &mut impl Write) -> Result<()> {
    let cases = cases(&args.directory.join("cases"))?;
    let plugin = Plugins::transient()?.load(&args.directory)?;
    let mut failed = 0;
    for (name, path) in &cases {
        match try_case(&plugin, path)? {
            None => super::until_closed(writeln!(to, "case {name} ... ok"))?,
            Some(difference) => {
                failed += 1;
                super::until_closed(writeln!(to, "case {name} ... FAILED\n  {}{difference}", path.display()))?;
            }
        }
    }
    super::until_closed(writeln!(to, "{} passed, {failed} failed", cases.len() - failed))?;
    match failed {
        0 => Ok(()),
        1 => bail!("a case differs"),
        _ => bail!("{failed} cases differ"),
    }
}

/// The cases of a directory with their names, in order.
fn cases(directory: &Path) -> Result<Vec<(String, PathBuf)>> {
    let none = || format!("{} has no cases: put lines of JSON into a file NAME.jsonl there", directory.display());
    let mut cases = Vec::new();
    for entry in fs::read_dir(directory).with_context(none)? {
        let path = entry?.path();
        if let (Some(name), Some("jsonl")) = (path.file_stem(), path.extension().and_then(|e| e.to_str())) {
            cases.push((name.to_string_lossy().into_owned(), path));
        }
    }
    if cases.is_empty() {
        bail!(none());
    }
    cases.sort();
    Ok(cases)
}

/// Runs one case. Answers what differs, with its line.
fn try_case(plugin: &Plugin, path: &Path) -> Result<Option<String>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let case = match Case::parse(&text) {
        Ok(case) => case,
        Err(reason) => return Ok(Some(reason)),
    };
    let place =
        Place { operator: "operator".into(), settings: case.settings.as_str().into(), limits: Limits::default() };
    let mut host = Host::new(&plugin.place(place)?)?;
    let mut last = 0;
    for (line, step) in &case.steps {
        if !step.expects()
            && let Some(more) = host.unexpected()
        {
            return Ok(Some(format!(":{last}: behind this line there is more: {more}")));
        }
        match host.step(step)? {
            Some(difference) => return Ok(Some(format!(":{line}: {difference}"))),
            None => last = step.end(*line),
        }
    }
    Ok(host.unexpected().map(|more| format!(":{last}: behind this line there is more: {more}")))
}
