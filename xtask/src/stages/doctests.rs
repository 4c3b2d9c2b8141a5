//! The examples in the documentation.

use std::time::Duration;

use anyhow::Result;

use super::tests::note_ignored;
use super::{Checks, Stage};
use crate::workspace::Workspace;

pub(super) const STAGE: Stage = Stage {
    name: "doctests",
    about: "the examples in the documentation run",
    run,
};

/// They are built as they run.
const DEADLINE: Duration = Duration::from_secs(15 * 60);

fn run(workspace: &Workspace, checks: &mut Checks) -> Result<()> {
    workspace
        .cargo()
        .args("test --workspace --doc --locked")
        .deadline(DEADLINE)
        .run_with_lines(|line| note_ignored(line, checks))
}
