//! The core and all that it depends on do without std.
//!
//! A crate that has a panic handler of its own cannot be in one program with std, which has one too: the compiler
//! refuses the second. So a probe with a handler that depends on the core compiles only if std is nowhere below it, on
//! any toolchain, without a target that has no std. It is a library, and only checked: a program would need an
//! allocator, and that `unsafe`.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::{Checks, Stage};
use crate::process::Finished;
use crate::workspace::Workspace;

pub(super) const STAGE: Stage = Stage {
    name: "no-std",
    about: "the core needs no std, and neither does what it depends on",
    budget: Duration::from_secs(20),
    run,
};

const MANIFEST: &str = r#"[package]
name = "no-std-probe"
version = "0.0.0"
edition = "2024"

[workspace]

[features]
# The control: with std in it, the probe must not compile.
std = []

[dependencies]
liferaft-raft = { path = "RAFT" }
"#;

const SOURCE: &str = r#"#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "std")]
extern crate std;

pub use liferaft_raft::consensus::Raft;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
"#;

/// What the compiler says to two panic handlers.
const DUPLICATE: &str = "E0152";

fn run(workspace: &Workspace, _: &mut Checks) -> Result<()> {
    write_probe(workspace).context("writing the probe")?;
    let clean = check(workspace, "")?;
    if !clean.success {
        bail!("the core does not compile without std:\n{}", clean.output);
    }
    let control = check(workspace, "--features std")?;
    ensure!(
        !control.success && control.output.contains(DUPLICATE),
        "the probe does not notice std:\n{}",
        control.output
    );
    Ok(())
}

fn write_probe(workspace: &Workspace) -> Result<()> {
    let probe = workspace.target.join("no-std-probe");
    let raft = workspace.root.join("raft");
    // A TOML string in quotes escapes as a JSON string does.
    let raft = serde_json::to_string(&raft)?;
    fs::create_dir_all(probe.join("src"))?;
    fs::write(
        probe.join("Cargo.toml"),
        MANIFEST.replace("\"RAFT\"", &raft),
    )?;
    fs::write(probe.join("src/lib.rs"), SOURCE)?;
    // The versions that are tested are those that are locked.
    fs::copy(workspace.root.join("Cargo.lock"), probe.join("Cargo.lock"))?;
    Ok(())
}

fn check(workspace: &Workspace, features: &str) -> Result<Finished> {
    workspace
        .cargo()
        .args("check --quiet --manifest-path")
        .arg(workspace.target.join("no-std-probe/Cargo.toml"))
        .args(features)
        .env("CARGO_TARGET_DIR", &workspace.target)
        .attempt()
}
