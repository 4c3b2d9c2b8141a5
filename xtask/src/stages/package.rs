//! The packages as others get them: built and used outside the workspace.
//!
//! A file that is missing from a package, a feature that only another member of the workspace switches on, a path that
//! leads out of the package: none of it shows inside the workspace. Nor does an example in the documentation that needs
//! more than the facade: the newcomer, an application outside the workspace, compiles a copy of each.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::copied::examples;
use super::source::rust_files;
use super::{Checks, Stage};
use crate::process::Program;
use crate::test::is_ci;
use crate::workspace::{Package, Workspace};

pub(super) const STAGE: Stage = Stage {
    name: "package",
    about: "the packages serve a newcomer outside the workspace",
    budget: Duration::from_secs(120),
    run,
};

const NEWCOMER: &str = "tests/newcomer";
const WORKSPACE: &str = r#"[workspace]
members = ["*"]
resolver = "3"

[patch.crates-io]
"#;
/// What both licences ask to be in every copy.
const LICENSES: [&str; 2] = ["LICENSE-APACHE", "LICENSE-MIT"];
/// For the newcomer's tests, not counting their build.
const DEADLINE: Duration = Duration::from_secs(60);

fn run(workspace: &Workspace, _: &mut Checks) -> Result<()> {
    let packages: Vec<_> = workspace
        .members()
        .filter(|package| package.is_published())
        .collect();
    pack(workspace, &packages)?;
    let scratch = scratch(workspace)?;
    for package in &packages {
        let name = directory(package);
        let archive = workspace
            .target
            .join("package")
            .join(format!("{name}.crate"));
        Program::new("tar")
            // Archives give all files one time, long past: cargo would take what it built of an earlier one as fresh.
            .arg("--touch")
            .arg("-xzf")
            .arg(archive)
            .arg("-C")
            .arg(&scratch)
            .run()?;
        for file in LICENSES {
            let path = scratch.join(&name).join(file);
            ensure!(path.is_file(), "the package {name} has no {file}");
        }
    }
    write_workspace(workspace, &packages, &scratch).context("writing the newcomer")?;
    let cargo = |arguments| {
        Program::cargo().args(arguments).directory(&scratch).env(
            "CARGO_TARGET_DIR",
            workspace.target.join("package-newcomer"),
        )
    };
    cargo("test --package newcomer --lib --no-run").run()?;
    cargo("test --quiet --package newcomer --lib --locked")
        .deadline(DEADLINE)
        .run()?;
    cargo("check --quiet --package newcomer --examples --locked").run()?;
    // The program has no consumer: that it compiles is all that there is to see.
    cargo("check --package liferaft-cli --locked").run()?;
    ensure_locked_versions(workspace, &scratch)?;
    fs::remove_dir_all(&scratch).with_context(|| format!("removing {}", scratch.display()))
}

fn pack(workspace: &Workspace, packages: &[&Package]) -> Result<()> {
    // The newcomer's build is the verification, of all packages together.
    let mut cargo = workspace
        .cargo()
        .args("package --quiet --no-verify --locked");
    if !is_ci() {
        cargo = cargo.arg("--allow-dirty");
    }
    for package in packages {
        cargo = cargo.arg("--package").arg(&package.name);
    }
    cargo.run()
}

/// The name of a package's archive, and of the one directory in it.
fn directory(package: &Package) -> String {
    format!("{}-{}", package.name, package.version)
}

/// An empty directory outside the workspace, the same each time so that builds can be reused.
fn scratch(workspace: &Workspace) -> Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    workspace.root.hash(&mut hasher);
    let scratch = std::env::temp_dir().join(format!("liferaft-packages-{:016x}", hasher.finish()));
    if scratch.exists() {
        fs::remove_dir_all(&scratch)?;
    }
    fs::create_dir_all(&scratch).with_context(|| format!("making {}", scratch.display()))?;
    Ok(scratch)
}

/// Puts the newcomer beside the unpacked packages. It asks for them as if they were published, and gets these.
fn write_workspace(workspace: &Workspace, packages: &[&Package], scratch: &Path) -> Result<()> {
    let template = workspace.root.join(NEWCOMER);
    let newcomer = scratch.join("newcomer");
    for folder in ["src", "examples"] {
        fs::create_dir_all(newcomer.join(folder))?;
    }
    fs::copy(template.join("Cargo.toml.in"), newcomer.join("Cargo.toml"))?;
    for file in rust_files(&template)? {
        fs::copy(template.join(&file), newcomer.join(&file))?;
    }
    let mut manifest = WORKSPACE.to_owned();
    let mut copied = 0;
    for package in packages {
        for example in examples(package)? {
            let file = newcomer.join("examples").join(example.name);
            fs::write(file.with_extension("rs"), example.program)?;
            copied += 1;
        }
        let patch = format!(
            "{} = {{ path = \"{}\" }}\n",
            package.name,
            directory(package)
        );
        manifest.push_str(&patch);
    }
    ensure!(copied > 0, "the documentation has no examples");
    fs::write(scratch.join("Cargo.toml"), manifest)?;
    fs::copy(
        workspace.root.join("Cargo.lock"),
        scratch.join("Cargo.lock"),
    )?;
    Ok(())
}

#[derive(Deserialize)]
struct Lock {
    package: BTreeSet<Locked>,
}

#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Locked {
    name: String,
    version: String,
    source: Option<String>,
}

/// What was built is what is locked here, and not what a registry had newest.
fn ensure_locked_versions(workspace: &Workspace, scratch: &Path) -> Result<()> {
    let read = |folder: &Path| -> Result<Lock> {
        Ok(toml::from_str(&fs::read_to_string(
            folder.join("Cargo.lock"),
        )?)?)
    };
    let (ours, theirs) = (read(&workspace.root)?, read(scratch)?);
    let strangers: Vec<_> = theirs
        .package
        .iter()
        .filter(|package| package.source.is_some() && !ours.package.contains(package))
        .map(|package| format!("{} {}", package.name, package.version))
        .collect();
    ensure!(
        strangers.is_empty(),
        "built with what is not locked: {}",
        strangers.join(", ")
    );
    Ok(())
}
