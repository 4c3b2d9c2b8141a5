//! `cargo xtask power-loss`: a member writes to a file system that is shut down under load, which loses what was not
//! synced. Then the file system is mounted again, and all that the member acknowledged must be there.
//!
//! The file systems are in files, mounted as loop devices. What they have handed to such a device is not lost, synced
//! or not: a sync that a file system forgets to hand on is not found here.

use std::process::ExitCode;

use anyhow::Result;

use crate::kills;
use crate::mounted::{Mounted, ensure_possible};
use crate::workspace::Workspace;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How often the power fails, on each file system
    #[arg(long, value_name = "N", default_value_t = 50)]
    cycles: u32,
    /// Repeats the moments of a run that printed this seed [default: another one each time]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// The file systems
    #[arg(long, value_name = "TYPE", default_values = ["ext4", "xfs"], value_parser = ["ext4", "xfs"])]
    on: Vec<String>,
}

/// XFS makes none that is smaller than 300 MB.
const IMAGE_BYTES: u64 = 512 << 20;

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    ensure_possible(&args.on, &["xfs_io"])?;
    let workspace = Workspace::load()?;
    for system in &args.on {
        let mounted = Mounted::new(&workspace.target.join("power-loss"), system, IMAGE_BYTES)?;
        let done = kills::program(&workspace, args.cycles, args.seed)?
            .arg("--folder")
            .arg(&mounted.point)
            .arg("--image")
            .arg(&mounted.image)
            .run();
        mounted.end(done)?;
        println!(
            "{system}: {} power losses, nothing acknowledged was lost",
            args.cycles
        );
    }
    Ok(ExitCode::SUCCESS)
}
