//! An independent judge: the interaction scripts of etcd's raft, run against our core.

mod cluster;
mod expected;
mod judge;
mod run;
mod script;

pub use script::ScriptError;

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// What became of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Ours hold to be true what etcd's do.
    Agreed,
    /// Something is decided otherwise by our design: what, and where it shows.
    Differs(String),
    /// Something is otherwise that should not be, or the script cannot be run.
    Failed(String),
}

/// A script's name and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileReport {
    /// The name of the file.
    pub name: String,
    /// What became of it.
    pub verdict: Verdict,
    /// How many facts were compared.
    pub facts: usize,
}

/// Runs a script.
#[must_use]
pub fn judge(name: &str, text: &str) -> FileReport {
    // A broken invariant of the core panics: that, too, is a verdict on this file and no other.
    let judged = catch_unwind(AssertUnwindSafe(|| run::run(text)));
    let (verdict, facts) = match judged {
        Ok(Ok(judge)) => (verdict(&judge.findings), judge.facts),
        Ok(Err(error)) => (Verdict::Failed(error.to_string()), 0),
        Err(panic) => {
            let said = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied());
            let said = said.unwrap_or("without a word");
            (Verdict::Failed(format!("panicked: {said}")), 0)
        }
    };
    FileReport {
        name: name.to_owned(),
        verdict,
        facts,
    }
}

fn verdict(findings: &[judge::Finding]) -> Verdict {
    let unexplained = findings.iter().find(|finding| finding.explained.is_none());
    if let Some(finding) = unexplained {
        return Verdict::Failed(format!("line {}: {}", finding.line, finding.what));
    }
    match findings.first() {
        None => Verdict::Agreed,
        Some(finding) => {
            let reason = finding.explained.map_or("", cluster::Difference::reason);
            let (line, what) = (finding.line, &finding.what);
            Verdict::Differs(format!("{reason}; line {line}: {what}"))
        }
    }
}

/// Runs the scripts of a folder, sorted by name: its files that end in `.txt`.
///
/// # Errors
/// When the folder or a file in it cannot be read.
pub fn judge_folder(folder: &Path) -> io::Result<Vec<FileReport>> {
    let mut reports = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if !path.is_file() || path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        reports.push(judge(&name, &fs::read_to_string(&path)?));
    }
    reports.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(reports)
}
