//! Checks what we depend on: licences, sources and doubled versions, by the rules of `deny.toml`.
//!
//! cargo-deny reads the same file and checks more; building it costs minutes, so this is the part that a change can
//! break, checked from what cargo knows already.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use spdx::{Expression, ParseMode};

use super::{Checks, Stage};
use crate::workspace::{Package, Workspace};

pub(super) const STAGE: Stage = Stage {
    name: "deny",
    about: "dependencies have licences, sources and versions that deny.toml allows",
    budget: Duration::from_secs(5),
    run,
};

/// The part of `deny.toml` that is checked here.
#[derive(Deserialize)]
struct Rules {
    licenses: Licenses,
    bans: Bans,
    sources: Sources,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
    /// Banned only if it is there in two versions.
    #[serde(default)]
    deny_multiple_versions: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sources {
    allow_registry: Vec<String>,
}

fn run(workspace: &Workspace, checks: &mut Checks) -> Result<()> {
    checks.skip_part("advisories are for `cargo deny check advisories`: they are downloaded");
    let rules =
        fs::read_to_string(workspace.root.join("deny.toml")).context("reading deny.toml")?;
    let rules: Rules = toml::from_str(&rules).context("reading deny.toml")?;
    let dependencies: Vec<_> = workspace.dependencies().collect();
    let mut faults = Vec::new();
    for package in &dependencies {
        faults.extend(license_fault(package, &rules.licenses));
        faults.extend(source_fault(package, &rules.sources));
    }
    faults.extend(bans(&dependencies, &rules.bans));
    if faults.is_empty() {
        return Ok(());
    }
    bail!(
        "{} faults by deny.toml:\n  {}",
        faults.len(),
        faults.join("\n  ")
    )
}

fn license_fault(package: &Package, rules: &Licenses) -> Option<String> {
    let named = format!("{} {}", package.name, package.version);
    let Some(license) = &package.license else {
        return Some(format!("{named} names no licence"));
    };
    // Old packages write `MIT/Apache-2.0`.
    let Ok(expression) = Expression::parse_mode(license, ParseMode::LAX) else {
        return Some(format!(
            "{named} has a licence that is no expression: {license}"
        ));
    };
    let allowed = expression.evaluate(|requirement| {
        // What may be had under a version or any later one may be had under that version.
        let requirement = requirement.to_string();
        let requirement = requirement.trim_end_matches('+');
        rules.allow.iter().any(|allow| allow == requirement)
    });
    (!allowed).then(|| format!("{named} has a licence that is not allowed: {license}"))
}

fn source_fault(package: &Package, rules: &Sources) -> Option<String> {
    let source = package.source.as_deref().unwrap_or_default();
    let registry = source.strip_prefix("registry+").unwrap_or(source);
    (!rules.allow_registry.iter().any(|allow| allow == registry))
        .then(|| format!("{} {} comes from {source}", package.name, package.version))
}

fn bans(dependencies: &[&Package], rules: &Bans) -> Vec<String> {
    let mut versions = BTreeMap::<&str, BTreeSet<&str>>::new();
    for package in dependencies {
        versions
            .entry(&package.name)
            .or_default()
            .insert(&package.version);
    }
    let mut faults = Vec::new();
    for ban in &rules.deny {
        let found: Vec<_> = versions
            .get(ban.name.as_str())
            .into_iter()
            .flatten()
            .copied()
            .collect();
        let kept = usize::from(ban.deny_multiple_versions);
        if found.len() > kept {
            faults.push(format!(
                "{} is banned as it is: {}",
                ban.name,
                found.join(", ")
            ));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(license: &str, version: &str) -> Package {
        let json = serde_json::json!({
            "name": "a", "version": version, "license": license, "source": "registry+r",
            "manifest_path": "", "dependencies": [], "targets": [],
        });
        serde_json::from_value(json).expect("a package")
    }

    fn licenses() -> Licenses {
        Licenses {
            allow: vec!["MIT".into(), "Apache-2.0 WITH LLVM-exception".into()],
        }
    }

    #[test]
    fn one_allowed_licence_of_several_is_enough() {
        assert_eq!(
            license_fault(&package("GPL-3.0-only OR MIT", "1.0.0"), &licenses()),
            None
        );
        assert_eq!(
            license_fault(&package("MIT/Apache-2.0", "1.0.0"), &licenses()),
            None
        );
    }

    #[test]
    fn every_licence_that_must_hold_is_checked() {
        let fault = license_fault(&package("MIT AND ISC", "1.0.0"), &licenses());

        assert_eq!(
            fault.expect("ISC is not allowed"),
            "a 1.0.0 has a licence that is not allowed: MIT AND ISC"
        );
    }

    #[test]
    fn an_exception_is_a_part_of_a_licence() {
        let with = package("Apache-2.0 WITH LLVM-exception", "1.0.0");

        assert_eq!(license_fault(&with, &licenses()), None);
        assert!(license_fault(&package("Apache-2.0", "1.0.0"), &licenses()).is_some());
    }

    #[test]
    fn a_crate_that_must_be_single_may_not_be_doubled() {
        let ban = Ban {
            name: "a".into(),
            deny_multiple_versions: true,
        };
        let (one, two) = (package("MIT", "1.0.0"), package("MIT", "2.0.0"));

        assert_eq!(bans(&[&one], &Bans { deny: vec![ban] }), [""; 0]);
        let ban = Ban {
            name: "a".into(),
            deny_multiple_versions: true,
        };
        assert_eq!(bans(&[&one, &two], &Bans { deny: vec![ban] }).len(), 1);
    }

    #[test]
    fn only_named_registries_are_allowed() {
        let rules = Sources {
            allow_registry: vec!["other".into()],
        };

        assert!(source_fault(&package("MIT", "1.0.0"), &rules).is_some());
    }
}
