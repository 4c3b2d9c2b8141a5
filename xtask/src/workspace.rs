//! Reads what cargo knows of the workspace.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::process::Program;

/// The workspace, its packages and all that they depend on, as locked.
#[derive(Deserialize)]
pub(crate) struct Workspace {
    #[serde(rename = "workspace_root")]
    pub(crate) root: PathBuf,
    /// Where builds go.
    #[serde(rename = "target_directory")]
    pub(crate) target: PathBuf,
    packages: Vec<Package>,
}

/// A package, ours or not.
#[derive(Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    /// The registry that it comes from; none for ours.
    pub(crate) source: Option<String>,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<Target>,
    /// The registries that it may be published to: none at all if empty, any if not said.
    publish: Option<Vec<String>>,
}

/// What a manifest asks for.
#[derive(Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `dev` or `build`; none for what the library itself needs.
    pub(crate) kind: Option<String>,
}

/// What a package builds.
#[derive(Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: Vec<String>,
    /// `bin` for a program, and what a library is else.
    pub(crate) crate_types: Vec<String>,
}

/// What a script has found or installed.
pub(crate) struct SetUp {
    script: &'static str,
    said: String,
}

impl SetUp {
    /// Returns the value of a key, which the script must have said; it is empty where there is nothing.
    pub(crate) fn value(&self, key: &str) -> Result<&str> {
        let values = self.said.lines().filter_map(|line| line.split_once('='));
        let mut values = values.filter(|(said, _)| *said == key);
        let (_, value) = values
            .next()
            .with_context(|| format!("scripts/{} did not say {key}", self.script))?;
        Ok(value)
    }
}

impl Workspace {
    /// Asks cargo.
    ///
    /// # Errors
    /// Also when `Cargo.lock` does not fit the manifests.
    pub(crate) fn load() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("xtask has a parent")?;
        let metadata = Program::cargo()
            .args("metadata --format-version 1 --all-features --locked")
            .directory(root)
            .stdout()?;
        serde_json::from_str(&metadata).context("reading what cargo metadata says")
    }

    /// The cargo that runs this program, in the root.
    pub(crate) fn cargo(&self) -> Program {
        self.program(Program::cargo())
    }

    /// A program, in the root.
    pub(crate) fn program(&self, program: Program) -> Program {
        program.directory(&self.root)
    }

    /// Runs a script that finds or installs what is needed, and returns what it says: lines of a key, `=` and a value.
    pub(crate) fn set_up(&self, script: &'static str) -> Result<SetUp> {
        let said = self
            .program(Program::new("bash"))
            .arg(format!("scripts/{script}"))
            .stdout()?;
        Ok(SetUp { script, said })
    }

    /// Our packages.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages
            .iter()
            .filter(|package| package.source.is_none())
    }

    /// What our packages depend on, directly or not, on any platform.
    pub(crate) fn dependencies(&self) -> impl Iterator<Item = &Package> {
        self.packages
            .iter()
            .filter(|package| package.source.is_some())
    }
}

impl Package {
    pub(crate) fn is_published(&self) -> bool {
        self.publish
            .as_ref()
            .is_none_or(|registries| !registries.is_empty())
    }

    pub(crate) fn targets_of_kind(&self, kind: &str) -> impl Iterator<Item = &Target> {
        self.targets
            .iter()
            .filter(move |target| target.kind.iter().any(|own| own == kind))
    }
}

/// What the native stages build, beside the targets that each names: packages and features are the same in all, since
/// cargo builds a dependency again for each other set of its features. The load generator has no tests, and what it
/// speaks to etcd with takes long to build.
pub(crate) const NATIVE: &str = "--workspace --exclude liferaft-network --locked --features \
liferaft/metrics,liferaft/webrtc,liferaft/websocket,liferaft-node/metrics,\
liferaft-transport/qr,liferaft-transport/webrtc,liferaft-transport/websocket";

/// Runs a build of one program whose messages come as JSON, and returns where that program is.
pub(crate) fn executable(build: Program) -> Result<PathBuf> {
    let built = executables(build)?.into_iter().next();
    built.context("cargo built no program")
}

/// Runs a build whose messages come as JSON, and returns where the programs are.
pub(crate) fn executables(build: Program) -> Result<Vec<PathBuf>> {
    #[derive(Deserialize)]
    struct Message {
        executable: Option<PathBuf>,
    }
    let mut built = Vec::new();
    for message in build.stdout()?.lines() {
        let message: Message = serde_json::from_str(message).context("reading cargo")?;
        built.extend(message.executable);
    }
    Ok(built)
}
