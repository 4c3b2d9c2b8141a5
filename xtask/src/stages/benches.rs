//! The benchmarks, each once and unmeasured: a benchmark that nobody runs rots.

use std::time::Duration;

use anyhow::Result;

use super::{Checks, Stage};
use crate::workspace::{NATIVE, Workspace};

pub(super) const STAGE: Stage = Stage {
    name: "benches",
    about: "each benchmark runs once, unmeasured",
    budget: Duration::from_secs(180),
    run,
};

/// Not counting the build.
const DEADLINE: Duration = Duration::from_secs(5 * 60);

fn run(workspace: &Workspace, _: &mut Checks) -> Result<()> {
    // Not `--benches`, which are the unit tests as well.
    let benches = || {
        let packages = workspace.members();
        let benches = packages.flat_map(|package| package.targets_of_kind("bench"));
        let cargo = workspace.cargo().args("test --quiet").args(NATIVE);
        benches.fold(cargo, |cargo, bench| cargo.arg("--bench").arg(&bench.name))
    };
    benches().arg("--no-run").run()?;
    benches().deadline(DEADLINE).run()
}
