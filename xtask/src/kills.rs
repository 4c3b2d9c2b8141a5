//! `cargo xtask kills`: a member's process is killed under load, again and again; each time all that it acknowledged
//! must be there. The test `kills` of the facade does it, fewer times; here it is built and run.

use std::path::{self, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;

use crate::process::Program;
use crate::workspace::{self, Workspace};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How often the process is killed
    #[arg(long, value_name = "N", default_value_t = 300)]
    cycles: u32,
    /// Repeats the moments of a run that printed this seed [default: another one each time]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Where the member keeps its folder [default: that of temporary files]
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
}

/// For each cycle, which takes a fraction of a second.
const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let mut program = program(&workspace, args.cycles, args.seed)?;
    if let Some(folder) = &args.folder {
        program = program.arg("--folder").arg(path::absolute(folder)?);
    }
    program.run()?;
    Ok(ExitCode::SUCCESS)
}

/// Builds the test and returns it, to be run for so many cycles.
pub(crate) fn program(workspace: &Workspace, cycles: u32, seed: Option<u64>) -> Result<Program> {
    const BUILD: &str = "test --package liferaft --test kills --no-run --locked \
                         --message-format json-render-diagnostics";
    let test = workspace::executable(workspace.cargo().args(BUILD))?;
    let mut program = workspace
        .program(Program::new(test))
        .deadline(DEADLINE * cycles.saturating_add(1))
        .arg("--cycles")
        .arg(cycles.to_string());
    if let Some(seed) = seed {
        program = program.arg("--seed").arg(seed.to_string());
    }
    Ok(program)
}
