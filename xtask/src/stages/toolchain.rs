//! Parts of the toolchain that a fresh machine may lack.

use anyhow::{Context, Result};

use crate::process::Program;

/// Installs a component that brings `cargo SUBCOMMAND`, if it is missing.
pub(super) fn ensure_component(component: &str, subcommand: &str) -> Result<()> {
    if Program::cargo()
        .arg(subcommand)
        .arg("--version")
        .attempt()?
        .success
    {
        return Ok(());
    }
    Program::new("rustup")
        .args("component add")
        .arg(component)
        .run()
        .with_context(|| format!("`cargo {subcommand}` is missing and could not be installed"))
}
