//! The examples in the documentation.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::copied::repeats;
use super::tests::note_ignored;
use super::{Checks, Stage};
use crate::workspace::{NATIVE, Workspace};

pub(super) const STAGE: Stage = Stage {
    name: "doctests",
    about: "the examples in the documentation run, and the README has one of them",
    budget: Duration::from_secs(60),
    run,
};

/// They are built as they run.
const DEADLINE: Duration = Duration::from_secs(15 * 60);

fn run(workspace: &Workspace, checks: &mut Checks) -> Result<()> {
    let read = |file| fs::read_to_string(workspace.root.join(file));
    ensure!(
        repeats(&read("README.md")?, &read("src/lib.rs")?),
        "the example in README.md is not that of src/lib.rs"
    );
    workspace
        .cargo()
        .args("test --doc")
        .args(NATIVE)
        .deadline(DEADLINE)
        .run_with_lines(|line| note_ignored(line, checks))
}
