//! The interaction scripts of etcd's raft, read from the folder that `LIFERAFT_CONFORMANCE` names; without it there is
//! nothing to compare with, which the test command lists as skipped.

use std::fs;
use std::path::{Path, PathBuf};

use liferaft_conformance::{Verdict, judge, judge_folder};

fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("LIFERAFT_CONFORMANCE")?;
    Some(Path::new(&folder).join("etcd-raft/interaction"))
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
    assert!(differ.count() <= 2);
}

/// Changes the number after `name` by one.
fn with_more(line: &str, name: &str) -> Option<String> {
    let (before, rest) = line.split_once(name)?;
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let number: u64 = rest[..end].parse().ok()?;
    Some(format!("{before}{name}{}{}", number + 1, &rest[end..]))
}

/// What a line might have said instead, if it is one that must be right whatever the schedule.
fn wrong(line: &str, is_committed: bool) -> Vec<String> {
    if line.contains(": State") && line.contains("Lead:") {
        let names = ["Term:", "Lead:"];
        let numbers = names.iter().filter_map(|name| with_more(line, name));
        let voter = if line.contains("(Voter)") {
            line.replace("(Voter)", "(Non-Voter)")
        } else {
            line.replace("(Non-Voter)", "(Voter)")
        };
        return numbers.chain([voter]).collect();
    }
    if line.trim().starts_with("HardState ") {
        return with_more(line, "Vote:").into_iter().collect();
    }
    if is_committed {
        let text = line.trim();
        let term = line.replacen(text, &format!("9{text}"), 1);
        let data = line.replacen("EntryNormal \"", "EntryNormal \"not ", 1);
        return [term, data]
            .into_iter()
            .filter(|wrong| wrong != line)
            .collect();
    }
    Vec::new()
}

#[test]
fn no_wrong_state_vote_or_committed_entry_in_the_scripts_goes_unnoticed() {
    let Some(folder) = folder() else { return };
    let mut tried = 0;

    for entry in fs::read_dir(&folder).expect("a folder") {
        let path = entry.expect("a readable folder").path();
        let script = fs::read_to_string(&path).expect("a readable file");
        if judge("right", &script).verdict != Verdict::Agreed {
            continue;
        }
        let lines: Vec<&str> = script.lines().collect();
        let mut is_committed = false;
        for (at, line) in lines.iter().enumerate() {
            is_committed &= line.contains(" Entry");
            for wrong in wrong(line, is_committed) {
                let mut changed = lines.clone();
                changed[at] = &wrong;
                let report = judge("wrong", &(changed.join("\n") + "\n"));
                let place = format!("{}:{}: {wrong}", path.display(), at + 1);
                assert!(matches!(report.verdict, Verdict::Failed(_)), "{place}");
                tried += 1;
            }
            is_committed |= line.trim() == "CommittedEntries:";
        }
    }

    assert!(tried > 0, "nothing to change in {}", folder.display());
    println!("{tried} wrong expectations found out");
}
