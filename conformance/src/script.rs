//! The grammar of the scripts: that of cockroachdb/datadriven.

use std::str::FromStr;

use thiserror::Error;

/// Why a script cannot be run, or not to its end.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {reason}")]
pub struct ScriptError {
    /// The line in the script, from 1.
    pub line: usize,
    /// What cannot be read or done there.
    pub reason: String,
}

/// One command and the answer expected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Directive {
    /// Where the command stands, from 1.
    pub(crate) line: usize,
    pub(crate) command: String,
    pub(crate) arguments: Vec<Argument>,
    /// The lines between the command and the first `----`.
    pub(crate) input: Vec<String>,
    /// The lines expected, each with its own number.
    pub(crate) expected: Vec<(usize, String)>,
}

/// `key`, `key=value` or `key=(value,value)`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Argument {
    pub(crate) key: String,
    /// `None` without `=`.
    pub(crate) values: Option<Vec<String>>,
}

const SEPARATOR: &str = "----";

/// Reads a whole script.
///
/// # Errors
/// When a command has no answer, or an argument is malformed.
pub(crate) fn parse(text: &str) -> Result<Vec<Directive>, ScriptError> {
    let mut lines = text
        .lines()
        .enumerate()
        .map(|(at, line)| (at + 1, line))
        .peekable();
    let mut directives = Vec::new();
    while let Some((line, first)) = lines.next() {
        let first = first.trim();
        if first.is_empty() || first.starts_with('#') {
            continue;
        }
        let mut command = first.to_owned();
        while let Some(head) = command.strip_suffix('\\') {
            let head = head.trim_end().to_owned();
            let Some((_, next)) = lines.next() else {
                break;
            };
            command = format!("{head} {}", next.trim());
        }
        let mut input = Vec::new();
        loop {
            match lines.next() {
                Some((_, SEPARATOR)) => break,
                Some((_, body)) => input.push(body.trim().to_owned()),
                None => {
                    let reason = format!("`{command}` is followed by no `{SEPARATOR}`");
                    return Err(ScriptError { line, reason });
                }
            }
        }
        let mut expected = Vec::new();
        if lines.next_if(|(_, body)| *body == SEPARATOR).is_some() {
            read_bracketed(&mut lines, &mut expected, line)?;
        } else {
            while let Some((at, body)) = lines.next_if(|(_, body)| !body.trim().is_empty()) {
                expected.push((at, body.to_owned()));
            }
        }
        let mut words = arguments(&command)
            .map_err(|reason| ScriptError { line, reason })?
            .into_iter();
        let Some(Argument {
            key: command,
            values: None,
        }) = words.next()
        else {
            let reason = format!("`{command}` does not begin with a command");
            return Err(ScriptError { line, reason });
        };
        directives.push(Directive {
            line,
            command,
            arguments: words.collect(),
            input,
            expected,
        });
    }
    Ok(directives)
}

/// An answer that may hold blank lines, up to a doubled separator.
fn read_bracketed<'a>(
    lines: &mut std::iter::Peekable<impl Iterator<Item = (usize, &'a str)>>,
    expected: &mut Vec<(usize, String)>,
    line: usize,
) -> Result<(), ScriptError> {
    while let Some((at, body)) = lines.next() {
        if body == SEPARATOR && lines.next_if(|(_, next)| *next == SEPARATOR).is_some() {
            return Ok(());
        }
        expected.push((at, body.to_owned()));
    }
    let reason = format!("the answer is not closed by a doubled `{SEPARATOR}`");
    Err(ScriptError { line, reason })
}

/// The words of a command line.
fn arguments(command: &str) -> Result<Vec<Argument>, String> {
    let mut found = Vec::new();
    let mut rest = command.trim_start();
    while !rest.is_empty() {
        let end = end_of_word(rest, &['=']);
        let (key, tail) = rest.split_at(end);
        let key = unquoted(key);
        let Some(value) = tail.strip_prefix('=') else {
            found.push(Argument { key, values: None });
            rest = tail.trim_start();
            continue;
        };
        if key.is_empty() {
            return Err(format!("a value without a name in `{command}`"));
        }
        let (values, tail) = if let Some(list) = value.strip_prefix('(') {
            let Some((inside, tail)) = list.split_once(')') else {
                return Err(format!("a list that is not closed in `{command}`"));
            };
            let values = inside
                .split(',')
                .map(|value| unquoted(value.trim()))
                .filter(|value| !value.is_empty());
            (values.collect(), tail)
        } else {
            let (value, tail) = value.split_at(end_of_word(value, &[]));
            (vec![unquoted(value)], tail)
        };
        found.push(Argument {
            key,
            values: Some(values),
        });
        rest = tail.trim_start();
    }
    Ok(found)
}

