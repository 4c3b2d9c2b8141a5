//! The interaction scripts of etcd's raft, read from the folder that `LIFERAFT_CONFORMANCE` names; without it there is
//! nothing to compare with, which the test command lists as skipped.

mod wrong;

use std::fs;
use std::path::PathBuf;

use liferaft_conformance::{Verdict, judge, judge_folder, scripts};

fn folder() -> Option<PathBuf> {
    std::env::var_os("LIFERAFT_CONFORMANCE").map(PathBuf::from)
}

#[test]
fn the_core_agrees_with_the_scripts_of_etcd() {
    let Some(folder) = folder() else { return };

    let reports =
        judge_folder(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));

    assert!(!reports.is_empty(), "no script in {}", folder.display());
    for report in &reports {
        println!(
            "{}: {:?} ({} facts)",
            report.name, report.verdict, report.facts
        );
    }
    let failed = reports
        .iter()
        .filter(|report| matches!(report.verdict, Verdict::Failed(_)));
    assert_eq!(failed.count(), 0);
    let differ = reports
        .iter()
        .filter(|report| matches!(report.verdict, Verdict::Differs(_)));
    assert!(differ.count() <= 3);
}

#[test]
fn no_wrong_value_in_the_scripts_goes_unnoticed() {
    let Some(folder) = folder() else { return };
    let mut tried = 0;
    let mut missed = Vec::new();

    for path in scripts(&folder).expect("a folder") {
        let script = fs::read_to_string(&path).expect("a readable file");
        if matches!(judge("right.txt", &script).verdict, Verdict::Failed(_)) {
            continue;
        }
        let (of_script, unnoticed) = wrong::unnoticed(&script);
        tried += of_script;
        missed.extend(
            unnoticed
                .iter()
                .map(|line| format!("{}:{line}", path.display())),
        );
    }

    assert!(tried > 0, "nothing to change in {}", folder.display());
    assert!(
        missed.is_empty(),
        "{} of {tried}:\n{}",
        missed.len(),
        missed.join("\n")
    );
    println!("{tried} wrong expectations found out");
}
