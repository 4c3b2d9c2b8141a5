//! The library in WebAssembly: it compiles, and a cluster of it runs under Node, as does the WebSocket carrier.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Checks, Stage};
use crate::process::Program;
use crate::wasm_tools::Tools;
use crate::workspace::{self, Workspace};

pub(super) const STAGE: Stage = Stage {
    name: "wasm",
    about: "the library compiles to WebAssembly, and a cluster runs under Node",
    budget: Duration::from_secs(240),
    run,
};

/// What runs in browsers, with default features.
const PACKAGES: [&str; 7] = [
    "liferaft-platform",
    "liferaft-transport",
    "liferaft-raft",
    "liferaft-node",
    "liferaft-kv",
    "liferaft",
    "liferaft-web",
];
/// What the platform promises of timers and tasks, and the facade's test that runs there.
const TESTS: [&str; 3] = [
    "--package liferaft-platform --test alarm",
    "--package liferaft-platform --test wasm",
    "--package liferaft --test wasm",
];
/// The conformance kit over the WebSocket carrier.
const KIT: &str = "--package liferaft-transport --features websocket --test websocket_kit";
/// The sockets that the carrier has under Node, from npm.
const SOCKETS: &str = "ws@8.23.0";
/// For the tests, not counting their build.
const DEADLINE: Duration = Duration::from_secs(120);

fn run(workspace: &Workspace, checks: &mut Checks) -> Result<()> {
    if Program::new("node").arg("--version").attempt().is_err() {
        checks.skip_whole("Node is not installed");
        return Ok(());
    }
    let tools = Tools::install(workspace)?;
    let mut check = tools.cargo(workspace, "check");
    for package in PACKAGES {
        check = check.arg("--package").arg(package);
    }
    check.args("--features liferaft-transport/webrtc").run()?;
    for tests in TESTS {
        test(&tools, workspace, tests)?;
    }
    if Program::new("npm").arg("--version").attempt().is_err() {
        checks.skip_part("npm is not installed: the WebSocket carrier has no sockets under Node");
        return Ok(());
    }
    workspace
        .program(Program::new("npm"))
        .args("install --silent --no-save --no-audit --no-fund --prefix")
        .arg(workspace.target.join("node"))
        .arg(SOCKETS)
        .run()?;
    test(&tools, workspace, KIT)
}

/// Builds a test and runs it under Node.
fn test(tools: &Tools, workspace: &Workspace, test: &str) -> Result<()> {
    let module = workspace::executable(
        tools
            .cargo(workspace, "test")
            .args(test)
            .args("--no-run --message-format json-render-diagnostics"),
    )?;
    ensure_nothing_from_outside(&module)?;
    tools
        .cargo(workspace, "test")
        .args(test)
        .env(
            "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER",
            tools.bindgen.join("wasm-bindgen-test-runner"),
        )
        // Sockets as browsers have them, which Node has by itself from version 22.
        .env("NODE_OPTIONS", "--experimental-websocket")
        .env("NODE_PATH", workspace.target.join("node/node_modules"))
        .deadline(DEADLINE)
        .run()
}

/// An import from `env` is a C function that some crate believes to find: no JavaScript has it.
fn ensure_nothing_from_outside(module: &PathBuf) -> Result<()> {
    const IMPORTED_FROM: &str = "for (const { module, name } of WebAssembly.Module.imports(
        new WebAssembly.Module(require('fs').readFileSync(process.argv[1])))) console.log(module, name)";
    let imports = Program::new("node")
        .arg("-e")
        .arg(IMPORTED_FROM)
        .arg(module)
        .stdout()?;
    let foreign: Vec<_> = imports
        .lines()
        .filter(|import| import.starts_with("env "))
        .collect();
    ensure!(
        foreign.is_empty(),
        "the module imports what no host has: {}",
        foreign.join(", ")
    );
    Ok(())
}
