//! The library in WebAssembly: it compiles, and a cluster of it runs under Node, as does the WebSocket carrier.
//!
//! Builds go to `target/wasm`, since the compiler may be another one: in one folder the two would undo each other's
//! work.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{Checks, Stage};
use crate::process::Program;
use crate::workspace::{self, Workspace};

pub(super) const STAGE: Stage = Stage {
    name: "wasm",
    about: "the library compiles to WebAssembly, and a cluster runs under Node",
    budget: Duration::from_secs(240),
    run,
};

const TARGET: &str = "wasm32-unknown-unknown";
/// What runs in browsers, with default features.
const PACKAGES: [&str; 5] = [
    "liferaft-platform",
    "liferaft-transport",
    "liferaft-raft",
    "liferaft-kv",
    "liferaft",
];
/// The facade's test that runs there.
const TEST: &str = "--package liferaft --test wasm";
/// The conformance kit over the WebSocket carrier.
const KIT: &str = "--package liferaft-transport --features websocket --test websocket_kit";
/// The sockets that the carrier has under Node, from npm.
const SOCKETS: &str = "ws@8.23.0";
/// For the tests, not counting their build.
const DEADLINE: Duration = Duration::from_secs(120);

/// What `scripts/setup-wasm.sh` installed.
struct Tools {
    toolchain: String,
    bindgen: PathBuf,
}

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
    // What has no half for browsers yet adds nothing there.
    check.args("--features liferaft-transport/webrtc").run()?;
    tools.test(workspace, TEST)?;
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
    tools.test(workspace, KIT)
}

impl Tools {
    fn install(workspace: &Workspace) -> Result<Self> {
        let said = workspace
            .program(Program::new("bash"))
            .arg("scripts/setup-wasm.sh")
            .stdout()?;
        let value = |key: &str| {
            said.lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
                .with_context(|| format!("scripts/setup-wasm.sh did not say {key}"))
        };
        Ok(Self {
            toolchain: value("WASM_TOOLCHAIN")?.to_owned(),
            bindgen: value("WASM_BINDGEN_BIN")?.into(),
        })
    }

    /// Builds a test and runs it under Node.
    fn test(&self, workspace: &Workspace, test: &str) -> Result<()> {
        let module = workspace::executable(
            self.cargo(workspace, "test")
                .args(test)
                .args("--no-run --message-format json-render-diagnostics"),
        )?;
        ensure_nothing_from_outside(&module)?;
        self.cargo(workspace, "test")
            .args(test)
            .env(
                "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER",
                self.bindgen.join("wasm-bindgen-test-runner"),
            )
            // Sockets as browsers have them, which Node has by itself from version 22.
            .env("NODE_OPTIONS", "--experimental-websocket")
            .env("NODE_PATH", workspace.target.join("node/node_modules"))
            .deadline(DEADLINE)
            .run()
    }

    /// A cargo command for wasm, by rustup's cargo: ours belongs to another toolchain.
    fn cargo(&self, workspace: &Workspace, command: &str) -> Program {
        workspace
            .program(Program::new("cargo"))
            .arg(command)
            .args("--locked --target")
            .arg(TARGET)
            .env("RUSTUP_TOOLCHAIN", &self.toolchain)
            .env("CARGO_TARGET_DIR", workspace.target.join("wasm"))
    }
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
