//! One key of the key-value state, as clients may know it: the model that their histories are judged by.

use core::hash::{Hash, Hasher};
use std::sync::Arc;

use liferaft_kv::Count;

use crate::digest::Digest;
use crate::linearizability::Model;
use crate::operation::{Answer, Change, Listed, Question, counter};

/// One key of the key-value state.
#[derive(Clone, Copy, Debug)]
pub struct KeyModel;

/// What a key holds: a value, 0 for none, or a sequence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct KeyState {
    value: u64,
    sequence: Sequence,
    /// The incarnation of its last sequence that is known: a later one has a higher.
    incarnation: u64,
}

/// The sequence of a key, empty if there is none.
///
/// All that was ever appended is linked backward, so that one more takes no copy, and one that is trimmed knows the
/// digest of what it lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Sequence {
    /// Which one it is; 0 where no answer has told it yet.
    incarnation: u64,
    /// The place of the first value that is held.
    first: u64,
    /// The digest of the values before that.
    dropped: u64,
    last: Option<Arc<Link>>,
}

/// A value of a sequence, and all before it: as equal as their number and their digest.
#[derive(Debug)]
struct Link {
    len: u64,
    digest: u64,
    before: Option<Arc<Self>>,
}

impl PartialEq for Link {
    fn eq(&self, other: &Self) -> bool {
        (self.len, self.digest) == (other.len, other.digest)
    }
}

impl Eq for Link {}

impl Hash for Link {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.len, self.digest).hash(state);
    }
}

/// The digest of a value at its place in a sequence. That of several is their sum.
#[must_use]
pub const fn digest_of_value(place: u64, value: u64) -> u64 {
    Digest(place).with(value).0
}

impl Sequence {
    fn len(&self) -> u64 {
        self.last.as_ref().map_or(0, |last| last.len)
    }

    fn digest(&self) -> u64 {
        self.last.as_ref().map_or(0, |last| last.digest)
    }

    fn count(&self) -> Count {
        counter(self.incarnation, self.len())
    }

    fn listed(&self) -> Listed {
        Listed {
            count: self.count(),
            first: self.first,
            digest: Digest(self.digest().wrapping_sub(self.dropped)),
        }
    }

    fn append(&mut self, value: u64) {
        let place = self.len();
        self.last = Some(Arc::new(Link {
            len: place + 1,
            digest: self.digest().wrapping_add(digest_of_value(place, value)),
            before: self.last.take(),
        }));
    }

    /// Drops the values before this place; how many that were.
    fn trim_before(&mut self, place: u64) -> u64 {
        let mut link = self.last.as_ref();
        while let Some(later) = link.filter(|link| link.len > place) {
            link = later.before.as_ref();
        }
        let trimmed = place - self.first;
        self.dropped = link.map_or(0, |link| link.digest);
        self.first = place;
        trimmed
    }
}

impl KeyState {
    /// With what an answer tells of the sequence: which one it is. `None` if it cannot be that one.
    fn known(&self, answer: Option<&Answer>) -> Option<Self> {
        let told = match answer {
            Some(
                Answer::List(Listed { count, .. })
                | Answer::Counted(_, count)
                | Answer::Trimmed(.., count),
            ) => *count,
            Some(_) | None => return Some(self.clone()),
        };
        let mut known = self.clone();
        if self.sequence.len() > 0 && self.sequence.incarnation == 0 {
            let incarnation = told.incarnation();
            if incarnation <= self.incarnation {
                return None;
            }
            known.sequence.incarnation = incarnation;
            known.incarnation = incarnation;
        }
        Some(known)
    }

    /// Nobody heard whether this counter was of the sequence, of which nobody has heard yet either. If it was not,
    /// nothing happened, and that is an order too in which it is left out.
    fn suppose(&mut self, expected: Count) {
        let is_unknown = self.sequence.incarnation == 0 && self.sequence.len() > 0;
        if is_unknown && expected.incarnation() > self.incarnation {
            self.sequence.incarnation = expected.incarnation();
            self.incarnation = expected.incarnation();
        }
    }

    /// A sequence whose counter is `expected`, or any if none is, gets a value. Returns whether it did.
    fn append(&mut self, expected: Option<Count>, value: u64) -> bool {
        let is_there = self.sequence.len() > 0;
        let is_it =
            |expected: Count| expected == self.sequence.count() && expected.is_empty() != is_there;
        if !expected.is_none_or(is_it) {
            return false;
        }
        self.sequence.append(value);
        true
    }

    /// The sequence is gone, and the value.
    fn delete(&mut self) -> bool {
        let existed = self.value > 0 || self.sequence.len() > 0;
        self.value = 0;
        self.sequence = Sequence::default();
        existed
    }

