//! What clients asked, when, and what they heard: the history, and its judgement.
//!
//! All runs on one thread, so calls and returns are numbered as they happen: the strictest order that clients could
//! have seen. A read of a member's own state says how old it may be; it is judged as a read that was called so long
//! ago.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use liferaft_raft::ids::Index;
use liferaft_sim::linearizability::{Budget, Judgement, Operation, judge};
use liferaft_sim::model::KeyModel;
use liferaft_sim::operation::{Answer, Change, Question};
use tokio::time::Instant;

/// How much later than at its deadline a call may be answered: timers are rounded up, and a member looks at its
/// deadlines once a millisecond.
const LATENESS_MAX: Duration = Duration::from_millis(5);

/// What the search for an order may take. Only memory ends it: the same history is judged the same everywhere.
const BUDGET: Budget = Budget {
    time: Duration::from_secs(3600),
    memory_words: 1 << 20,
};

/// What clients asked and heard.
#[derive(Debug)]
pub(crate) struct History {
    began: Instant,
    calls: Vec<Call>,
    /// When each call and each return happened, in order.
    moments: Vec<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Call {
    key: u8,
    question: Question,
    /// The places of its call and its return among the moments.
    called: usize,
    returned: usize,
    heard: Heard,
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Nothing, so far or for ever: its client is gone.
    Nothing,
    /// It is done, with this answer.
    Done(Answer),
    /// It was not done and never will be.
    NotDone,
    /// It may be done or not, sooner or later.
    Unknown,
    /// The member's own state, which reflects the log up to here, says this, and was the newest in the cluster this
    /// long ago at most.
    Local(Answer, Option<Duration>, Index),
}

/// How often what was heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) done: usize,
    pub(crate) not_done: usize,
    pub(crate) unknown: usize,
    pub(crate) local: usize,
}

/// A call under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallId(usize);

type Asked = Operation<Question, Answer>;

impl History {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            calls: Vec::new(),
            moments: Vec::new(),
        }
    }

    /// A client asks.
    pub(crate) fn begin(&mut self, key: u8, question: Question) -> CallId {
        let called = self.next_moment();
        self.calls.push(Call {
            key,
            question,
            called,
            returned: called,
            heard: Heard::Nothing,
        });
        CallId(self.calls.len() - 1)
    }

    /// A client hears.
    pub(crate) fn end(&mut self, CallId(id): CallId, heard: Heard) {
        self.calls[id].returned = self.next_moment();
        self.calls[id].heard = heard;
    }

    /// The value that a key was last heard to have, as a client may expect it.
    pub(crate) fn last_value(&self, key: u8) -> u64 {
        let said = |call: &Call| match (&call.heard, call.question) {
            (Heard::Done(Answer::Value(value) | Answer::Different(value)), _) => Some(*value),
            (
                Heard::Done(Answer::Set),
                Question::Change(Change::Set(value) | Change::CompareAndSet(_, value)),
            ) => Some(value),
            _ => None,
        };
        let of_key = self.calls.iter().rev().filter(|call| call.key == key);
        of_key.map(said).find_map(|value| value).unwrap_or(0)
    }

    pub(crate) fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for call in &self.calls {
            match call.heard {
                Heard::Done(_) => tally.done += 1,
                Heard::NotDone => tally.not_done += 1,
                Heard::Unknown | Heard::Nothing => tally.unknown += 1,
                Heard::Local(..) => tally.local += 1,
            }
        }
        tally
    }

    /// Whether clients asked and heard the same at the same moments.
    pub(crate) fn repeats(&self, other: &Self) -> bool {
        self.calls == other.calls && self.moments == other.moments
    }

    /// Judges what clients heard, with the values that sequences have in the end, as far as they are known.
    ///
    /// # Errors
    /// The answers that nothing explains.
    pub(crate) fn judge(&self, sequences: &BTreeMap<u8, Vec<u64>>) -> Result<(), String> {
        // No search is needed to see it, and a search for what explains it may be given up.
        sequences.iter().try_for_each(none_twice)?;
        let history: Vec<Asked> = self
            .calls
            .iter()
            .filter_map(|call| self.judged(call, sequences.get(&call.key)))
            .collect();
        // Whatever is of unknown outcome may never have happened. If the rest needs none of what nobody saw, that is a
        // proof, and quickly found.
        let seen = seen_values(&history);
        let needed = history.iter().filter(|asked| is_needed(asked, &seen));
        let needed: Vec<Asked> = needed.cloned().collect();
        if judge::<KeyModel>(&needed, BUDGET) == Judgement::Linearizable {
            return Ok(());
        }
        match judge::<KeyModel>(&history, BUDGET) {
            Judgement::Linearizable => Ok(()),
            Judgement::Violated { key, prefix } => Err(describe(&history, key, &prefix)),
            Judgement::Unknown => Err("the search for an order was given up".to_owned()),
        }
    }

    /// The call as the judge takes it; none if it says nothing.
    fn judged(&self, call: &Call, sequence: Option<&Vec<u64>>) -> Option<Asked> {
        // Between two moments there is room for one that is none of them.
        let moment = |place: usize| 2 * place as u64 + 1;
        let returned = moment(call.returned);
        let (called, returned) = match &call.heard {
            Heard::Done(answer) => (moment(call.called), Some((returned, *answer))),
            Heard::NotDone => return None,
            Heard::Nothing | Heard::Unknown => match (call.question, sequence) {
                (Question::Get | Question::List, _) => return None,
                // What is appended stays: the sequence in the end tells what became of it.
                (Question::Change(Change::Append(value)), Some(sequence)) => {
                    let place = sequence.iter().position(|other| *other == value)?;
                    let after_all = moment(self.moments.len());
                    let answer = Answer::Place(place as u64);
                    (moment(call.called), Some((after_all, answer)))
                }
                (Question::Change(_), _) => (moment(call.called), None),
            },
            Heard::Local(answer, age, _) => {
                // What returned before that moment must be seen; what was not yet called cannot be.
                let as_of = age.map_or(0, |age| {
                    let as_of = self.moments[call.returned].saturating_sub(age);
                    2 * self.moments.partition_point(|at| *at < as_of) as u64
                });
                (as_of, Some((returned, *answer)))
            }
        };
        Some(Asked {
            key: call.key.into(),
            called,
            returned,
            input: call.question,
        })
    }

    fn next_moment(&mut self) -> usize {
        self.moments.push(self.began.elapsed());
        self.moments.len() - 1
    }
}

