//! Lints: those of `[workspace.lints]` and, through clippy, the declared minimum Rust version.

use std::time::Duration;

use anyhow::Result;

use super::{Checks, Stage, toolchain};
use crate::workspace::{NATIVE, Workspace};

pub(super) const STAGE: Stage = Stage {
    name: "clippy",
    about: "no lint complains, in any target",
    budget: Duration::from_secs(150),
    run,
};

fn run(workspace: &Workspace, _: &mut Checks) -> Result<()> {
    toolchain::ensure_component("clippy", "clippy")?;
    workspace
        .cargo()
        .args("clippy --workspace --all-targets --locked -- -D warnings")
        .run()?;
    // What only a feature brings: figures for operators, QR codes, WebSocket, and bugs for the simulator to find.
    workspace
        .cargo()
        .args("clippy --all-targets --features liferaft-sim/planted-bugs")
        .args(NATIVE)
        .args("-- -D warnings")
        .run()
}