    /// What becomes of it and is answered.
    fn change(&mut self, change: Change, answer: Option<&Answer>) -> Answer {
        match change {
            Change::Set(value) => {
                self.value = value;
                Answer::Set
            }
            Change::CompareAndSet(from, to) if from == self.value => {
                self.value = to;
                Answer::Set
            }
            Change::CompareAndDelete(from) if from == self.value => {
                self.delete();
                Answer::Set
            }
            Change::CompareAndSet(..) | Change::CompareAndDelete(_) => {
                Answer::Different(self.value)
            }
            Change::Delete => Answer::Deleted(self.delete()),
            Change::DeleteKeys(keys) => Answer::Removed(if self.delete() { keys } else { 0 }),
            Change::Append(value) => {
                let place = self.sequence.len();
                self.append(None, value);
                Answer::Place(place)
            }
            Change::SeqAppend(expected, value) => {
                if answer.is_none() {
                    self.suppose(expected);
                }
                let appended = self.append(Some(expected), value);
                // Which sequence it has begun only the answer tells.
                if let Some(Answer::Counted(true, count)) = answer
                    && self.sequence.incarnation == 0
                    && count.incarnation() > self.incarnation
                {
                    self.sequence.incarnation = count.incarnation();
                    self.incarnation = count.incarnation();
                }
                Answer::Counted(appended, self.sequence.count())
            }
            Change::TrimBefore(before) => {
                if answer.is_none() {
                    self.suppose(before);
                }
                let count = self.sequence.count();
                let is_of_it = before.incarnation() == count.incarnation()
                    && (self.sequence.first + 1..=count.len()).contains(&before.len());
                let trimmed = if is_of_it {
                    self.sequence.trim_before(before.len())
                } else {
                    0
                };
                Answer::Trimmed(trimmed, self.sequence.first, count)
            }
            Change::Undone(_) => Answer::Refused,
        }
    }
}

impl Model for KeyModel {
    type State = KeyState;
    type Input = Question;
    type Output = Answer;

    fn step(state: &KeyState, question: &Question, answer: Option<&Answer>) -> Option<KeyState> {
        // An append may begin a sequence, which is none of those before.
        let begins = matches!(question, Question::Change(Change::SeqAppend(..)))
            && state.sequence.len() == 0;
        let mut next = if begins {
            state.clone()
        } else {
            state.known(answer)?
        };
        let expected = match *question {
            Question::Get => Answer::Value(next.value),
            Question::List => Answer::List(next.sequence.listed()),
            Question::Change(change) => next.change(change, answer),
        };
        answer
            .is_none_or(|answer| *answer == expected)
            .then_some(next)
    }

    fn is_read(question: &Question, answer: &Answer) -> bool {
        let asks = !matches!(question, Question::Change(_));
        asks || matches!(answer, Answer::Different(_) | Answer::Refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The states after these changes and their answers; `None` where an answer cannot be.
    fn after(operations: &[(Change, Answer)]) -> Option<KeyState> {
        let step = |state: KeyState, (change, answer): &(Change, Answer)| {
            KeyModel::step(&state, &Question::Change(*change), Some(answer))
        };
        operations.iter().try_fold(KeyState::default(), step)
    }

    const FIRST: (Change, Answer) = (Change::Append(7), Answer::Place(0));
    const DELETED: (Change, Answer) = (Change::Delete, Answer::Deleted(true));

    fn list(incarnation: u64, first: u64, values: &[u64]) -> Answer {
        let digests = (first..).zip(values);
        let digests = digests.map(|(place, value)| digest_of_value(place, *value));
        Answer::List(Listed {
            count: counter(incarnation, first + values.len() as u64),
            first,
            digest: Digest(digests.fold(0, u64::wrapping_add)),
        })
    }

    fn tells(state: &KeyState, answer: Answer) -> bool {
        KeyModel::step(state, &Question::List, Some(&answer)).is_some()
    }

    #[test]
    fn a_counter_of_an_earlier_sequence_appends_nothing() {
        let counted = |appended, len| Answer::Counted(appended, counter(5, len));
        let stale = Change::SeqAppend(counter(3, 1), 9);
        let known = (
            Change::SeqAppend(counter(4, 1), 8),
            Answer::Counted(false, counter(3, 1)),
        );

        let past = after(&[FIRST, known, DELETED, FIRST, (stale, counted(true, 2))]);
        let refused = after(&[FIRST, known, DELETED, FIRST, (stale, counted(false, 1))]);

        assert_eq!(past, None);
        assert!(refused.is_some_and(|state| tells(&state, list(5, 0, &[7]))));
    }

    #[test]
    fn a_sequence_that_is_made_again_has_a_higher_incarnation() {
        let known = (
            Change::SeqAppend(counter(9, 9), 8),
            Answer::Counted(false, counter(3, 1)),
        );
        let again = after(&[FIRST, known, DELETED, FIRST]).expect("these answers can be");

        assert!(tells(&again, list(4, 0, &[7])));
        assert!(!tells(&again, list(3, 0, &[7])));
    }

    #[test]
    fn a_trimmed_sequence_holds_what_is_behind_and_keeps_its_places() {
        let more = (Change::Append(8), Answer::Place(1));
        let trim = Change::TrimBefore(counter(3, 1));
        let trimmed = (trim, Answer::Trimmed(1, 1, counter(3, 2)));
        let last = (Change::Append(9), Answer::Place(2));

        let state = after(&[FIRST, more, trimmed, last]).expect("these answers can be");

        assert!(tells(&state, list(3, 1, &[8, 9])));
        assert!(!tells(&state, list(3, 0, &[7, 8, 9])));
    }

    #[test]
    fn what_is_undone_and_compared_with_another_value_changes_nothing() {
        let set = (Change::Set(4), Answer::Set);
        let undone = (Change::Undone(5), Answer::Refused);
        let different = (Change::CompareAndDelete(5), Answer::Different(4));
        let removed = (Change::DeleteKeys(2), Answer::Removed(2));

        assert!(after(&[set, undone, different, removed]).is_some());
    }
}
