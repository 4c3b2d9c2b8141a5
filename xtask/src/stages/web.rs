//! The module for browsers is as large as was committed, and the package for JavaScript runs where it says that it
//! does.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::{Checks, Stage};
use crate::browser::{Browser, drive};
use crate::process::Program;
use crate::web::{self, Size};
use crate::workspace::Workspace;

pub(super) const STAGE: Stage = Stage {
    name: "web",
    about: "the module for browsers has the committed size, and the package runs in Node, Vite and pages",
    budget: Duration::from_secs(130),
    run,
};

/// Uses the package in a project.
const STORY: &str = "web/tests/package/package.mjs";
/// The sources of the project.
const PROJECT: &str = "web/tests/package";
/// What the project uses beside the package, from npm.
const TOOLS: &str = "typescript@7.0.2 vite@8.4.0 ws@8.23.0";
/// Says that scripts are modules.
const MANIFEST: &str = "{ \"private\": true, \"type\": \"module\" }\n";
const DEADLINE: Duration = Duration::from_secs(120);

fn run(workspace: &Workspace, checks: &mut Checks) -> Result<()> {
    for program in ["node", "npm"] {
        if Program::new(program).arg("--version").attempt().is_err() {
            checks.skip_whole(format!("{program} is not installed"));
            return Ok(());
        }
    }
    let made = web::make(workspace, true)?;
    let size = Size::read(workspace)?;
    size.print();
    size.check()?;
    let project = workspace.target.join("web/project");
    begin(workspace, &project)?;
    Program::new("npm")
        .args("install --silent --no-save --no-audit --no-fund --ignore-scripts")
        .arg(web::pack(workspace, &made)?)
        .args(TOOLS)
        .directory(&project)
        .run()?;
    match Browser::find(workspace)? {
        Ok(Browser { chromium, modules }) => {
            drive(workspace, STORY, &[&project, &chromium, &modules], DEADLINE)
        }
        Err(missing) => {
            checks.skip_part(format!("{missing}: the package runs in Node alone"));
            drive(workspace, STORY, &[&project], DEADLINE)
        }
    }
}

/// Begins a project that has nothing installed.
fn begin(workspace: &Workspace, project: &Path) -> Result<()> {
    if project.exists() {
        fs::remove_dir_all(project)?;
    }
    fs::create_dir_all(project)?;
    for file in fs::read_dir(workspace.root.join(PROJECT))? {
        let file = file?;
        fs::copy(file.path(), project.join(file.file_name()))?;
    }
    fs::write(project.join("package.json"), MANIFEST)?;
    Ok(())
}
