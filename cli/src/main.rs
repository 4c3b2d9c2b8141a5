//! The `liferaft` program: what can be done with a cluster from a command line.
//!
//! A command is a variant of [`Command`] and a module of its own.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::filter::LevelFilter;

mod demo;

/// A replicated key-value store that keeps working when the infrastructure does not
#[derive(Debug, Parser)]
#[command(name = "liferaft", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    /// What the members tell on standard error: off, error, warn, info, debug or trace
    #[arg(long, global = true, value_name = "LEVEL", default_value = "error")]
    log: LevelFilter,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Options),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_max_level(cli.log)
        .with_writer(std::io::stderr)
        .init();
    match &cli.command {
        Command::Demo(options) => demo::run(options),
    }
}
