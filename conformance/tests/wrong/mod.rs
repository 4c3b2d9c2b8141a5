//! Wrong expectations: what a line of a script might have said instead.

use liferaft_conformance::{Verdict, judge};

/// Tries each wrong value of a script, one at a time. Returns how many were tried, and those that no failure found out,
/// each with its line.
pub(crate) fn unnoticed(script: &str) -> (usize, Vec<String>) {
    let lines: Vec<&str> = script.lines().collect();
    let mut answer = Answer::default();
    let (mut tried, mut missed) = (0, Vec::new());
    for (at, line) in lines.iter().enumerate() {
        answer.read(line);
        for wrong in answer.wrong(line) {
            let mut changed = lines.clone();
            changed[at] = &wrong;
            let report = judge("wrong.txt", &(changed.join("\n") + "\n"));
            tried += 1;
            if !matches!(report.verdict, Verdict::Failed(_)) {
                missed.push(format!("{}: {wrong}", at + 1));
            }
        }
    }
    (tried, missed)
}

/// The part of an answer that a line is in.
#[derive(Default)]
struct Answer {
    command: String,
    in_answer: bool,
    is_committed: bool,
}

impl Answer {
    fn read(&mut self, line: &str) {
        self.is_committed &= line.contains(" Entry");
        self.is_committed |= line.trim() == "CommittedEntries:";
        if line == "----" {
            self.in_answer = true;
        } else if line.trim().is_empty() {
            self.in_answer = false;
            self.command.clear();
        } else if !self.in_answer && self.command.is_empty() && !line.starts_with('#') {
            line.clone_into(&mut self.command);
        }
    }

    /// The values that must be right whatever the schedule, each made wrong.
    fn wrong(&self, line: &str) -> Vec<String> {
        if !self.in_answer {
            return Vec::new();
        }
        if line.contains(": State") && line.contains("Lead:") {
            return state(line);
        }
        if line.contains(": StateReplicate match=") && !line.contains("paused") {
            return progress(line);
        }
        if line.trim().starts_with("HardState ") {
            let numbers = ["Term:", "Vote:"];
            let numbers = numbers.iter().filter_map(|name| with_more(line, name));
            // Who learns by one more when is schedule; what nobody ever commits is wrong.
            let commit = line.replacen("Commit:", "Commit:9", 1);
            return numbers.chain([commit]).collect();
        }
        if line.contains(" switched to configuration voters=(") {
            return configuration(line);
        }
        let is_log = self.command.starts_with("raft-log") && line.contains(" Entry");
        if is_log || (self.is_committed && line.contains(" Entry")) {
            return entry(line);
        }
        Vec::new()
    }
}

/// `1: StateLeader (Voter) Term:1 Lead:1`
fn state(line: &str) -> Vec<String> {
    let names = ["Term:", "Lead:"];
    let numbers = names.iter().filter_map(|name| with_more(line, name));
    let voter = if line.contains("(Voter)") {
        line.replace("(Voter)", "(Non-Voter)")
    } else {
        line.replace("(Non-Voter)", "(Voter)")
    };
    let role = if line.contains("StateLeader") {
        line.replace("StateLeader", "StateFollower")
    } else {
        let (before, rest) = line.split_once("State").expect("a role");
        let (_, after) = rest.split_once(' ').expect("more after the role");
        format!("{before}StateLeader {after}")
    };
    numbers.chain([voter, role]).collect()
}

/// `2: StateReplicate match=11 next=12 learner`
fn progress(line: &str) -> Vec<String> {
    let learner = match line.strip_suffix(" learner") {
        Some(voter) => voter.to_owned(),
        None => format!("{line} learner"),
    };
    with_more(line, "match=")
        .into_iter()
        .chain([learner])
        .collect()
}

/// `INFO 1 switched to configuration voters=(2 3)`
fn configuration(line: &str) -> Vec<String> {
    let more = line.replacen("voters=(", "voters=(9 ", 1);
    let (before, after) = line.split_once("voters=(").expect("voters");
    let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
    let fewer = format!("{before}voters=({}", rest.trim_start());
    [more, fewer]
        .into_iter()
        .filter(|wrong| wrong != line)
        .collect()
}

/// `1/4 EntryNormal "foo"`
fn entry(line: &str) -> Vec<String> {
    let text = line.trim();
    let term = line.replacen(text, &format!("9{text}"), 1);
    let index = with_more(line, "/").unwrap_or_default();
    let data = line.replacen("EntryNormal \"", "EntryNormal \"not ", 1);
    [term, index, data]
        .into_iter()
        .filter(|wrong| wrong != line)
        .collect()
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
