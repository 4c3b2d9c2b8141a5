//! The examples: each comes to its end, and to a good one.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Checks, Stage};
use crate::workspace::Workspace;

pub(super) const STAGE: Stage = Stage {
    name: "examples",
    about: "each example runs to its end",
    run,
};

/// For one example, not counting the build.
const DEADLINE: Duration = Duration::from_secs(60);

fn run(workspace: &Workspace, _: &mut Checks) -> Result<()> {
    workspace
        .cargo()
        .args("build --workspace --examples --locked")
        .run()?;
    let mut ran = 0;
    for package in workspace.members() {
        for example in package.targets_of_kind("example") {
            workspace
                .cargo()
                .args("run --quiet --locked --package")
                .arg(&package.name)
                .arg("--example")
                .arg(&example.name)
                .deadline(DEADLINE)
                .run()?;
            ran += 1;
        }
    }
    ensure!(ran > 0, "there are no examples");
    Ok(())
}
