//! `cargo xtask conformance`: the interaction scripts of etcd's raft, run against our core.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use liferaft_conformance::{FileReport, Verdict, judge_folder};
use serde::Serialize;

/// Names the folder with another implementation's cases.
const CONFORMANCE: &str = "LIFERAFT_CONFORMANCE";
/// So many files may differ by design; more, and the scripts judge nothing any more.
const DIFFERING_MAX: usize = 3;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The scripts, in this folder or its `etcd-raft/interaction`; by default the folder that LIFERAFT_CONFORMANCE
    /// names
    folder: Option<PathBuf>,
    /// Print one object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    agreed: usize,
    differs: usize,
    failed: usize,
    files: Vec<File<'a>>,
}

#[derive(Serialize)]
struct File<'a> {
    name: &'a str,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    facts: usize,
}

impl<'a> File<'a> {
    fn of(report: &'a FileReport) -> Self {
        let (result, reason) = match &report.verdict {
            Verdict::Agreed => ("agreed", None),
            Verdict::Differs(reason) => ("differs", Some(reason.as_str())),
            Verdict::Failed(reason) => ("failed", Some(reason.as_str())),
        };
        Self {
            name: &report.name,
            result,
            reason,
            facts: report.facts,
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let folder = match &args.folder {
        Some(folder) => folder.clone(),
        None => {
            let folder = std::env::var_os(CONFORMANCE);
            let folder = folder.map(PathBuf::from);
            folder.with_context(|| format!("no folder is given, and {CONFORMANCE} is not set"))?
        }
    };
    let reports = judge_folder(&folder).with_context(|| format!("reading {}", folder.display()))?;
    ensure!(!reports.is_empty(), "no script in {}", folder.display());
    let report = summary(&reports);
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(&report);
    }
    Ok(if is_accepted(&report) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn summary(reports: &[FileReport]) -> Report<'_> {
    let files: Vec<File<'_>> = reports.iter().map(File::of).collect();
    let count = |result| files.iter().filter(|file| file.result == result).count();
    Report {
        agreed: count("agreed"),
        differs: count("differs"),
        failed: count("failed"),
        files,
    }
}

fn is_accepted(report: &Report<'_>) -> bool {
    report.failed == 0 && report.differs <= DIFFERING_MAX
}

fn print(report: &Report<'_>) {
    let names = report.files.iter().map(|file| file.name.len());
    let width = names.max().unwrap_or(0);
    for file in &report.files {
        let File {
            name,
            result,
            reason,
            facts,
        } = file;
        println!("{name:<width$} {result:<8} {facts:>5} facts");
        if let Some(reason) = reason {
            println!("{:width$} {reason}", "");
        }
    }
    let Report {
        agreed,
        differs,
        failed,
        ..
    } = report;
    println!(
        "\n{agreed} agreed, {differs} differ by design ({DIFFERING_MAX} may), {failed} failed"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(verdict: Verdict) -> FileReport {
        FileReport {
            name: "a.txt".to_owned(),
            verdict,
            facts: 3,
        }
    }

    #[test]
    fn as_many_files_as_are_known_may_differ_and_none_may_fail() {
        let differing = |files| -> Vec<FileReport> {
            let differing = || file(Verdict::Differs("by design".to_owned()));
            std::iter::repeat_with(differing).take(files).collect()
        };
        let failed = [file(Verdict::Failed("a bug".to_owned()))];

        assert!(is_accepted(&summary(&differing(DIFFERING_MAX))));
        assert!(!is_accepted(&summary(&differing(DIFFERING_MAX + 1))));
        assert!(!is_accepted(&summary(&failed)));
    }

    #[test]
    fn the_report_names_each_file_with_its_result_and_reason() {
        let reports = [
            file(Verdict::Agreed),
            file(Verdict::Failed("why".to_owned())),
        ];

        let json = serde_json::to_value(summary(&reports)).expect("plain data");

        assert_eq!(json["files"][0]["result"], "agreed");
        assert_eq!(json["files"][1]["reason"], "why");
        assert_eq!(json["failed"], 1);
    }
}