/// Where the word ends that the text begins with: at a blank outside quotes, or at one of these.
fn end_of_word(text: &str, also: &[char]) -> usize {
    let mut quoted = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            c if !quoted && (c.is_whitespace() || also.contains(&c)) => return at,
            _ => {}
        }
    }
    text.len()
}

fn unquoted(word: &str) -> String {
    let inside = word
        .strip_prefix('"')
        .and_then(|word| word.strip_suffix('"'));
    inside.unwrap_or(word).to_owned()
}

impl Directive {
    /// The error of this directive.
    pub(crate) fn error(&self, reason: impl Into<String>) -> ScriptError {
        ScriptError {
            line: self.line,
            reason: reason.into(),
        }
    }

    /// The words without a value, which come before any with one or between them.
    ///
    /// # Errors
    /// When there are more than `most` or fewer than `least`.
    pub(crate) fn words(&self, least: usize, most: usize) -> Result<Vec<&str>, ScriptError> {
        let words: Vec<&str> = self
            .arguments
            .iter()
            .filter(|argument| argument.values.is_none())
            .map(|argument| argument.key.as_str())
            .collect();
        if words.len() < least || words.len() > most {
            let reason = format!("`{}` with {} words", self.command, words.len());
            return Err(self.error(reason));
        }
        Ok(words)
    }

    /// The words without a value, as numbers.
    pub(crate) fn numbers(&self, least: usize, most: usize) -> Result<Vec<u64>, ScriptError> {
        self.words(least, most)?
            .into_iter()
            .map(|word| self.number(word))
            .collect()
    }

    pub(crate) fn number<T: FromStr>(&self, word: &str) -> Result<T, ScriptError> {
        word.parse()
            .map_err(|_| self.error(format!("`{word}` is not a number that fits here")))
    }

    /// The arguments with values.
    ///
    /// # Errors
    /// When one is not among those that the command knows.
    pub(crate) fn named(&self, known: &[&str]) -> Result<Vec<&Argument>, ScriptError> {
        let mut named = Vec::new();
        for argument in &self.arguments {
            if argument.values.is_none() {
                continue;
            }
            if !known.contains(&argument.key.as_str()) {
                let reason = format!("`{}` knows no argument `{}`", self.command, argument.key);
                return Err(self.error(reason));
            }
            named.push(argument);
        }
        Ok(named)
    }

    /// The only value of an argument.
    pub(crate) fn value<'a>(&self, argument: &'a Argument) -> Result<&'a str, ScriptError> {
        match argument.values.as_deref() {
            Some([value]) => Ok(value),
            _ => Err(self.error(format!("`{}` wants one value", argument.key))),
        }
    }

    pub(crate) fn flag(&self, argument: &Argument) -> Result<bool, ScriptError> {
        match self.value(argument)? {
            "true" | "t" | "1" => Ok(true),
            "false" | "f" | "0" => Ok(false),
            other => Err(self.error(format!("`{other}` is neither true nor false"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argument(key: &str, values: Option<&[&str]>) -> Argument {
        Argument {
            key: key.to_owned(),
            values: values.map(|values| values.iter().map(|value| (*value).to_owned()).collect()),
        }
    }

    #[test]
    fn a_directive_has_words_values_lists_a_body_and_an_answer() {
        let script = "# why\n\ncmd 1 k=v list=(1, 2) none=()\nbody\n----\nok\n\nnext\n----\n";

        let read = parse(script).expect("it is well formed");

        assert_eq!(read.len(), 2);
        assert_eq!(
            read[0].arguments,
            [
                argument("1", None),
                argument("k", Some(&["v"])),
                argument("list", Some(&["1", "2"])),
                argument("none", Some(&[])),
            ]
        );
        assert_eq!(read[0].input, ["body"]);
        assert_eq!(read[0].expected, [(6, "ok".to_owned())]);
        assert_eq!((read[1].line, read[1].expected.len()), (8, 0));
    }

    #[test]
    fn a_doubled_separator_brackets_an_answer_with_blank_lines() {
        let read = parse("cmd\n----\n----\na\n\nb\n----\n----\n\nnext\n----\nok\n")
            .expect("it is well formed");

        let answer: Vec<&str> = read[0].expected.iter().map(|(_, l)| l.as_str()).collect();
        assert_eq!(answer, ["a", "", "b"]);
        assert_eq!(read[1].command, "next");
    }

    #[test]
    fn what_is_malformed_is_refused_with_its_line() {
        let unanswered = parse("\ncmd 1\n").expect_err("it has no answer");
        let unclosed = parse("cmd l=(1\n----\n").expect_err("the list is open");

        assert_eq!(unanswered.line, 2);
        assert!(unclosed.reason.contains("not closed"), "{unclosed}");
    }
}
