//! `cargo xtask network`: what clusters of three processes do for clients in a second, beside etcd where it is
//! installed. The program `liferaft-network` is the load generator.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process::Program;
use crate::workspace::{Workspace, executables};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// What the load generator is told, as `--storage durable`; `--help` says what there is
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Enough for rounds of minutes.
const DEADLINE: Duration = Duration::from_secs(2 * 3600);

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    // In one build, whose programs share what both are made of.
    let built = executables(workspace.cargo().args(
        "build --release --locked --package liferaft-cli --package liferaft-network --message-format \
         json-render-diagnostics",
    ))?;
    let program = |name: &str| {
        let mut built = built.iter();
        let found = built.find(|path| path.file_stem() == Some(name.as_ref()));
        found.with_context(|| format!("cargo built no `{name}`"))
    };
    let mut measure = workspace
        .program(Program::new(program("liferaft-network")?))
        .arg("--liferaft")
        .arg(program("liferaft")?)
        .arg("--data")
        .arg(workspace.target.join("network"))
        .deadline(DEADLINE);
    for argument in &args.arguments {
        measure = measure.arg(argument);
    }
    measure.run()?;
    Ok(ExitCode::SUCCESS)
}
