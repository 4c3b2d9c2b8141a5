//! The files that documents name: each Rust file in backticks, and whatever is linked to.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

const DOCUMENTS: [&str; 3] = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"];
const FOLDER: &str = "docs";

/// Tells of each name of a Rust file that no file ends with, and of each link to nothing.
pub(super) fn faults(root: &Path, rust_files: &[PathBuf]) -> Result<Vec<String>> {
    let files: Vec<String> = rust_files
        .iter()
        .map(|file| format!("/{}", file.display()))
        .collect();
    let mut documents = DOCUMENTS.map(PathBuf::from).to_vec();
    for entry in fs::read_dir(root.join(FOLDER)).context(FOLDER)? {
        let name = entry?.file_name();
        if Path::new(&name).extension().is_some_and(|it| it == "md") {
            documents.push(Path::new(FOLDER).join(name));
        }
    }
    documents.sort();
    let mut faults = Vec::new();
    for document in documents {
        let text = fs::read_to_string(root.join(&document))
            .with_context(|| format!("reading {}", document.display()))?;
        let folder = root.join(&document).with_file_name("");
        let is_there = |target: &str| folder.join(target).exists();
        let of_document = faults_of(&text, &files, is_there).into_iter();
        faults.extend(of_document.map(|fault| format!("{}, {fault}", document.display())));
    }
    Ok(faults)
}

fn faults_of(text: &str, files: &[String], is_there: impl Fn(&str) -> bool) -> Vec<String> {
    let mut faults = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        for name in line.split('`').skip(1).step_by(2).flat_map(rust_files_of) {
            let ending = format!("/{name}");
            if !files.iter().any(|file| file.ends_with(&ending)) {
                faults.push(format!("line {number}: there is no file `{name}`"));
            }
        }
        for target in line.split("](").skip(1).filter_map(local_target_of) {
            if !is_there(target) {
                faults.push(format!("line {number}: there is no {target} to link to"));
            }
        }
    }
    faults
}

/// The Rust files that a quotation names: one, several as in `driver/{disk,clock}.rs`, or none. What stands for folders
/// that were named before, as in `…/log.rs`, is left out.
fn rust_files_of(quoted: &str) -> Vec<String> {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_/{},.".contains(c);
    let name = quoted.trim_start_matches("…/");
    if !name.ends_with(".rs") || !name.chars().all(is_part) {
        return Vec::new();
    }
    let braces = name.split_once('{').and_then(|(before, rest)| {
        let (choices, after) = rest.split_once('}')?;
        Some((before, choices, after))
    });
    match braces {
        Some((before, choices, after)) => choices
            .split(',')
            .map(|choice| format!("{before}{choice}{after}"))
            .collect(),
        None => vec![name.to_owned()],
    }
}

/// The file or folder that a link leads to, unless that is elsewhere or on the same page.
fn local_target_of(link: &str) -> Option<&str> {
    let (target, _) = link.split_once(')')?;
    let (target, _) = target.split_once('#').unwrap_or((target, ""));
    (!target.is_empty() && !target.contains("://")).then_some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        let files = ["/node/src/driver/disk.rs", "/node/src/driver/clock.rs"];
        faults_of(text, &files.map(str::to_owned), |target| {
            target == "docs/a.md"
        })
    }

    #[test]
    fn what_is_there_may_be_named() {
        assert_eq!(
            faults("`node/src/driver/{disk,clock}.rs`, `disk.rs` and `…/clock.rs`"),
            [""; 0]
        );
        assert_eq!(
            faults("[a](docs/a.md#b), [b](#b), [c](https://c.rs)"),
            [""; 0]
        );
        assert_eq!(faults("`Disk.rs` is none, and `*.rs` is many"), [""; 0]);
    }

    #[test]
    fn what_is_not_there_is_found() {
        assert_eq!(
            faults("\n`driver/{disk,tape}.rs`"),
            ["line 2: there is no file `driver/tape.rs`"]
        );
        assert_eq!(faults("`isk.rs`").len(), 1);
        assert_eq!(
            faults("[a](docs/b.md)"),
            ["line 1: there is no docs/b.md to link to"]
        );
    }
}
