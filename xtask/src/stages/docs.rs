//! The documentation.

use std::time::Duration;

use anyhow::Result;

use super::{Checks, Stage};
use crate::workspace::Workspace;

pub(super) const STAGE: Stage = Stage {
    name: "docs",
    about: "the documentation builds without a warning",
    budget: Duration::from_secs(60),
    run,
};

fn run(workspace: &Workspace, _: &mut Checks) -> Result<()> {
    workspace
        .cargo()
        .args("doc --workspace --no-deps --locked --features liferaft-transport/webrtc,liferaft-transport/websocket")
        .env("RUSTDOCFLAGS", "-D warnings")
        .run()
}
