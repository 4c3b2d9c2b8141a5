//! Compiles to WebAssembly, by the compiler and the tools that `scripts/setup-wasm.sh` installs.
//!
//! Builds go to `target/wasm`, since the compiler may be another one: in one folder the two would undo each other's
//! work.

use std::path::PathBuf;

use anyhow::Result;

use crate::process::Program;
use crate::workspace::Workspace;

const TARGET: &str = "wasm32-unknown-unknown";

/// What `scripts/setup-wasm.sh` has installed.
pub(crate) struct Tools {
    toolchain: String,
    /// The folder of wasm-bindgen's programs.
    pub(crate) bindgen: PathBuf,
}

impl Tools {
    pub(crate) fn install(workspace: &Workspace) -> Result<Self> {
        let found = workspace.set_up("setup-wasm.sh")?;
        Ok(Self {
            toolchain: found.value("WASM_TOOLCHAIN")?.to_owned(),
            bindgen: found.value("WASM_BINDGEN_BIN")?.into(),
        })
    }

    /// A cargo command for wasm, by rustup's cargo: ours belongs to another toolchain.
    pub(crate) fn cargo(&self, workspace: &Workspace, command: &str) -> Program {
        workspace
            .program(Program::new("cargo"))
            .arg(command)
            .args("--locked --target")
            .arg(TARGET)
            .env("RUSTUP_TOOLCHAIN", &self.toolchain)
            .env("CARGO_TARGET_DIR", workspace.target.join("wasm"))
    }
}

/// Returns the folder of a profile to which [`Tools::cargo`] builds.
pub(crate) fn built(workspace: &Workspace, profile: &str) -> PathBuf {
    workspace.target.join("wasm").join(TARGET).join(profile)
}
