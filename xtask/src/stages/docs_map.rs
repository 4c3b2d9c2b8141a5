//! Checks the maps from Raft's sections, traps, threats and reports to code and tests, and what other documents say of
//! files: they must not name what is not there.

mod files;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::source::{blank_comments_and_literals, rust_files};
use super::{Checks, Stage};
use crate::workspace::Workspace;

pub(super) const STAGE: Stage = Stage {
    name: "docs-map",
    about: "every function and test that the maps in docs/ name exists, and every file that a document names",
    budget: Duration::from_secs(5),
    run,
};

/// From the dissertation to code and tests, from threats to tests, and from what breaks for others to tests.
const MAPS: [&str; 3] = [
    "docs/dissertation.md",
    "docs/security.md",
    "docs/field-reports.md",
];

/// The functions of a module, by name: whether each is a test.
type Functions = BTreeMap<String, bool>;

fn run(workspace: &Workspace, _: &mut Checks) -> Result<()> {
    let mut modules = Vec::new();
    let files = rust_files(&workspace.root)?;
    for file in &files {
        let source = fs::read_to_string(workspace.root.join(file))
            .with_context(|| format!("reading {}", file.display()))?;
        modules.push((module_of(file), functions_of(&source)));
    }
    let mut faults = Vec::new();
    for name in MAPS {
        let map = fs::read_to_string(workspace.root.join(name)).context(name)?;
        let of_map = faults_of_map(&map, &modules).into_iter();
        faults.extend(of_map.map(|fault| format!("{name}, {fault}")));
    }
    faults.extend(files::faults(&workspace.root, &files)?);
    if faults.is_empty() {
        return Ok(());
    }
    bail!("documents are not true:\n  {}", faults.join("\n  "))
}

/// Tells of each `module::function` in the map that is not in a file of that name, and of each row that ends without a
/// test. Rows that say something begin with a section or a number.
fn faults_of_map(map: &str, modules: &[(String, Functions)]) -> Vec<String> {
    let mut faults = Vec::new();
    for (number, line) in (1..).zip(map.lines()) {
        for reference in references(line) {
            if find(reference, modules).is_none() {
                faults.push(format!("line {number}: there is no `{reference}`"));
            }
        }
        let is_row = line
            .strip_prefix("| ")
            .is_some_and(|row| row.starts_with(|c: char| c == '§' || c.is_ascii_digit()));
        let last_cell = line.trim_end_matches('|').rsplit(" | ").next();
        let mut tests = references(last_cell.unwrap_or_default());
        if is_row && !tests.any(|test| find(test, modules) == Some(true)) {
            faults.push(format!("line {number}: the row ends without a test"));
        }
    }
    faults
}

/// What stands in backticks and is a path in lower case, as `module::function`.
fn references(text: &str) -> impl Iterator<Item = &str> {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == ':';
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(move |text| text.contains("::") && text.chars().all(is_part))
}

/// Whether the function is there, and whether it is a test.
fn find(reference: &str, modules: &[(String, Functions)]) -> Option<bool> {
    let (module, function) = reference.rsplit_once("::")?;
    let ending = format!("::{module}");
    let mut found = modules
        .iter()
        .filter(|(path, _)| path.ends_with(&ending))
        .filter_map(|(_, functions)| functions.get(function).copied());
    found.next()
}

/// A file's path as that of a module, with `::` before each part.
fn module_of(file: &Path) -> String {
    let path = file.with_extension("");
    path.iter()
        .map(|part| part.to_string_lossy())
        .filter(|part| part != "mod")
        .map(|part| format!("::{part}"))
        .collect()
}

fn functions_of(source: &str) -> Functions {
    let mut functions = Functions::new();
    let mut is_test = false;
    for line in blank_comments_and_literals(source).lines().map(str::trim) {
        if line.starts_with("#[") {
            is_test |= line.contains("test");
            continue;
        }
        let mut words = line.split_whitespace().skip_while(|word| *word != "fn");
        if let Some(signature) = words.nth(1) {
            let is_part = |c: char| c.is_alphanumeric() || c == '_';
            let name = signature.split(|c| !is_part(c)).next().unwrap_or_default();
            functions.insert(name.to_owned(), is_test);
        }
        is_test &= line.is_empty();
    }
    functions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(map: &str) -> Vec<String> {
        let source = "impl A {\n    pub(super) fn vote(&self) {}\n}\n\
                      #[tokio::test(start_paused = true)]\nasync fn it_votes() {}\n";
        let module = module_of(Path::new("raft/src/consensus/vote.rs"));
        faults_of_map(map, &[(module, functions_of(source))])
    }

    #[test]
    fn what_is_there_may_be_named() {
        assert_eq!(
            faults("| §3.4 | `consensus::vote::vote` | `vote::it_votes` |"),
            [""; 0]
        );
        assert_eq!(faults("`Outbox::promise` and `vote` are no paths"), [""; 0]);
    }

    #[test]
    fn what_is_not_there_is_found() {
        assert_eq!(
            faults("\nsee `vote::it_abstains`"),
            ["line 2: there is no `vote::it_abstains`"]
        );
        assert_eq!(faults("`leader::it_votes`").len(), 1);
    }

    #[test]
    fn a_row_ends_with_a_test() {
        assert_eq!(
            faults("| 7 | `vote::it_votes` | `vote::vote` |"),
            ["line 1: the row ends without a test"]
        );
        assert_eq!(faults("| trap | test |\n|---|---|"), [""; 0]);
    }
}
