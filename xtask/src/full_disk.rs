//! `cargo xtask full-disk`: a member writes to a small file system that another file fills. For want of room for its
//! log it must refuse commands and hand leadership over, then stop, and once there is room again go on with all that
//! was acknowledged. For want of room for a snapshot it must not stop.
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

/// Both stories together may take as long as so many kills.
const CYCLES_LONG: u32 = 3;

pub(crate) fn run(_: &Args) -> Result<ExitCode> {
    ensure_possible(&[SYSTEM.to_owned()], &[])?;
    let workspace = Workspace::load()?;
    let mounted = Mounted::new(&workspace.target.join("full-disk"), SYSTEM, IMAGE_BYTES)?;
    let done = kills::program(&workspace, CYCLES_LONG, None)?
        .arg("--full-disk")
        .arg(&mounted.point)
        .run();
    mounted.end(done)?;
    Ok(ExitCode::SUCCESS)
}
