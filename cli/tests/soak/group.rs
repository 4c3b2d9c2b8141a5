//! Models a group of keys that clients change alone and together: what their histories are judged by.
//!
//! Three keys hold values and one holds a sequence. A transaction is about several of them, so the whole group is one
//! object to the judge, and each of its keys is what the simulator's model says of one.

use liferaft_sim::linearizability::Model;
use liferaft_sim::model::{KeyModel, KeyState};
use liferaft_sim::operation::{Answer, Change, Question};
use serde::{Deserialize, Serialize};

/// So many keys hold values, and have the numbers below this.
pub(crate) const VALUES: usize = 3;

/// The number of the key that holds the sequence.
pub(crate) const SEQUENCE: u8 = 3;

/// What a client asks of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ask {
    /// Of one key.
    Key(u8, Question),
    /// All values at one moment.
    All,
    /// A transaction: if two keys hold the first values they get the others, and the sequence gets one more. Otherwise
    /// it tells what they hold. 0 is no value.
    Move {
        keys: [u8; 2],
        from: [u64; 2],
        to: [u64; 2],
        append: u64,
    },
}

/// What a client hears.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Heard {
    /// Of one key.
    Key(Answer),
    /// All values.
    All([u64; VALUES]),
    /// The transaction was done, and what it appended has this place.
    Moved(u64),
    /// It was not: the two keys hold these.
    Held([u64; 2]),
}

/// A group of keys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group;

type State = [KeyState; VALUES + 1];

fn holds(state: &State, key: usize, value: u64) -> bool {
    KeyModel::step(&state[key], &Question::Get, Some(&Answer::Value(value))).is_some()
}

fn hold(state: &State, keys: [u8; 2], values: [u64; 2]) -> bool {
    let mut pairs = keys.iter().zip(values);
    pairs.all(|(key, value)| holds(state, usize::from(*key), value))
}

fn change(state: &mut State, key: u8, change: Change, answer: Option<&Answer>) -> Option<()> {
    let at = usize::from(key);
    state[at] = KeyModel::step(&state[at], &Question::Change(change), answer)?;
    Some(())
}

impl Model for Group {
    type State = State;
    type Input = Ask;
    type Output = Heard;

    fn step(state: &State, ask: &Ask, heard: Option<&Heard>) -> Option<State> {
        let mut next = state.clone();
        match (ask, heard) {
            (Ask::Key(key, question), None) => {
                let at = usize::from(*key);
                next[at] = KeyModel::step(&state[at], question, None)?;
            }
            (Ask::Key(key, question), Some(Heard::Key(answer))) => {
                let at = usize::from(*key);
                next[at] = KeyModel::step(&state[at], question, Some(answer))?;
            }
            (Ask::All, None) => {}
            (Ask::All, Some(Heard::All(values))) => {
                let mut values = values.iter().enumerate();
                if !values.all(|(key, value)| holds(state, key, *value)) {
                    return None;
                }
            }
            (
                Ask::Move {
                    keys,
                    from,
                    to,
                    append,
                },
                heard,
            ) => {
                let place = match heard {
                    None => None,
                    Some(Heard::Moved(place)) => Some(Answer::Place(*place)),
                    Some(Heard::Held(values)) => {
                        let is_so = values != from && hold(state, *keys, *values);
                        return is_so.then_some(next);
                    }
                    Some(Heard::Key(_) | Heard::All(_)) => return None,
                };
                if !hold(state, *keys, *from) {
                    return heard.is_none().then_some(next);
                }
                for (key, value) in keys.iter().zip(to) {
                    change(&mut next, *key, Change::Set(*value), None)?;
                }
                change(&mut next, SEQUENCE, Change::Append(*append), place.as_ref())?;
            }
            (Ask::Key(..) | Ask::All, Some(_)) => return None,
        }
        Some(next)
    }

    fn is_read(ask: &Ask, heard: &Heard) -> bool {
        match (ask, heard) {
            (Ask::Key(_, question), Heard::Key(answer)) => KeyModel::is_read(question, answer),
            (_, heard) => matches!(heard, Heard::All(_) | Heard::Held(_)),
        }
    }
}

/// Checks the model by what it must refuse.
pub(crate) fn check() {
    let set = |key, value| Ask::Key(key, Question::Change(Change::Set(value)));
    let done = Heard::Key(Answer::Set);
    let began = State::default();
    let one = Group::step(&began, &set(0, 7), Some(&done)).expect("a value is set");
    let moved = Ask::Move {
        keys: [0, 1],
        from: [7, 0],
        to: [8, 9],
        append: 9,
    };

    let two = Group::step(&one, &moved, Some(&Heard::Moved(0))).expect("both hold that");

    assert!(Group::step(&two, &Ask::All, Some(&Heard::All([8, 9, 0]))).is_some());
    // Half of it is no moment that there was.
    assert!(Group::step(&two, &Ask::All, Some(&Heard::All([8, 0, 0]))).is_none());
    assert!(Group::step(&two, &moved, Some(&Heard::Moved(1))).is_none());
    assert!(Group::step(&two, &moved, Some(&Heard::Held([8, 9]))).is_some());
    assert!(Group::step(&one, &moved, Some(&Heard::Held([7, 0]))).is_none());
    assert!(Group::step(&one, &moved, Some(&Heard::Moved(3))).is_none());
}
