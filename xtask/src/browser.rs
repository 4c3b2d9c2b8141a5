//! Drives Chromium by scripts of Node, for tests and measurements of pages.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process::Program;
use crate::workspace::{self, NATIVE, Workspace};

/// What runs in the browser, and what drives it, from npm.
const MODULES: &str = "peer@1.0.2 peerjs@1.5.5 playwright-core@1.65.1 qr@0.7.0";

/// Connects members in tabs by texts.
pub(crate) const BY_HAND: &str = "web/tests/browser/by_hand.mjs";

/// Hands over a snapshot between tabs.
pub(crate) const SNAPSHOT: &str = "web/tests/browser/snapshot.mjs";

/// Kills tabs of a cluster that has no other members.
pub(crate) const KILLS: &str = "web/tests/browser/kills.mjs";

/// Loads all tabs of a cluster anew.
pub(crate) const RELOADS: &str = "web/tests/browser/reloads.mjs";

/// Hides the tabs of a cluster.
pub(crate) const HIDDEN: &str = "web/tests/browser/hidden.mjs";

/// Closes tabs that lead.
pub(crate) const HAND_OVERS: &str = "web/tests/browser/handovers.mjs";

/// What scripts need.
pub(crate) struct Browser {
    pub(crate) chromium: PathBuf,
    /// The folder of node_modules.
    pub(crate) modules: PathBuf,
}

impl Browser {
    /// Finds all, or installs it. Returns why there is none, if something is missing that is not installed here.
    pub(crate) fn find(workspace: &Workspace) -> Result<Result<Self, String>> {
        for program in ["node", "npm"] {
            if Program::new(program).arg("--version").attempt().is_err() {
                return Ok(Err(format!("{program} is not installed")));
            }
        }
        let found = workspace.set_up("setup-chromium.sh")?;
        let chromium = found.value("CHROMIUM")?;
        if chromium.is_empty() {
            return Ok(Err("Chromium is not installed".to_owned()));
        }
        let folder = workspace.target.join("browser");
        workspace
            .program(Program::new("npm"))
            .args("install --silent --no-save --no-audit --no-fund --ignore-scripts --prefix")
            .arg(&folder)
            .args(MODULES)
            .run()?;
        Ok(Ok(Self {
            chromium: chromium.into(),
            modules: folder.join("node_modules"),
        }))
    }
}

/// Builds the program that has native members and a signaling server, with these pages, and returns where it is.
pub(crate) fn build_program(workspace: &Workspace, site: &Path) -> Result<PathBuf> {
    let build = workspace
        .cargo()
        .args("test --no-run --test processes --message-format json-render-diagnostics")
        .args(NATIVE)
        .env("LIFERAFT_PAGES", site);
    let built = workspace::executables(build)?;
    let program = built.into_iter().find(|built| built.ends_with("liferaft"));
    program.context("cargo built no program")
}

/// Runs a script of Node with these arguments, for so long at most.
pub(crate) fn drive(
    workspace: &Workspace,
    script: &str,
    arguments: &[&Path],
    deadline: Duration,
) -> Result<()> {
    let node = workspace.program(Program::new("node")).arg(script);
    let node = arguments
        .iter()
        .fold(node, |node, argument| node.arg(argument));
    node.deadline(deadline).run()
}
