//! The command `wasmill`.

use std::io::{self, BufReader, IsTerminal};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;
use tracing_subscriber::EnvFilter;
use wasmill::cli::signals::Signals;
use wasmill::cli::{check, consume, new, offsets, produce, run, test, topics, verify};
use wasmill::clock::now;
use wasmill::node::assembly::Unsupported;
use wasmill::pipeline;
use wasmill::plugin::PluginError;

/// The system's keeps memory apart by thread: rows that one thread writes and another frees take a third more of it.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Exit status for a pipeline or a plugin that can never work.
const NEVER: u8 = 78;

/// A stream processor whose operators are WebAssembly plugins
#[derive(Debug, Parser)]
#[command(name = "wasmill", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Validate(check::Validate),
    /// Print the JSON Schema of pipeline files
    Schema,
    New(new::Args),
    Build(check::Build),
    Test(test::Args),
    Inspect(check::Inspect),
    Topics(topics::Args),
    Produce(produce::Args),
    Consume(consume::Args),
    Offsets(offsets::Args),
    Verify(verify::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_env("WASMILL_LOG").unwrap_or_else(|_| EnvFilter::new("warn")))
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .init();
    match execute(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::from(status(&error))
        }
    }
}

fn execute(command: Command) -> Result<()> {
    match command {
        Command::Run(args) => run::run(&args, &Signals::listen()?),
        Command::Validate(args) => check::validate(&args),
        Command::Schema => check::schema(),
        Command::Inspect(args) => check::inspect(&args),
        Command::Build(args) => check::build(&args),
        Command::New(args) => new::run(&args, &mut io::stdout()),
        Command::Test(args) => test::run(&args, &mut io::stdout()),
        Command::Topics(args) => topics::run(args.log.existing()?.as_mut(), args.output, &mut io::stdout()),
        Command::Produce(args) => {
            let mut log = args.log.existing_or_new()?;
            produce::run(log.as_mut(), &args, BufReader::new(io::stdin()), now(), &mut io::stderr())
        }
        Command::Offsets(args) => offsets::run(&args, &mut io::stdout()),
        Command::Verify(args) => verify::run(&args, &Signals::listen()?, &mut io::stdout()),
        Command::Consume(args) => {
            let signals = Signals::listen()?;
            let mut log = args.log.existing()?;
            consume::run(log.as_mut(), &args, &mut io::stdout().lock(), &|| !signals.stop())
        }
    }
}

/// Tells an error. Those of pipeline files show their place, and so speak for themselves.
fn report(error: &anyhow::Error) {
    if let Some(errors) = error.downcast_ref::<pipeline::Errors>() {
        eprintln!("{errors}");
    } else {
        eprintln!("error: {error:#}");
    }
}

fn status(error: &anyhow::Error) -> u8 {
    let never = |cause: &(dyn std::error::Error + 'static)| {
        cause.is::<pipeline::Errors>() || cause.is::<PluginError>() || cause.is::<Unsupported>()
    };
    if error.chain().any(never) { NEVER } else { 1 }
}
