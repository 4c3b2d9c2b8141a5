//! `cargo xtask web`: makes the pages that run a member in a browser, ready to be served, in `target/web`.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::process::Program;
use crate::wasm_tools::{Tools, built};
use crate::workspace::Workspace;

/// What is compiled, and the module that comes of it.
const PACKAGE: &str = "liferaft-web";
const MODULE: &str = "liferaft_web.wasm";
/// The pages, and what they load beside the module.
const PAGES: &str = "web/pages";

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
    let (build, profile) = if is_release {
        (build.arg("--release"), "release")
    } else {
        (build, "debug")
    };
    build.run()?;
    let site = workspace.target.join("web");
    workspace
        .program(Program::new(tools.bindgen.join("wasm-bindgen")))
        .args("--target web --no-typescript --out-dir")
        .arg(&site)
        .arg(built(workspace, profile).join(MODULE))
        .run()?;
    let pages = workspace.root.join(PAGES);
    for page in fs::read_dir(&pages).with_context(|| format!("reading {}", pages.display()))? {
        let page = page?;
        fs::copy(page.path(), site.join(page.file_name()))?;
    }
    Ok(site)
}
