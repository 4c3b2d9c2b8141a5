//! Finds source files, and blanks their comments and literals.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Folders that hold no source of ours, wherever they are. Hidden ones are left out as well.
const NOT_OURS: [&str; 3] = ["target", "node_modules", "pkg"];

/// The Rust files below a folder, in order, relative to it.
pub(super) fn rust_files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if path.is_dir() {
                if !name.starts_with('.') && !NOT_OURS.contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if name.ends_with(".rs") {
                files.push(path.strip_prefix(root).unwrap_or(&path).to_owned());
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Blanks comments, strings and characters. Lines keep their numbers.
pub(super) fn blank_comments_and_literals(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let blank = literal_or_comment(rest);
        // A prefix as in `r"…"` is a word of its own; a word that merely ends in `r` is not a prefix.
        let skipped = match blank {
            0 => word_length(rest).max(first.len_utf8()),
            length => length,
        };
        let (taken, tail) = rest.split_at(skipped);
        if blank == 0 {
            code.push_str(taken);
        } else {
            code.push(' ');
            code.extend(taken.chars().filter(|c| *c == '\n'));
        }
        rest = tail;
    }
    code
}

fn word_length(text: &str) -> usize {
    text.find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len())
}

/// The length of the comment or literal that `text` begins with; 0 if it begins with neither.
fn literal_or_comment(text: &str) -> usize {
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return block_comment(text);
    }
    let unprefixed = ["br", "cr", "b", "c", "r"]
        .into_iter()
        .find_map(|prefix| {
            text.strip_prefix(prefix)
                .filter(|rest| rest.starts_with(['"', '#', '\'']))
        })
        .unwrap_or(text);
    let prefix = &text[..text.len() - unprefixed.len()];
    let length = if prefix.ends_with('r') {
        raw_string(unprefixed)
    } else if unprefixed.starts_with('"') {
        quoted(unprefixed, '"')
    } else if unprefixed.starts_with('\'') {
        character(unprefixed)
    } else {
        0
    };
    if length == 0 {
        0
    } else {
        prefix.len() + length
    }
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

fn raw_string(text: &str) -> usize {
    let hashes = text.len() - text.trim_start_matches('#').len();
    let Some(content) = text[hashes..].strip_prefix('"') else {
        return 0;
    };
    let end = format!("\"{}", "#".repeat(hashes));
    content
        .find(&end)
        .map_or(text.len(), |at| hashes + 1 + at + end.len())
}

fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + quote.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// A character's literal, unless the quote begins a lifetime.
fn character(text: &str) -> usize {
    let mut content = text.chars().skip(1);
    match (content.next(), content.next()) {
        (Some('\\'), _) | (Some(_), Some('\'')) => quoted(text, '\''),
        _ => 0,
    }
}

#[cfg(test)]
mod unit {
    use super::*;

    fn blanked(source: &str) -> Vec<String> {
        let code = blank_comments_and_literals(source);
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let words = code.split(|c| !is_part(c));
        let words = words.filter(|word| !word.is_empty());
        words.map(str::to_owned).collect()
    }

    #[test]
    fn comments_are_no_code() {
        assert_eq!(blanked("a /* b /* c */ d */ e // f\ng"), ["a", "e", "g"]);
    }

    #[test]
    fn literals_are_no_code() {
        assert_eq!(
            blanked(r##"a "b \" c" r#"d " e"# b"f" 'g' '\'' b'h' i"##),
            ["a", "i"]
        );
    }

    #[test]
    fn a_lifetime_is_no_literal() {
        assert_eq!(blanked("&'a str, &'b str"), ["a", "str", "b", "str"]);
    }

    #[test]
    fn a_raw_identifier_is_no_raw_string() {
        assert_eq!(blanked("r#type attr\"x\" b"), ["r", "type", "attr", "b"]);
    }

    #[test]
    fn lines_keep_their_numbers() {
        let code = blank_comments_and_literals("/* \n */ \"\n\" a");

        let line = code.lines().position(|line| line.contains('a'));
        assert_eq!(line, Some(2));
    }
}
