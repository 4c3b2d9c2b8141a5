//! Shows in Chromium that tabs are members and that published PeerJS clients meet through our signaling server, that
//! our members meet through the published one, and that a published client that dials a member is told to get an
//! invitation.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::{Checks, Stage};
use crate::process::Program;
use crate::wasm_tools::Tools;
use crate::web;
use crate::workspace::{self, Workspace};

pub(super) const STAGE: Stage = Stage {
    name: "browser",
    about: "tabs in Chromium are members; PeerJS clients meet through our server, and members through theirs",
    budget: Duration::from_secs(240),
    run,
};

/// What runs in the browser, and what drives it, from npm.
const MODULES: &str = "peer@1.0.2 peerjs@1.5.5 playwright-core@1.65.1";
const PEERJS: &str = "signaling/tests/browser/peerjs.mjs";
const CARRIER: &str = "web/tests/browser/carrier.mjs";
const ROOMS: &str = "web/tests/browser/rooms.mjs";
/// The conformance kit over the carrier of browsers.
const KIT: &str =
    "--package liferaft-web --test carrier --no-run --message-format json-render-diagnostics";
/// Runs a command while npm's `peer` serves.
const PUBLISHED_SERVER: &str = "signaling/tests/members/peerjs.mjs";
/// What our members do with it.
const AT_PUBLISHED_SERVER: &str = "cargo test --package liferaft-signaling --test members --locked -- --ignored a_published_server";
/// Dials a member of ours by a published client.
const VISITED_MEMBER: &str = "cargo test --package liferaft-signaling --test members --locked -- --ignored a_published_client";
/// For each script, not counting builds and installations.
const DEADLINE: Duration = Duration::from_secs(150);

fn run(workspace: &Workspace, checks: &mut Checks) -> Result<()> {
    for program in ["node", "npm"] {
        if Program::new(program).arg("--version").attempt().is_err() {
            checks.skip_whole(format!("{program} is not installed"));
            return Ok(());
        }
    }
    let found = workspace.set_up("setup-chromium.sh")?;
    let chromium = found.value("CHROMIUM")?;
    if chromium.is_empty() {
        checks.skip_whole("Chromium is not installed");
        return Ok(());
    }
    let folder = workspace.target.join("browser");
    workspace
        .program(Program::new("npm"))
        .args("install --silent --no-save --no-audit --no-fund --ignore-scripts --prefix")
        .arg(&folder)
        .args(MODULES)
        .run()?;
    let modules = folder.join("node_modules");
    workspace
        .program(Program::new("node"))
        .arg(PUBLISHED_SERVER)
        .arg(&modules)
        .args(AT_PUBLISHED_SERVER)
        .run()?;
    let program = workspace::executable(workspace.cargo().args(
        "build --package liferaft-cli --bin liferaft --locked --message-format json-render-diagnostics",
    ))?;
    let drive = |script: &str, arguments: &[&Path]| {
        let node = workspace.program(Program::new("node")).arg(script);
        let node = arguments
            .iter()
            .fold(node, |node, argument| node.arg(argument));
        node.deadline(DEADLINE).run()
    };
    workspace
        .cargo()
        .args(VISITED_MEMBER)
        .env("CHROMIUM", chromium)
        .env("PEERJS_MODULES", &modules)
        .run()?;
    let chromium = Path::new(chromium);
    drive(PEERJS, &[&program, chromium, &modules])?;
    let tools = Tools::install(workspace)?;
    let kit = workspace::executable(tools.cargo(workspace, "test").args(KIT))?;
    let runner = tools.bindgen.join("wasm-bindgen-test-runner");
    drive(CARRIER, &[&runner, &kit, chromium, &modules])?;
    let site = web::make(workspace, false)?;
    drive(ROOMS, &[&program, chromium, &modules, &site])
}
