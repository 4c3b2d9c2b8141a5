//! Formatting, by rustfmt.

use std::time::Duration;

use anyhow::Result;

use super::{Checks, Stage, toolchain};
use crate::process::Program;
use crate::workspace::Workspace;

pub(super) const STAGE: Stage = Stage {
    name: "format",
    about: "rustfmt would change nothing",
    budget: Duration::from_secs(5),
    run,
};

/// Sources that belong to no package of the workspace.
const OUTSIDE: &str = "tests/newcomer/src/lib.rs";

fn run(workspace: &Workspace, _: &mut Checks) -> Result<()> {
    toolchain::ensure_component("rustfmt", "fmt")?;
    workspace.cargo().args("fmt --all --check").run()?;
    let outside = Program::new("rustfmt")
        .args("--check --edition 2024")
        .args(OUTSIDE);
    workspace.program(outside).run()
}
