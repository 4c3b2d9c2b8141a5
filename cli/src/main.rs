//! The `liferaft` program: what can be done with a cluster from a command line.
//!
//! A command is a variant of [`Command`] and a module of its own.

#![warn(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "they panic when whoever reads is gone"
)]

use std::fmt;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use tracing_subscriber::filter::LevelFilter;

mod backup;
mod child;
mod client;
mod cluster;
mod code;
mod demo;
mod failure;
mod files;
mod init;
mod inspect;
mod keys;
mod kv;
mod leave;
mod member;
mod members;
mod node;
mod rebuild;
mod recover;
mod runtime;
mod scratch;
mod serve;
mod site;
mod status;
mod variables;

/// A replicated key-value store that keeps working when the infrastructure does not
#[derive(Debug, Parser)]
#[command(name = "liferaft", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    /// What is told on standard error: off, error, warn, info, debug or trace [default: warn for a member that is run
    /// until it is stopped, and error otherwise]
    #[arg(long, global = true, value_name = "LEVEL", env = "LIFERAFT_LOG")]
    log: Option<LevelFilter>,
}

impl Cli {
    /// Returns what is told on standard error: of a member also what it tries in vain, as nothing else says so.
    fn log(&self) -> LevelFilter {
        let default = match self.command {
            Command::Init(_) | Command::Leave(_) | Command::Node(_) => LevelFilter::WARN,
            _ => LevelFilter::ERROR,
        };
        self.log.unwrap_or(default)
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    Backup(backup::Options),
    Cluster(cluster::Options),
    Demo(demo::Options),
    /// Run a member of a demo, for the demo
    #[command(hide = true)]
    DemoMember,
    Init(init::Options),
    Inspect(inspect::Options),
    Kv(kv::Options),
    Leave(leave::Options),
    Members(members::Options),
    Node(node::Options),
    Rebuild(rebuild::Options),
    Recover(recover::Options),
    Serve(serve::Options),
    Status(status::Options),
}

fn main() -> ExitCode {
    let mut command = variables::with_variables(Cli::command());
    let matches = command.get_matches_mut();
    let cli =
        Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut command).exit());
    tracing_subscriber::fmt()
        .with_max_level(cli.log())
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        // They would go to standard error as well, and panic.
        .log_internal_errors(false)
        .init();
    match &cli.command {
        Command::Backup(options) => backup::run(options),
        Command::Cluster(options) => cluster::run(options),
        Command::Demo(options) => demo::run(options),
        Command::DemoMember => demo::run_member(),
        Command::Init(options) => init::run(options),
        Command::Inspect(options) => inspect::run(options),
        Command::Kv(options) => kv::run(options),
        Command::Leave(options) => leave::run(options),
        Command::Members(options) => members::run(options),
        Command::Node(options) => node::run(options),
        Command::Rebuild(options) => rebuild::run(options),
        Command::Recover(options) => recover::run(options),
        Command::Serve(options) => serve::run(options),
        Command::Status(options) => status::run(options),
    }
}

/// Writes a line on standard error. It is lost where nobody reads it any more, which is no reason to end.
fn tell_error(line: impl fmt::Display) {
    let _unread = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Prints what was asked for.
fn print(text: &str) -> anyhow::Result<()> {
    std::io::stdout()
        .write_all(text.as_bytes())
        .context("cannot write the report")
}
