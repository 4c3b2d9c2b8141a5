//! `cargo xtask soak`: members as processes are killed and paused while clients write and read, for as long as one
//! likes. The test `soak` of the program does it, for 20 seconds.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;

use crate::workspace::Workspace;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long the members are hurt
    #[arg(long, value_name = "N", default_value_t = 600)]
    seconds: u64,
}

/// What building, starting, ending and judging take.
const MARGIN: Duration = Duration::from_secs(1800);

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    Workspace::load()?
        .cargo()
        .args("test --quiet --package liferaft-cli --test soak --locked -- --nocapture")
        .deadline(MARGIN + Duration::from_secs(args.seconds))
        .env("LIFERAFT_SOAK_SECONDS", args.seconds.to_string())
        .run()?;
    Ok(ExitCode::SUCCESS)
}
