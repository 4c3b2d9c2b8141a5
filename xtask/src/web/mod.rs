//! `cargo xtask web`: makes what runs a member in a browser, in `target/web`: pages that are ready to be served in
//! `site`, the package for JavaScript in `package`, and that as npm's tarball beside them.
//!
//! A module of WebAssembly and the script that loads it fit each other alone. So both, and the worker, are named after
//! what is in them: a page never gets one of them from a cache and another from the server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::process::Program;
use crate::wasm_tools::{Tools, built};
use crate::workspace::Workspace;

mod layout;
mod size;
mod sizes;

pub(crate) use size::Size;

/// What is compiled, and the module that comes of it.
const PACKAGE: &str = "liferaft-web";
const MODULE: &str = "liferaft_web.wasm";
/// The profile of what others load, which is small first.
const SMALL: &str = "web";
/// What makes it smaller still: SHA-2 in loops, whose rounds are written out otherwise.
const SMALL_FLAGS: (&str, &str) = (
    "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS",
    "--cfg sha2_backend_soft=\"compact\"",
);
/// Makes WebAssembly smaller, from npm.
const BINARYEN: &str = "binaryen@132.0.0";
/// Its passes find more in code that was made flat before, and where no address wraps around to the first kilobyte: it
/// is the far end of the stack. What is left out: names, which are for people who debug.
const OPTIMIZED: &str =
    "--low-memory-unused --flatten --rereloop -Oz -Oz --strip-debug --strip-producers";
/// What our compiler uses of WebAssembly: the module says it itself until its sections of tools are dropped.
const FEATURES: &str = "--enable-bulk-memory --enable-bulk-memory-opt --enable-multivalue --enable-mutable-globals \
    --enable-nontrapping-float-to-int --enable-reference-types --enable-sign-ext";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Make it small, and pack it for npm; needs npm
    #[arg(long)]
    release: bool,

    /// Print what takes how much of the module, by crates and by functions, before Binaryen makes it smaller; with
    /// --release
    #[arg(long, requires = "release")]
    sizes: bool,
}

/// What [`make`] has made.
pub(crate) struct Made {
    /// The folder of the pages.
    pub(crate) site: PathBuf,
    /// The folder of the package.
    pub(crate) package: PathBuf,
}

impl Made {
    fn at(workspace: &Workspace) -> Self {
        let folder = workspace.target.join("web");
        Self {
            site: folder.join("site"),
            package: folder.join("package"),
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let made = make(&workspace, args.release)?;
    println!("pages in {}", made.site.display());
    println!("package in {}", made.package.display());
    if !args.release {
        return Ok(ExitCode::SUCCESS);
    }
    println!("packed in {}", pack(&workspace, &made)?.display());
    if args.sizes {
        sizes::print(&bound(&workspace).join(layout::BOUND_MODULE))?;
    }
    Size::read(&workspace)?.print();
    Ok(ExitCode::SUCCESS)
}

/// Makes the pages and the package: small ones, or soon.
pub(crate) fn make(workspace: &Workspace, is_release: bool) -> Result<Made> {
    let tools = Tools::install(workspace)?;
    let build = tools
        .cargo(workspace, "build")
        .args("--package")
        .arg(PACKAGE);
    let (build, profile) = if is_release {
        let (name, flags) = SMALL_FLAGS;
        (build.args("--profile").arg(SMALL).env(name, flags), SMALL)
    } else {
        (build, "debug")
    };
    build.run()?;
    let bound = bound(workspace);
    bind(
        workspace,
        &tools,
        &bound,
        &built(workspace, profile).join(MODULE),
    )?;
    let module = if is_release {
        minify(workspace, &bound)?
    } else {
        bound.join(layout::BOUND_MODULE)
    };
    let made = Made::at(workspace);
    layout::lay_out(workspace, &bound, &module, &made)?;
    Ok(made)
}

/// Packs the package as npm does, and returns the tarball.
pub(crate) fn pack(workspace: &Workspace, made: &Made) -> Result<PathBuf> {
    let folder = workspace.target.join("web");
    let name = Program::new("npm")
        .args("pack --silent --ignore-scripts --pack-destination")
        .arg(&folder)
        .directory(&made.package)
        .stdout()?;
    Ok(folder.join(name.trim()))
}

/// Makes the page of members that hand over a snapshot, and returns its folder.
pub(crate) fn make_snapshot(workspace: &Workspace, is_release: bool) -> Result<PathBuf> {
    let tools = Tools::install(workspace)?;
    let build = tools
        .cargo(workspace, "build")
        .args("--package liferaft-web --example snapshot");
    let (build, profile) = if is_release {
        (build.arg("--release"), "release")
    } else {
        (build, "debug")
    };
    build.run()?;
    let site = workspace.target.join("snapshot");
    let module = built(workspace, profile).join("examples/snapshot.wasm");
    bind(workspace, &tools, &site, &module)?;
    let page = workspace.root.join("web/tests/browser/snapshot.html");
    fs::copy(page, site.join("snapshot.html"))?;
    Ok(site)
}

/// The folder of what wasm-bindgen makes, before it is laid out.
fn bound(workspace: &Workspace) -> PathBuf {
    workspace.target.join("web/bound")
}

/// Writes what JavaScript loads of a module.
fn bind(workspace: &Workspace, tools: &Tools, folder: &Path, module: &Path) -> Result<()> {
    workspace
        .program(Program::new(tools.bindgen.join("wasm-bindgen")))
        .args("--target web --no-typescript --out-dir")
        .arg(folder)
        .arg(module)
        .run()
}

/// Makes a bound module smaller, and returns where that is.
fn minify(workspace: &Workspace, bound: &Path) -> Result<PathBuf> {
    let folder = workspace.target.join("binaryen");
    workspace
        .program(Program::new("npm"))
        .args("install --silent --no-save --no-audit --no-fund --ignore-scripts --prefix")
        .arg(&folder)
        .arg(BINARYEN)
        .run()
        .context("installing Binaryen by npm")?;
    let small = bound.join(layout::SMALL_MODULE);
    workspace
        .program(Program::new(folder.join("node_modules/.bin/wasm-opt")))
        .args(FEATURES)
        .args(OPTIMIZED)
        .arg(bound.join(layout::BOUND_MODULE))
        .arg("-o")
        .arg(&small)
        .run()?;
    Ok(small)
}
