//! The structure that no compiler checks: who may know whom, and where the platform may be asked.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::source::{blank_comments_and_literals, rust_files, without_tests, words};
use super::{Checks, Stage};
use crate::workspace::{Package, Workspace};

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

/// What is pure: the protocol, and the values that it speaks in. Paths without `.rs` are folders.
const PURE: [&str; 20] = [
    "platform/src/address.rs",
    "platform/src/boot.rs",
    "platform/src/identity.rs",
    "platform/src/label.rs",
    "platform/src/public_key.rs",
    "platform/src/starts.rs",
    "platform/src/versions.rs",
    "raft/src/consensus",
    "raft/src/policy",
    "raft/src/sessions",
    "raft/src/wire",
    "raft/src/admission.rs",
    "raft/src/codec.rs",
    "raft/src/config.rs",
    "raft/src/configuration.rs",
    "raft/src/entry.rs",
    "raft/src/ids.rs",
    "raft/src/message.rs",
    "raft/src/state_machine.rs",
    "raft/src/time.rs",
];

/// Where pure code takes from the platform what it holds without std: the identity of servers and clusters, how much
/// memory there is, and what catches panics where they can be caught. The stage no-std compiles it against a platform
/// that holds nothing else.
const FROM_PLATFORM: [&str; 3] = ["raft/src/codec.rs", "raft/src/config.rs", "raft/src/ids.rs"];

/// Words that pure code never says.
const IMPURE: [&str; 8] = [
    "async",
    "await",
    "futures",
    "liferaft_platform",
    "liferaft_transport",
    "std",
    "tokio",
    "tracing",
];

/// Modules that pure code never names in a path. As plain words they may be fields and variables.
const IMPURE_MODULES: [&str; 3] = ["driver", "storage", "transport"];

/// Where the platform is asked. The network for tests is made of what Linux alone has.
const PLATFORM: [&str; 3] = ["cli/tests/lab", "platform", "web"];

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

fn faults_of_file(file: &Path, source: &str, is_pair: bool) -> Vec<String> {
    let code = blank_comments_and_literals(source);
    let may_ask_platform = is_pair || PLATFORM.iter().any(|folder| file.starts_with(folder));
    let mut faults = Vec::new();
    let mut fault = |line: usize, what: &str| {
        faults.push(format!("{}:{line}: {what}", file.display()));
    };
    for word in words(&code) {
        if word.text == "unsafe" {
            fault(word.line, "unsafe code");
        }
        if PLATFORM_QUESTIONS.contains(&word.text) && !may_ask_platform {
            fault(
                word.line,
                "the platform is asked outside platform/ and the mod.rs of a pair",
            );
        }
    }
    if PURE.iter().any(|pure| file.starts_with(pure)) && !is_test_file(file) {
        for word in words(without_tests(&code)) {
            let may_name = FROM_PLATFORM.iter().any(|named| file == Path::new(named));
            let is_given = word.text == "liferaft_platform" && may_name;
            let impure = (IMPURE.contains(&word.text) && !is_given)
                || (IMPURE_MODULES.contains(&word.text) && word.in_path);
            if impure {
                fault(word.line, &format!("pure code names `{}`", word.text));
            }
        }
    }
    faults
}

/// Tests run where std is.
fn is_test_file(file: &Path) -> bool {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    stem.ends_with("tests") || file.components().any(|part| part.as_os_str() == "tests")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(file: &str, source: &str) -> Vec<String> {
        faults_of_file(Path::new(file), source, false)
    }

    #[test]
    fn the_core_may_not_use_the_driver() {
        let found = faults("raft/src/consensus/mod.rs", "\nuse crate::driver::Handle;");

        assert_eq!(
            found,
            ["raft/src/consensus/mod.rs:2: pure code names `driver`"]
        );
    }

    #[test]
    fn the_core_may_not_use_std_and_its_inline_tests_may() {
        let source = "use core::fmt;\n#[cfg(test)]\nmod tests {\n    use std::vec;\n}\n";

        assert_eq!(faults("raft/src/ids.rs", source), [""; 0]);
        assert_eq!(faults("raft/src/ids.rs", "use std::fmt;").len(), 1);
    }

    #[test]
    fn pure_code_takes_identity_and_settings_from_the_platform() {
        let source = "pub use liferaft_platform::ServerId;";

        assert_eq!(faults("raft/src/ids.rs", source), [""; 0]);
        assert_eq!(faults("raft/src/config.rs", source), [""; 0]);
        assert_eq!(faults("raft/src/entry.rs", source).len(), 1);
    }

    #[test]
    fn the_core_may_speak_of_storage_in_comments_and_names() {
        let source = "/// Asks the transport.\nfn f(storage: u8) {}";

        assert_eq!(faults("raft/src/consensus/log.rs", source), [""; 0]);
    }

    #[test]
    fn only_the_platform_and_pairs_ask_for_the_target() {
        let source = "#[cfg(not(\n    target_arch = \"wasm32\"\n))]\nfn f() {}";

        assert_eq!(faults("kv/src/lib.rs", source).len(), 1);
        assert_eq!(faults("platform/src/lib.rs", source), [""; 0]);
        assert_eq!(faults_of_file(Path::new("a/mod.rs"), source, true), [""; 0]);
    }

    #[test]
    fn unsafe_code_is_found_anywhere() {
        assert_eq!(
            faults("examples/kv.rs", "fn f() { unsafe { g() } }").len(),
            1
        );
    }
}
