//! The benchmarks, each once and unmeasured: a benchmark that nobody runs rots.

use std::time::Duration;

use anyhow::Result;

use super::{Checks, Stage};
use crate::workspace::Workspace;

pub(super) const STAGE: Stage = Stage {
    name: "benches",
    about: "each benchmark runs once, unmeasured",
    budget: Duration::from_secs(180),
    run,
};

/// Not counting the build.
const DEADLINE: Duration = Duration::from_secs(5 * 60);

fn run(workspace: &Workspace, _: &mut Checks) -> Result<()> {
    workspace
        .cargo()
        .args("test --workspace --exclude liferaft-network --benches --no-run --locked")
        .run()?;
    for package in workspace.members() {
        for bench in package.targets_of_kind("bench") {
            workspace
                .cargo()
                .args("test --quiet --locked --package")
                .arg(&package.name)
                .arg("--bench")
                .arg(&bench.name)
                .arg("--features")
                .arg(bench.required_features.join(","))
                .deadline(DEADLINE)
                .run()?;
        }
    }
    Ok(())
}
