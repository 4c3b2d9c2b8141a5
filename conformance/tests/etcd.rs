//! The interaction scripts of etcd's raft.
use std::path::Path;

use liferaft_conformance::{Verdict, judge_folder};

#[test]
fn the_core_agrees_with_the_scripts_of_etcd() {
    let Some(folder) = std::env::var_os("LIFERAFT_CONFORMANCE") else {
        return;
    };
    let folder = Path::new(&folder).join("etcd-raft/interaction");

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
    assert!(differ.count() <= 2);
}
