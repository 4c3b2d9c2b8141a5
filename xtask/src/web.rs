//! `cargo xtask web`: makes the pages that run a member in a browser, ready to be served, in `target/web`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::process::Program;
use crate::wasm_tools::{Tools, built};
use crate::workspace::Workspace;

/// What is compiled, and the module that comes of it.
const PACKAGE: &str = "liferaft-web";
const MODULE: &str = "liferaft_web.wasm";
/// The pages, and what they load beside the module.
const FILES: [&str; 2] = ["web/pages", "web/js"];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Optimize
    #[arg(long)]
    release: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let site = make(&workspace, args.release)?;
    println!("{}", site.display());
    Ok(ExitCode::SUCCESS)
}

/// Makes the pages, and returns their folder.
pub(crate) fn make(workspace: &Workspace, is_release: bool) -> Result<PathBuf> {
    let tools = Tools::install(workspace)?;
    let build = tools
        .cargo(workspace, "build")
        .args("--package")
        .arg(PACKAGE);
    let (build, profile) = of_profile(build, is_release);
    build.run()?;
    let site = workspace.target.join("web");
    bind(
        workspace,
        &tools,
        &site,
        &built(workspace, profile).join(MODULE),
    )?;
    for folder in FILES {
        let folder = workspace.root.join(folder);
        let files = fs::read_dir(&folder);
        for file in files.with_context(|| format!("reading {}", folder.display()))? {
            let file = file?;
            fs::copy(file.path(), site.join(file.file_name()))?;
        }
    }
    Ok(site)
}

/// Makes the page of members that hand over a snapshot, and returns its folder.
pub(crate) fn make_snapshot(workspace: &Workspace, is_release: bool) -> Result<PathBuf> {
    let tools = Tools::install(workspace)?;
    let build = tools
        .cargo(workspace, "build")
        .args("--package liferaft-web --example snapshot");
    let (build, profile) = of_profile(build, is_release);
    build.run()?;
    let site = workspace.target.join("snapshot");
    let module = built(workspace, profile).join("examples/snapshot.wasm");
    bind(workspace, &tools, &site, &module)?;
    let page = workspace.root.join("web/tests/browser/snapshot.html");
    fs::copy(page, site.join("snapshot.html"))?;
    Ok(site)
}

fn of_profile(build: Program, is_release: bool) -> (Program, &'static str) {
    if is_release {
        (build.arg("--release"), "release")
    } else {
        (build, "debug")
    }
}

/// Writes what JavaScript loads of a module.
fn bind(workspace: &Workspace, tools: &Tools, site: &Path, module: &Path) -> Result<()> {
    workspace
        .program(Program::new(tools.bindgen.join("wasm-bindgen")))
        .args("--target web --no-typescript --out-dir")
        .arg(site)
        .arg(module)
        .run()
}
