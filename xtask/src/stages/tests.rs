//! The tests.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Checks, Stage};
use crate::workspace::{NATIVE, Workspace};

pub(super) const STAGE: Stage = Stage {
    name: "tests",
    about: "unit and integration tests",
    budget: Duration::from_secs(700),
    run,
};

/// Names the folder with another implementation's cases.
const CONFORMANCE: &str = "LIFERAFT_CONFORMANCE";
/// Names the program of coturn.
const TURN_SERVER: &str = "LIFERAFT_TURNSERVER";
/// Not counting the build.
const DEADLINE: Duration = Duration::from_secs(10 * 60);

fn run(workspace: &Workspace, checks: &mut Checks) -> Result<()> {
    let targets = || {
        workspace
            .cargo()
            .args("test --lib --bins --tests")
            .args(NATIVE)
    };
    targets().arg("--no-run").run()?;
    let mut tests = targets().deadline(DEADLINE);
    match std::env::var_os(CONFORMANCE) {
        Some(folder) => tests = tests.env(CONFORMANCE, absolute(folder.as_ref())?),
        None => checks.skip_part(format!("{CONFORMANCE} is not set: no cases of another's")),
    }
    if let Some(turn_server) = turn_server(workspace, checks)? {
        tests = tests.env(TURN_SERVER, turn_server);
    }
    // Routers that translate addresses are made of it. What the tests miss, they say themselves.
    workspace.set_up("setup-nftables.sh")?;
    tests.run_with_lines(|line| {
        note_ignored(line, checks);
        note_skipped(line, checks);
    })
}

/// Returns the coturn that the tests of STUN and TURN start, if there is one.
fn turn_server(workspace: &Workspace, checks: &mut Checks) -> Result<Option<String>> {
    let found = workspace.set_up("setup-coturn.sh")?;
    let found = found.value("TURNSERVER")?;
    if found.is_empty() {
        checks.skip_part("coturn is not installed: nothing is asked of a server of STUN and TURN");
        return Ok(None);
    }
    Ok(Some(found.to_owned()))
}

/// Tests run in the folder of their package, where a relative path would name another place.
fn absolute(folder: &Path) -> Result<PathBuf> {
    folder
        .canonicalize()
        .with_context(|| format!("{CONFORMANCE} names no folder: {}", folder.display()))
}

/// Counts an ignored test as skipped: `test NAME ... ignored, REASON`.
pub(super) fn note_ignored(line: &str, checks: &mut Checks) {
    let Some((name, reason)) = line
        .strip_prefix("test ")
        .and_then(|line| line.split_once(" ... ignored"))
    else {
        return;
    };
    checks.skip_part(format!("{name} is ignored{reason}"));
}

/// Counts what a program among the tests says that it left out: `skipped: WHAT AND WHY`.
fn note_skipped(line: &str, checks: &mut Checks) {
    if let Some(skipped) = line.strip_prefix("skipped: ") {
        checks.skip_part(skipped);
    }
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn an_ignored_test_is_a_skip_with_its_reason() {
        let mut checks = Checks::default();

        note_ignored("test a::b ... ignored, too slow", &mut checks);
        note_ignored("test a::c ... ok", &mut checks);

        assert_eq!(checks.skips, ["a::b is ignored, too slow"]);
    }
}
