//! The stages of `cargo xtask test`, cheapest first. Each is a module of its own.

use std::time::Duration;

use anyhow::Result;

use crate::workspace::Workspace;

mod benches;
mod browser;
mod clippy;
mod copied;
pub(crate) mod demo;
mod deny;
mod docs;
mod docs_map;
mod doctests;
mod examples;
mod format;
mod layers;
mod no_std;
mod package;
mod sim;
mod source;
mod tests;
mod toolchain;
mod wasm;
mod web;

/// A named part of the checks.
pub(crate) struct Stage {
    pub(crate) name: &'static str,
    /// What it checks, as a phrase.
    pub(crate) about: &'static str,
    /// What it may take with its builds on a quiet machine of two cores. It is printed beside what the stage took, so
    /// that whoever makes it slower sees it; nothing fails for taking longer. All together are 40 minutes at most.
    pub(crate) budget: Duration,
    pub(crate) run: fn(&Workspace, &mut Checks) -> Result<()>,
}

/// What a stage tells besides its success.
#[derive(Default)]
pub(crate) struct Checks {
    /// Why something was left out.
    pub(crate) skips: Vec<String>,
    /// Whether all of it was.
    pub(crate) skipped_whole: bool,
}

impl Checks {
    /// Notes that a part of the stage is left out.
    fn skip_part(&mut self, reason: impl Into<String>) {
        self.skips.push(reason.into());
    }

    /// Notes that the stage is left out.
    fn skip_whole(&mut self, reason: impl Into<String>) {
        self.skips.push(reason.into());
        self.skipped_whole = true;
    }
}

/// All stages, in the order in which they run.
pub(crate) const ALL: &[Stage] = &[
    format::STAGE,
    layers::STAGE,
    docs_map::STAGE,
    deny::STAGE,
    no_std::STAGE,
    clippy::STAGE,
    docs::STAGE,
    tests::STAGE,
    doctests::STAGE,
    benches::STAGE,
    examples::STAGE,
    package::STAGE,
    demo::STAGE,
    sim::STAGE,
    wasm::STAGE,
    web::STAGE,
    browser::STAGE,
];

pub(crate) fn names() -> Vec<&'static str> {
    ALL.iter().map(|stage| stage.name).collect()
}

#[cfg(test)]
mod checks {
    use super::*;

    #[test]
    fn all_budgets_together_are_forty_minutes_at_most() {
        let all: Duration = ALL.iter().map(|stage| stage.budget).sum();

        assert!(all <= Duration::from_secs(40 * 60), "{all:?}");
    }
}
