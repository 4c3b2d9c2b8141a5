//! The simulator: seeds that once found a bug, and the first of all seeds.
//!
//! The same seeds each time, so that what fails is what changed. Others are for `cargo xtask sim --from`.

use std::time::Duration;

use anyhow::Result;

use super::{Checks, Stage};
use crate::process::Program;
use crate::sim;
use crate::workspace::Workspace;

pub(super) const STAGE: Stage = Stage {
    name: "sim",
    about: "simulated clusters: seeds that found bugs, and the first two thousand",
    run,
};

const REGRESSIONS: &str = "sim/regressions.txt";
/// As many as make a batch that must have seen every fault and situation.
const SEEDS: u64 = 2000;
/// For each of the two, not counting the build.
const DEADLINE: Duration = Duration::from_secs(10 * 60);

fn run(workspace: &Workspace, _: &mut Checks) -> Result<()> {
    let simulator = sim::build(workspace, false)?;
    let simulator = || {
        workspace
            .program(Program::new(&simulator))
            .deadline(DEADLINE)
    };
    simulator().arg("--list").arg(REGRESSIONS).run()?;
    simulator().args(&format!("--from 1 --seeds {SEEDS}")).run()
}
