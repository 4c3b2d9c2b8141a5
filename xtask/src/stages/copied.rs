//! The examples of the documentation as a reader copies them: each a program of its own.
//!
//! Inside the workspace a hidden line may stand for the facade, since the packages below it cannot depend on it. A
//! reader does not have that line, nor the packages that it names.

use std::fs;

use anyhow::{Context, Result};

use super::source::rust_files;
use crate::workspace::Package;

/// An example, as a program.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Example {
    /// Where it stands, as the name of a file.
    pub(super) name: String,
    pub(super) program: String,
}

/// Returns the examples in the sources of a package.
pub(super) fn examples(package: &Package) -> Result<Vec<Example>> {
    let folder = package
        .manifest_path
        .parent()
        .context("a manifest is in a folder")?;
    let sources = folder.join("src");
    let mut examples = Vec::new();
    for file in rust_files(&sources)? {
        let path = sources.join(&file);
        let source =
            fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let place = format!("{}_{}", package.name, file.with_extension("").display());
        let place = place.replace(|c: char| !c.is_alphanumeric(), "_");
        let found = blocks(&source).into_iter();
        examples.extend(found.map(|(line, code)| Example {
            name: format!("{place}_{line}"),
            program: program(&code),
        }));
    }
    Ok(examples)
}

/// The code in doc comments, with the line that it begins on.
fn blocks(source: &str) -> Vec<(usize, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, bool, String)> = None;
    for (number, line) in source.lines().enumerate() {
        let line = line.trim_start();
        let Some(doc) = ["///", "//!"]
            .iter()
            .find_map(|mark| line.strip_prefix(mark))
        else {
            continue;
        };
        let doc = doc.strip_prefix(' ').unwrap_or(doc);
        open = match (open, doc.strip_prefix("```")) {
            (None, Some(kind)) => Some((number + 2, kind != "text", String::new())),
            (Some((first, is_code, code)), Some(_)) => {
                if is_code {
                    blocks.push((first, code));
                }
                None
            }
            (Some((first, is_code, mut code)), None) => {
                if let Some(line) = shown(doc) {
                    code.push_str(line);
                    code.push('\n');
                }
                Some((first, is_code, code))
            }
            (None, None) => None,
        };
    }
    blocks
}

/// Returns true if this document has an example of its own, and each is one in the module's documentation as that is
/// shown: without its hidden lines.
pub(super) fn repeats(document: &str, source: &str) -> bool {
    let lines = source.lines().filter_map(|line| line.strip_prefix("//!"));
    let lines = lines.map(|line| line.strip_prefix(' ').unwrap_or(line));
    let seen: Vec<_> = lines
        .filter(|line| !line.trim_start().starts_with("# "))
        .collect();
    let seen = seen.join("\n");
    let mut own = document
        .split("```rust\n")
        .skip(1)
        .filter_map(|behind| behind.split("```").next())
        .peekable();
    own.peek().is_some() && own.all(|code| seen.contains(code))
}

/// A line of an example, without the mark of a hidden one. `None` for the line that stands for the facade.
fn shown(line: &str) -> Option<&str> {
    match line.trim_start().strip_prefix("# ") {
        Some(hidden) if hidden.contains("liferaft_") => None,
        Some(hidden) => Some(hidden),
        None if line == "#" => Some(""),
        None => Some(line),
    }
}

/// The code as rustdoc would run it.
fn program(code: &str) -> String {
    let code = if code.contains("fn main(") {
        code.to_owned()
    } else if code.trim_end().ends_with("(())") {
        format!(
            "fn main() {{\nfn example() -> Result<(), impl std::fmt::Debug> {{\n{code}}}\nexample().unwrap();\n}}\n"
        )
    } else {
        format!("fn main() {{\n{code}}}\n")
    };
    format!("#![allow(unused)]\n{code}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_in_doc_comments_is_found_with_its_hidden_lines() {
        let source = "\
//! ```text
//! a drawing
//! ```
/// Words.
///
/// ```
/// # use std::fmt;
/// #[derive(Debug)]
/// struct Tent;
/// ```
struct Tent;
";

        let found = blocks(source);

        let code = "use std::fmt;\n#[derive(Debug)]\nstruct Tent;\n".to_owned();
        assert_eq!(found, [(7, code)]);
    }

    #[test]
    fn the_line_that_stands_for_the_facade_is_not_copied() {
        let source =
            "/// ```\n/// # use liferaft_raft as liferaft;\n/// use liferaft::Kv;\n/// ```\n";

        assert_eq!(blocks(source), [(2, "use liferaft::Kv;\n".to_owned())]);
    }

    #[test]
    fn a_document_repeats_an_example_without_its_hidden_lines() {
        let source = "//! ```\n//! pitch();\n//!\n//!     # hide();\n//! sleep();\n//! ```\n";

        assert!(repeats("```rust\npitch();\n\nsleep();\n```\n", source));
        assert!(!repeats("```rust\npitch();\nsleep();\n```\n", source));
        assert!(!repeats("```sh\npitch\n```\n", source));
    }

    #[test]
    fn an_example_without_a_main_gets_one() {
        assert!(program("let one = 1;\n").contains("fn main() {\nlet one = 1;\n}"));
        assert!(program("f()?;\nOk::<(), E>(())\n").contains("example().unwrap();"));
        assert_eq!(program("fn main() {}\n").matches("fn main").count(), 1);
    }
}
