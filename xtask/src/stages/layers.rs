//! The structure that no compiler checks: who may know whom, and where the platform may be asked.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::source::rust_files;
use super::{Checks, Stage};
use crate::workspace::{Dependency, Package, Workspace};

pub(super) const STAGE: Stage = Stage {
    name: "layers",
    about: "layers know only those below, the core is pure, platforms are asked in one place",
    budget: Duration::from_secs(5),
    run,
};

/// The layers, lowest first. A package may depend on those before it.
const LAYERS: [&str; 14] = [
    "liferaft-platform",
    "liferaft-transport",
    "liferaft-signaling",
    "liferaft-raft",
    "liferaft-node",
    "liferaft-conformance",
    "liferaft-kv",
    "liferaft-sim",
    "liferaft-fuzz",
    "liferaft",
    "liferaft-cli",
    "liferaft-web",
    "liferaft-network",
    "xtask",
];

/// What is pure, by its compiler: it needs no std, and has nothing below it but these packages, of which none asks
/// where it runs without std. The stage no-std compiles it.
const PURE: &str = "liferaft-raft";
const BELOW_PURE: [&str; 9] = [
    "bytes",
    "crc32fast",
    "liferaft-platform",
    "postcard",
    "prost",
    "rand_chacha",
    "rand_core",
    "serde",
    "thiserror",
];

/// Where the platform is asked. The network for tests is made of what Linux alone has; this file has the questions.
const PLATFORM: [&str; 4] = [
    "cli/tests/lab",
    "platform",
    "web",
    "xtask/src/stages/layers.rs",
];

/// What a `cfg` asks of the platform.
const PLATFORM_QUESTIONS: [&str; 7] = [
    "target_arch",
    "target_endian",
    "target_env",
    "target_family",
    "target_os",
    "target_pointer_width",
    "target_vendor",
];

fn run(workspace: &Workspace, _: &mut Checks) -> Result<()> {
    let mut faults = Vec::new();
    for package in workspace.members() {
        faults.extend(faults_of_package(package)?);
    }
    for file in rust_files(&workspace.root)? {
        let path = workspace.root.join(&file);
        let source =
            fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let is_pair = is_mod_of_a_pair(&path);
        faults.extend(faults_of_file(&file, &source, is_pair));
    }
    if faults.is_empty() {
        return Ok(());
    }
    bail!(
        "{} faults of structure:\n  {}",
        faults.len(),
        faults.join("\n  ")
    )
}

fn faults_of_package(package: &Package) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    let rank = |name: &str| LAYERS.iter().position(|layer| *layer == name);
    let Some(own) = rank(&package.name) else {
        return Ok(vec![format!(
            "{} has no layer: {} names them",
            package.name,
            file!()
        )]);
    };
    for dependency in &package.dependencies {
        if rank(&dependency.name).is_some_and(|other| other >= own) {
            faults.push(format!(
                "{} depends upwards, on {}",
                package.name, dependency.name
            ));
        }
    }
    if package.name == PURE {
        faults.extend(impure_dependencies(package));
    }
    // The lints forbid unsafe code, in the packages that inherit them.
    let manifest = fs::read_to_string(&package.manifest_path)?;
    let manifest: toml::Table = manifest.parse().context("reading a manifest")?;
    let lints = manifest
        .get("lints")
        .and_then(|lints| lints.get("workspace"));
    if lints.and_then(toml::Value::as_bool) != Some(true) {
        faults.push(format!(
            "{} does not inherit the workspace's lints",
            package.name
        ));
    }
    Ok(faults)
}

/// Whether this is the `mod.rs` that chooses between `native.rs` and `wasm.rs`.
fn is_mod_of_a_pair(path: &Path) -> bool {
    path.ends_with("mod.rs")
        && ["native.rs", "wasm.rs"]
            .iter()
            .all(|half| path.with_file_name(half).is_file())
}

/// What a pure package depends on that it may not know.
fn impure_dependencies(package: &Package) -> Vec<String> {
    let of_library = |dependency: &&Dependency| dependency.kind.is_none();
    let names = package.dependencies.iter().filter(of_library);
    let names = names.map(|dependency| dependency.name.as_str());
    names
        .filter(|name| !BELOW_PURE.contains(name))
        .map(|name| format!("{} is pure and depends on {name}", package.name))
        .collect()
}

fn faults_of_file(file: &Path, source: &str, is_pair: bool) -> Vec<String> {
    if is_pair || PLATFORM.iter().any(|folder| file.starts_with(folder)) {
        return Vec::new();
    }
    let is_comment = |line: &str| line.trim_start().starts_with("//");
    let lines = source.lines().enumerate();
    lines
        .filter(|(_, line)| !is_comment(line))
        .filter(|(_, line)| PLATFORM_QUESTIONS.iter().any(|asked| line.contains(asked)))
        .map(|(number, _)| {
            let place = format!("{}:{}", file.display(), number + 1);
            format!("{place}: the platform is asked outside platform/ and the mod.rs of a pair")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_platform_and_pairs_ask_for_the_target() {
        let source = "#[cfg(not(\n    target_arch = \"wasm32\"\n))]\nfn f() {}";
        let faults = |file: &str, is_pair| faults_of_file(Path::new(file), source, is_pair);

        assert_eq!(faults("kv/src/lib.rs", false).len(), 1);
        assert_eq!(faults("platform/src/lib.rs", false), [""; 0]);
        assert_eq!(faults("a/mod.rs", true), [""; 0]);
    }

    #[test]
    fn pure_code_may_know_only_what_is_listed() {
        let depends_on = |name: &str, kind: &str| {
            let manifest = format!(
                r#"{{"name": "liferaft-raft", "version": "0.1.0", "manifest_path": "raft/Cargo.toml", "targets": [],
                    "dependencies": [{{"name": "{name}", "kind": {kind}}}]}}"#
            );
            impure_dependencies(&serde_json::from_str(&manifest).expect("a package"))
        };

        assert_eq!(depends_on("bytes", "null"), [""; 0]);
        assert_eq!(depends_on("proptest", r#""dev""#), [""; 0]);
        assert_eq!(
            depends_on("tokio", "null"),
            ["liferaft-raft is pure and depends on tokio"]
        );
    }
}
