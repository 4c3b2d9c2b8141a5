//! The history of a run's clients as lines of JSON, so that any other checker can judge it.
//!
//! Each line is one operation, in the order of the calls. `docs/simulation.md` says what its fields mean.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::clock::Nanos;
use crate::linearizability::Operation;
use crate::operation::{Answer, Question};

/// An operation of a client, as that client knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Told<Q = Question, A = Answer> {
    /// Which client, counted from 0; `None` for a read by somebody who does nothing else.
    pub client: Option<usize>,
    /// When it was called.
    pub call: Nanos,
    /// When its client heard the answer; `None` if it never did.
    pub r#return: Option<Nanos>,
    /// The key.
    pub key: u64,
    /// What was asked.
    pub operation: Q,
    /// What became of it.
    pub outcome: Outcome<A>,
}

/// What a client knows of an operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome<A = Answer> {
    /// It is done, with this answer.
    Done(A),
    /// It was not done and never will be.
    NotDone,
    /// It may have been done at any time since, or may be, or not.
    Unknown,
}

impl<Q: Clone, A: Clone> Told<Q, A> {
    /// The operation as a judge takes it; `None` if it was not done.
    #[must_use]
    pub fn asked(&self) -> Option<Operation<Q, A>> {
        let returned = match (&self.outcome, self.r#return) {
            (Outcome::Done(answer), Some(at)) => Some((at, answer.clone())),
            (Outcome::NotDone, _) => return None,
            (Outcome::Done(_) | Outcome::Unknown, _) => None,
        };
        Some(Operation {
            key: self.key,
            called: self.call,
            returned,
            input: self.operation.clone(),
        })
    }
}

/// Writes the history of a seed into a folder, which is made if it does not exist. Returns the file.
///
/// # Errors
/// When it cannot be written.
pub fn write<Q: Serialize, A: Serialize>(
    folder: &Path,
    seed: u64,
    history: &[Told<Q, A>],
) -> io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let path = folder.join(format!("seed-{seed}.jsonl"));
    let mut file = BufWriter::new(fs::File::create(&path)?);
    for told in history {
        serde_json::to_writer(&mut file, told)?;
        file.write_all(b"\n")?;
    }
    file.flush()?;
    Ok(path)
}

/// Reads a history that was written.
///
/// # Errors
/// When a line is none.
pub fn read(path: &Path) -> io::Result<Vec<Told>> {
    let text = fs::read_to_string(path)?;
    let told = text.lines().map(serde_json::from_str);
    Ok(told.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;
    use std::{env, process};

    use super::*;
    use crate::clients::Asked;
    use crate::clock::SECOND;
    use crate::flaw::Flaw;
    use crate::linearizability::{Budget, Judgement, judge};
    use crate::model::KeyModel;
    use crate::plan::Plan;
    use crate::run::run;

    /// The history of a short run, written and read back, and the alarm that ended it.
    ///
    /// A checker that knows no log searches the longer the more outcomes are unknown.
    fn written(seed: u64, flaw: Option<Flaw>) -> (Vec<Told>, Option<&'static str>) {
        let mut plan = Plan::of_seed(seed);
        plan.flaw = flaw;
        plan.safety_phase = 2 * SECOND;
        plan.keeps_history = true;
        let outcome = run(plan);
        let folder = env::temp_dir().join(format!("liferaft-histories-{}-{seed}", process::id()));

        let path = write(&folder, seed, &outcome.history).expect("a file is written");
        let read = read(&path).expect("what was written is a history");
        fs::remove_dir_all(&folder).expect("it was made here");

        assert_eq!(read, outcome.history);
        (read, outcome.alarm.map(|alarm| alarm.invariant))
    }

    fn verdict(history: &[Told]) -> Judgement {
        let asked: Vec<Asked> = history.iter().filter_map(Told::asked).collect();
        let budget = Budget {
            time: Duration::from_secs(2),
            ..Budget::default()
        };
        judge::<KeyModel>(&asked, budget)
    }

    #[test]
    fn histories_are_ordered_and_get_the_verdict_of_their_runs() {
        let runs: Vec<_> = (1..=6).map(|seed| written(seed, None)).collect();

        let late = |told: &Told| told.r#return.is_none_or(|at| at >= told.call);
        for (history, alarm) in &runs {
            assert!(history.iter().map(|told| told.call).is_sorted());
            assert!(history.iter().all(late));
            assert_eq!(*alarm, None);
        }
        let verdicts: Vec<_> = runs.iter().map(|(history, _)| verdict(history)).collect();
        let violated = |verdict: &Judgement| matches!(verdict, Judgement::Violated { .. });
        assert!(verdicts.contains(&Judgement::Linearizable), "{verdicts:?}");
        assert!(!verdicts.iter().any(violated), "{verdicts:?}");
    }

    #[test]
    fn a_history_of_clients_that_err_is_told_from_a_right_one() {
        let flaw = Some(Flaw::TimeoutIsFailure);
        let runs = (1..=60).map(|seed| written(seed, flaw));
        let mut caught = runs.filter(|(_, alarm)| *alarm == Some("linearizability"));

        let violated =
            |(history, _): (Vec<Told>, _)| matches!(verdict(&history), Judgement::Violated { .. });

        assert!(caught.any(violated));
    }
}
