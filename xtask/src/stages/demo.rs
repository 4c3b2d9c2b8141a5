//! The demo, as the README has it, and what it prints for programs.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value};

use super::{Checks, Stage};
use crate::workspace::Workspace;

pub(super) const STAGE: Stage = Stage {
    name: "demo",
    about: "`cargo liferaft demo` verifies itself and says so in JSON, in one process and in five, over each transport",
    budget: Duration::from_secs(240),
    run,
};

/// The members of each run of the demo, and the flags that say how they are run.
const RUNS: [(u64, &str); 5] = [
    (5, ""),
    (5, "--transport websocket"),
    (5, "--processes"),
    (5, "--processes --transport webrtc"),
    (41, "--transport webrtc --lab"),
];
/// Not counting the build.
const DEADLINE: Duration = Duration::from_secs(60);
/// Counts, in the demo's object.
const COUNTS: [&str; 5] = ["nodes", "lines", "lost", "duplicated", "evict_after_ms"];
/// Times in milliseconds, in the demo's object.
pub(crate) const TIMES: [&str; 7] = [
    "up_ms",
    "propagate_1_ms",
    "propagate_100_ms",
    "elect_after_leader_ms",
    "elect_after_half_ms",
    "recover_leader_ms",
    "recover_half_ms",
];

fn run(workspace: &Workspace, _: &mut Checks) -> Result<()> {
    workspace
        .cargo()
        .args("build --release --package liferaft-cli --bin liferaft --locked")
        .run()?;
    for (nodes, way) in RUNS {
        let mut json = String::new();
        workspace
            .cargo()
            .args("liferaft demo --json --nodes")
            .arg(nodes.to_string())
            .args(way)
            .deadline(DEADLINE)
            .run_with_lines(|line| json.push_str(line))?;
        check(&json, nodes).with_context(|| format!("liferaft demo {way}"))?;
    }
    Ok(())
}

fn check(json: &str, nodes: u64) -> Result<()> {
    let object: Map<String, Value> =
        serde_json::from_str(json).context("the demo's output is not one JSON object")?;
    ensure!(
        object.get("verified") == Some(&Value::Bool(true)),
        "the demo did not verify itself"
    );
    for key in COUNTS {
        ensure!(
            object.get(key).is_some_and(Value::is_u64),
            "`{key}` is not a count"
        );
    }
    for key in TIMES {
        ensure!(
            object.get(key).is_some_and(Value::is_number),
            "`{key}` is not a time"
        );
    }
    ensure!(
        object["nodes"] == nodes,
        "the demo ran with {} nodes",
        object["nodes"]
    );
    ensure!(
        object["lost"] == 0 && object["duplicated"] == 0,
        "lines were lost or duplicated"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"verified": true, "nodes": 5, "lines": 100, "lost": 0, "duplicated": 0,
        "up_ms": 1.5, "propagate_1_ms": 1, "propagate_100_ms": 2, "elect_after_leader_ms": 3,
        "elect_after_half_ms": 4, "recover_leader_ms": 5, "recover_half_ms": 6, "evict_after_ms": 7}"#;

    #[test]
    fn a_verified_run_with_all_its_figures_passes() {
        check(GOOD, 5).expect("nothing is missing");
    }

    #[test]
    fn a_run_that_is_not_verified_fails() {
        check(&GOOD.replace("true", "false"), 5).expect_err("it is not verified");
    }

    #[test]
    fn a_missing_figure_fails() {
        check(&GOOD.replace("up_ms", "down_ms"), 5).expect_err("up_ms is missing");
    }

    #[test]
    fn a_second_object_on_standard_output_fails() {
        check(&format!("{GOOD}\n{GOOD}"), 5).expect_err("two objects");
    }
}
