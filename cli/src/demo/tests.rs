//! The whole story with members that do what they must not.

use super::options::tests::parse;
use super::summary::Report;
use super::{Timeline, tell};

fn told(forger: Option<usize>) -> Report {
    let mut options =
        parse(["--nodes", "3", "--election-timeout", "250", "--lines", "12"]).expect("all is well");
    options.forger = forger;
    tell(&options, Timeline::silent()).expect("there are threads")
}

#[test]
fn a_member_whose_history_is_corrupted_is_found_out() {
    let report = told(Some(2));

    assert!(!report.verified);
    assert!(
        report
            .findings
            .iter()
            .any(|finding| finding.contains("what member 3 applied differs")),
        "{:?}",
        report.findings
    );
}

#[test]
fn without_a_forger_the_same_story_is_verified() {
    let report = told(None);

    assert!(report.verified, "{:?}", report.findings);
}
