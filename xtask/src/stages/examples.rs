//! The examples: each comes to its end, and to a good one; the one on disk also after it was killed.

mod durable;

use std::fs;
use std::io::ErrorKind;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Checks, Stage};
use crate::process::Program;
use crate::workspace::{NATIVE, Target, Workspace};

pub(super) const STAGE: Stage = Stage {
    name: "examples",
    about: "each example runs to its end, the one on disk also after a SIGKILL",
    budget: Duration::from_secs(40),
    run,
};

/// For one example.
const DEADLINE: Duration = Duration::from_secs(60);

fn run(workspace: &Workspace, _: &mut Checks) -> Result<()> {
    workspace
        .cargo()
        .args("build --examples")
        .args(NATIVE)
        .run()?;
    // Whatever an example keeps begins empty each time.
    let kept = workspace.target.join("examples-kept");
    match fs::remove_dir_all(&kept) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => fs::create_dir_all(&kept)?,
    }
    let built = workspace.target.join("debug/examples");
    let mut ran = 0;
    for package in workspace.members() {
        // One that is a module for pages is run by the stage `browser`.
        let is_program = |example: &&Target| example.crate_types.iter().any(|own| own == "bin");
        for example in package.targets_of_kind("example").filter(is_program) {
            // Not `cargo run`, which builds again for this package's features alone.
            let program = Program::new(built.join(&example.name)).env("TMPDIR", &kept);
            workspace.program(program).deadline(DEADLINE).run()?;
            ran += 1;
        }
    }
    ensure!(ran > 0, "there are no examples");
    durable::run(&built.join("durable"), &kept.join("log-book"))
}
