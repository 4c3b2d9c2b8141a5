//! What was left out, and the committed list of what may be left out in CI.

use anyhow::{Context, Result};

/// Something that a stage did not check, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Skip {
    pub(crate) stage: &'static str,
    pub(crate) reason: String,
}

/// The skips that CI accepts: lines of `stage: reason`, where `*` in a reason stands for anything.
#[derive(Debug)]
pub(crate) struct Allowed(Vec<(String, String)>);

/// The committed list.
const COMMITTED: &str = include_str!("../allowed-skips.txt");

impl Allowed {
    /// The committed list.
    pub(crate) fn committed() -> Result<Self> {
        Self::parse(COMMITTED).context("reading xtask/allowed-skips.txt")
    }

    fn parse(list: &str) -> Result<Self> {
        list.lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| {
                let (stage, reason) = line
                    .split_once(": ")
                    .with_context(|| format!("`{line}` is not `stage: reason`"))?;
                Ok((stage.to_owned(), reason.trim().to_owned()))
            })
            .collect::<Result<_>>()
            .map(Self)
    }

    pub(crate) fn names(&self, skip: &Skip) -> bool {
        self.0
            .iter()
            .any(|(stage, pattern)| stage == skip.stage && matches(pattern, &skip.reason))
    }
}

/// Whether `text` fits `pattern`, in which `*` stands for any number of characters.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(rest) = text.strip_prefix(head) else {
        return false;
    };
    rest.char_indices()
        .map(|(at, _)| at)
        .chain([rest.len()])
        .any(|at| matches(tail, &rest[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skip(stage: &'static str, reason: &str) -> Skip {
        Skip {
            stage,
            reason: reason.to_owned(),
        }
    }

    #[test]
    fn a_skip_is_allowed_by_its_stage_and_its_reason_together() {
        let allowed =
            Allowed::parse("# why\n\nwasm: no * here\n").expect("the list is well formed");

        assert!(allowed.names(&skip("wasm", "no node here")));
        assert!(!allowed.names(&skip("wasm", "no node there")));
        assert!(!allowed.names(&skip("docs", "no node here")));
    }

    #[test]
    fn a_line_without_a_reason_is_refused() {
        let error = Allowed::parse("wasm").expect_err("it has no reason");

        assert!(error.to_string().contains("`wasm`"));
    }

    #[test]
    fn a_pattern_without_a_star_fits_itself_only() {
        assert!(matches("as it is", "as it is"));
        assert!(!matches("as it is", "as it is not"));
    }

    #[test]
    fn the_committed_list_is_well_formed() {
        Allowed::committed().expect("the list is well formed");
    }
}
