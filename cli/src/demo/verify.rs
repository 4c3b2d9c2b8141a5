//! The judgement: what was acknowledged, against what each survivor holds. A pure function over histories.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// A line that was appended, and what its writer was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// What was appended; no two lines are the same.
    pub(super) text: Bytes,
    /// What its writer was told.
    pub(super) outcome: Outcome,
}

/// What became of a line, as its writer knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// It is done, and has this place: it must be there exactly once.
    Done(u64),
    /// It was refused, for this reason: it must not be there.
    NotDone(String),
    /// Nobody can tell, since its writer was killed or got no answer: it may be there once.
    Unknown,
}

/// What one survivor holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Testimony {
    /// The member, counted from 0.
    pub(super) member: usize,
    /// What its state machine was made to apply.
    pub(super) applied: Vec<Bytes>,
    /// What it answers to a linearizable read.
    pub(super) read: Vec<Bytes>,
}

/// What the histories show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Acknowledged lines that at least one survivor does not have.
    pub(super) lost: usize,
    /// Lines that at least one survivor has more than once.
    pub(super) duplicated: usize,
    /// What is wrong, in words; nothing if all is verified.
    pub(super) findings: Vec<String>,
}

/// Judges the histories of all survivors.
pub(super) fn verify(lines: &[Line], testimonies: &[Testimony]) -> Verdict {
    let histories: Vec<History<'_>> = testimonies.iter().flat_map(histories_of).collect();
    let counts: Vec<_> = histories.iter().map(|history| counted(history.1)).collect();
    let count_in = |counts: &BTreeMap<&Bytes, usize>, line: &Line| {
        counts.get(&line.text).copied().unwrap_or_default()
    };
    let any = |line: &Line, is: fn(usize) -> bool| counts.iter().any(|c| is(count_in(c, line)));
    let is_done = |line: &&Line| matches!(line.outcome, Outcome::Done(_));
    let is_refused = |line: &&Line| matches!(line.outcome, Outcome::NotDone(_));

    let lost = lines
        .iter()
        .filter(is_done)
        .filter(|line| any(line, |n| n == 0));
    let duplicated = lines.iter().filter(|line| any(line, |n| n > 1));
    let refused = lines
        .iter()
        .filter(is_refused)
        .filter(|line| any(line, |n| n > 0));
    let (lost, duplicated, refused) = (lost.count(), duplicated.count(), refused.count());

    let mut findings = Vec::new();
    if testimonies.is_empty() {
        findings.push("nobody survived".to_owned());
    }
    let mut found = |count: usize, what: &str| {
        if count > 0 {
            findings.push(format!("{count} {what}"));
        }
    };
    found(lost, "acknowledged lines are missing somewhere");
    found(duplicated, "lines are there more than once");
    found(refused, "lines are there although they were refused");
    findings.extend(differing(&histories));
    findings.extend(
        histories
            .iter()
            .flat_map(|history| misplaced(lines, history)),
    );
    Verdict {
        lost,
        duplicated,
        findings,
    }
}

/// Where a history comes from, and the history.
type History<'a> = (String, &'a [Bytes]);

fn histories_of(testimony: &Testimony) -> [History<'_>; 2] {
    let member = testimony.member + 1;
    [
        (format!("what member {member} applied"), &testimony.applied),
        (format!("what member {member} reads"), &testimony.read),
    ]
}

fn counted(history: &[Bytes]) -> BTreeMap<&Bytes, usize> {
    let mut counts = BTreeMap::new();
    for line in history {
        *counts.entry(line).or_default() += 1;
    }
    counts
}

