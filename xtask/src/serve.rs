//! `cargo xtask serve`: makes the pages and the program with them in it, and starts that.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::web;
use crate::workspace::{self, Workspace};

/// Builds the program and says where it is.
const BUILD: &str = "build --release --package liferaft-cli --bin liferaft --locked \
    --message-format json-render-diagnostics";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// What `liferaft serve` is started with
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let made = web::make(&workspace, true)?;
    let build = workspace.cargo().args(BUILD);
    let program = workspace::executable(build.env("LIFERAFT_PAGES", made.site))?;
    // It has the terminal, by whose keys it is told what to do, and ends by Ctrl-C as we do.
    let status = Command::new(&program)
        .arg("serve")
        .args(&args.arguments)
        .status()
        .with_context(|| format!("starting {}", program.display()))?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
