//! `cargo xtask full-disk`: a member writes to a small file system that another file fills. It must refuse commands and
//! hand leadership over, then stop, and once there is room again go on with all that was acknowledged.
//!
//! The test program `kills` of the facade has the members; here their file system is made.

use std::process::ExitCode;

use anyhow::Result;

use crate::kills;
use crate::mounted::{Mounted, ensure_possible};
use crate::workspace::Workspace;

#[derive(clap::Args)]
pub(crate) struct Args {}

const SYSTEM: &str = "ext4";

/// Small, so that it is soon full.
const IMAGE_BYTES: u64 = 64 << 20;

pub(crate) fn run(_: &Args) -> Result<ExitCode> {
    ensure_possible(&[SYSTEM.to_owned()], &[])?;
    let workspace = Workspace::load()?;
    let mounted = Mounted::new(&workspace.target.join("full-disk"), SYSTEM, IMAGE_BYTES)?;
    let done = kills::program(&workspace, 1, None)?
        .arg("--full-disk")
        .arg(&mounted.point)
        .run();
    mounted.end(done)?;
    Ok(ExitCode::SUCCESS)
}
