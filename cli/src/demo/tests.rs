//! The whole story with members that do what they must not.

use tokio::sync::Notify;

use super::options::tests::parse;
use super::summary::Report;
use super::{Timeline, tell};

/// Two members, of which none is killed: what is forged is there in the end.
fn told(forger: Option<usize>) -> Report {
    let mut options = parse(["--nodes", "2", "--lines", "12"]).expect("all is well");
    options.forger = forger;
    tell(&options, Timeline::silent(), &Notify::new()).expect("there is a clock")
}

#[test]
fn a_member_whose_history_is_corrupted_is_found_out() {
    let report = told(Some(1));

    assert!(!report.verified);
    assert_eq!(report.lost, Some(1));
    assert!(
        report
            .findings
            .contains(&"what member 2 reads has 1 lines that nobody wrote".to_owned()),
        "{:?}",
        report.findings
    );
}

#[test]
fn without_a_forger_the_same_story_is_verified() {
    let report = told(None);

    assert!(report.verified, "{:?}", report.findings);
}