/// Names the histories that are not that of most.
fn differing(histories: &[History<'_>]) -> Vec<String> {
    let mut alike: BTreeMap<&[Bytes], usize> = BTreeMap::new();
    for (_, history) in histories {
        *alike.entry(history).or_default() += 1;
    }
    let Some((usual, _)) = alike.into_iter().max_by_key(|(_, count)| *count) else {
        return Vec::new();
    };
    histories
        .iter()
        .filter(|(_, history)| *history != usual)
        .map(|(whose, history)| {
            let same = history
                .iter()
                .zip(usual)
                .take_while(|(a, b)| a == b)
                .count();
            format!("{whose} differs from what most have, from line {same} on")
        })
        .collect()
}

/// Whether each line is where its writer was told, and no line comes from nowhere.
fn misplaced(lines: &[Line], (whose, history): &History<'_>) -> Vec<String> {
    let known: BTreeMap<&Bytes, &Outcome> = lines
        .iter()
        .map(|line| (&line.text, &line.outcome))
        .collect();
    let mut strangers = 0;
    let mut elsewhere = 0;
    for (place, line) in (0..).zip(history.iter()) {
        match known.get(line) {
            None => strangers += 1,
            Some(Outcome::Done(told)) => elsewhere += usize::from(*told != place),
            Some(Outcome::NotDone(_) | Outcome::Unknown) => {}
        }
    }
    let mut findings = Vec::new();
    if strangers > 0 {
        findings.push(format!("{whose} has {strangers} lines that nobody wrote"));
    }
    if elsewhere > 0 {
        findings.push(format!(
            "{whose} has {elsewhere} lines elsewhere than their writers were told"
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(text: &'static str, place: u64) -> Line {
        Line {
            text: text.into(),
            outcome: Outcome::Done(place),
        }
    }

    fn unknown(text: &'static str) -> Line {
        Line {
            text: text.into(),
            outcome: Outcome::Unknown,
        }
    }

    fn holds(member: usize, history: &[&'static str]) -> Testimony {
        let history: Vec<Bytes> = history.iter().map(|line| Bytes::from(*line)).collect();
        Testimony {
            member,
            applied: history.clone(),
            read: history,
        }
    }

    #[test]
    fn identical_histories_of_acknowledged_lines_are_verified() {
        let lines = [done("a", 0), done("b", 1)];

        let verdict = verify(&lines, &[holds(0, &["a", "b"]), holds(1, &["a", "b"])]);

        assert_eq!(verdict, Verdict::default());
    }

    #[test]
    fn a_line_of_unknown_outcome_may_be_there_once_or_not_at_all() {
        let lines = [done("a", 0), unknown("b"), unknown("c")];

        let verdict = verify(&lines, &[holds(0, &["a", "b"])]);

        assert_eq!(verdict, Verdict::default());
    }

    #[test]
    fn a_line_of_unknown_outcome_that_is_there_twice_is_duplicated() {
        let verdict = verify(&[unknown("a")], &[holds(0, &["a", "a"])]);

        assert_eq!(verdict.duplicated, 1);
        assert_eq!(verdict.findings.len(), 1, "{:?}", verdict.findings);
    }

    #[test]
    fn an_acknowledged_line_that_one_survivor_does_not_have_is_lost() {
        let lines = [done("a", 0), done("b", 1)];

        let verdict = verify(&lines, &[holds(0, &["a", "b"]), holds(1, &["a"])]);

        assert_eq!(verdict.lost, 1);
        assert!(!verdict.findings.is_empty());
    }

    #[test]
    fn a_refused_line_that_is_there_is_found() {
        let refused = Line {
            text: "a".into(),
            outcome: Outcome::NotDone("busy".to_owned()),
        };

        let verdict = verify(&[refused], &[holds(0, &["a"])]);

        assert_eq!(verdict.findings.len(), 1, "{:?}", verdict.findings);
    }

    #[test]
    fn another_order_on_one_survivor_is_found_and_named() {
        let lines = [unknown("a"), unknown("b")];
        let testimonies = [
            holds(0, &["b", "a"]),
            holds(1, &["a", "b"]),
            holds(2, &["a", "b"]),
        ];

        let verdict = verify(&lines, &testimonies);

        assert_eq!(
            verdict.findings,
            [
                "what member 1 applied differs from what most have, from line 0 on",
                "what member 1 reads differs from what most have, from line 0 on",
            ]
        );
    }

    #[test]
    fn a_read_that_is_not_what_was_applied_is_found() {
        let mut testimony = holds(0, &["a"]);
        testimony.read.clear();

        let verdict = verify(&[done("a", 0)], &[testimony, holds(1, &["a"])]);

        assert_eq!(verdict.lost, 1);
    }

    #[test]
    fn a_line_that_nobody_wrote_is_found() {
        let verdict = verify(&[], &[holds(0, &["a"]), holds(1, &["a"])]);

        assert_eq!(
            verdict.findings.first().map(String::as_str),
            Some("what member 1 applied has 1 lines that nobody wrote")
        );
    }

    #[test]
    fn a_line_elsewhere_than_its_writer_was_told_is_found() {
        let verdict = verify(&[done("a", 1), done("b", 0)], &[holds(0, &["a", "b"])]);

        assert_eq!((verdict.lost, verdict.duplicated), (0, 0));
        assert_eq!(verdict.findings.len(), 2, "{:?}", verdict.findings);
    }

    #[test]
    fn without_survivors_nothing_is_verified() {
        assert_eq!(verify(&[], &[]).findings, ["nobody survived"]);
    }
}