/// Whether an answer that came after this time came within its deadline, as far as that can be told.
///
/// # Errors
/// It did not.
pub(crate) fn in_time(what: &str, called: Instant, within: Duration) -> Result<(), String> {
    let took = called.elapsed();
    if took > within + LATENESS_MAX {
        return Err(format!(
            "{what} was answered after {took:?}, its deadline was {within:?}"
        ));
    }
    Ok(())
}

/// Whether no value is in a sequence twice: each is appended by one call.
///
/// # Errors
/// One is.
fn none_twice((key, values): (&u8, &Vec<u64>)) -> Result<(), String> {
    let mut places = BTreeMap::new();
    for (place, value) in values.iter().enumerate() {
        if let Some(first) = places.insert(value, place) {
            return Err(format!(
                "no order explains that {value:#x} is on key {key} twice, at {first} and at {place}"
            ));
        }
    }
    Ok(())
}

/// The values that somebody saw, or that were there when somebody's comparison succeeded.
fn seen_values(history: &[Asked]) -> BTreeSet<u64> {
    let mut seen: BTreeSet<u64> = history
        .iter()
        .filter_map(|asked| match asked.returned {
            Some((_, Answer::Value(value) | Answer::Different(value))) => Some(value),
            Some(_) | None => None,
        })
        .collect();
    loop {
        let before = seen.len();
        for asked in history {
            if let Question::Change(Change::CompareAndSet(from, to)) = asked.input
                && (seen.contains(&to) || matches!(asked.returned, Some((_, Answer::Set))))
            {
                seen.insert(from);
            }
        }
        if seen.len() == before {
            return seen;
        }
    }
}

/// Whether an operation has a known outcome, or a value that somebody saw.
fn is_needed(asked: &Asked, seen: &BTreeSet<u64>) -> bool {
    match asked.input {
        Question::Change(Change::Set(value) | Change::CompareAndSet(_, value)) => {
            asked.returned.is_some() || seen.contains(&value)
        }
        Question::Get | Question::List | Question::Change(_) => true,
    }
}

/// The end of a history that nothing explains.
fn describe(history: &[Asked], key: u64, prefix: &[usize]) -> String {
    let newest = prefix.iter().skip(prefix.len().saturating_sub(12));
    let told: String = newest.map(|at| format!("\n  {:?}", history[*at])).collect();
    let count = prefix.len();
    format!("no order explains {count} calls on key {key}, which end with{told}")
}
