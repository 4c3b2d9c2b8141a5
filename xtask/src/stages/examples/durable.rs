//! The log book of `examples/durable.rs`: founded once, written to, killed and started again.

use std::path::Path;

use anyhow::{Result, ensure};

use super::DEADLINE;
use crate::process::{Finished, Program};

/// Two lines are written to a log book in this folder, and are there after its program was killed.
pub(super) fn run(program: &Path, folder: &Path) -> Result<()> {
    let command = |command| {
        Program::new(program)
            .arg(command)
            .arg(folder)
            .deadline(DEADLINE)
    };
    let told = |command: Program, succeeds: bool, text: &str| -> Result<()> {
        let Finished { success, output } = command.attempt()?;
        ensure!(
            success == succeeds && output.contains(text),
            "the log book says {output:?}, and is to say {text:?}"
        );
        Ok(())
    };
    // It leaves what a founding leaves that was interrupted: a store that belongs to no cluster.
    told(command("run"), false, "no log book was founded in")?;
    told(command("found"), true, "founded cluster")?;
    told(command("found"), false, "belongs to cluster")?;
    command("run").kill_at("first\nsecond\n", "line 1 is durable")?;
    told(command("run"), true, "   0  first\n   1  second\n")
}
