//! Is a history of operations linearizable? Our own checker, after Wing and Gong, Lowe.
//!
//! A history is what clients saw: what they asked, when, and what came back. It is linearizable if each operation can
//! be given a moment between its call and its return such that the model, taking them in that order, gives the same
//! answers. An operation whose outcome is unknown may have happened at any moment after its call, or never.
//!
//! The search is exponential in the worst case; three things make it quick. Histories are cut by key, since
//! linearizability is local; what has been tried is remembered as the set of operations taken and the state that they
//! led to; and a read that the state explains is taken at once, since no order fails for having it as early as that.

mod search;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use search::Search;

/// What operations do to one key.
pub trait Model {
    /// The state of a key.
    type State: Clone + Eq + core::hash::Hash + Default;
    /// What is asked.
    type Input;
    /// What comes back.
    type Output;

    /// The state after the operation, if it can give this output in this state; `None` for the output asks what it does
    /// when nobody heard the answer.
    fn step(
        state: &Self::State,
        input: &Self::Input,
        output: Option<&Self::Output>,
    ) -> Option<Self::State>;

    /// Whether the operation, with this output, changes nothing in any state.
    fn is_read(input: &Self::Input, output: &Self::Output) -> bool;
}

/// One operation of a client on one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation<I, O> {
    /// The key.
    pub key: u64,
    /// When it was asked.
    pub called: u64,
    /// When the answer came, and what it was; `None` if its outcome is unknown.
    pub returned: Option<(u64, O)>,
    /// What was asked.
    pub input: I,
}

/// What the checker found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// There is an order that explains all.
    Linearizable,
    /// There is none. These are the operations of the shortest prefix of one key that already has none, as places in
    /// the history; the last is the one whose answer cannot be.
    Violated {
        /// The key.
        key: u64,
        /// The operations.
        prefix: Vec<usize>,
    },
    /// The budget was used up before the search came to an end.
    Unknown,
}

/// How much the search may take.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// The longest that it may take.
    pub time: Duration,
    /// The most that it may remember for one key, in words of eight bytes.
    pub memory_words: usize,
}

impl Default for Budget {
    /// Ten seconds, and 512 MiB.
    fn default() -> Self {
        Self {
            time: Duration::from_secs(10),
            memory_words: 1 << 26,
        }
    }
}

/// Judges a history.
pub fn judge<M: Model>(history: &[Operation<M::Input, M::Output>], budget: Budget) -> Judgement {
    let deadline = Instant::now() + budget.time;
    let mut keys = BTreeMap::<u64, Vec<usize>>::new();
    for (at, operation) in history.iter().enumerate() {
        keys.entry(operation.key).or_default().push(at);
    }
    let mut judgement = Judgement::Linearizable;
    for (key, places) in keys {
        match Search::<M>::new(history, &places).run(deadline, budget.memory_words) {
            Some(true) => {}
            Some(false) => {
                let prefix = shortest_prefix::<M>(history, &places, deadline, budget.memory_words);
                return Judgement::Violated { key, prefix };
            }
            None => judgement = Judgement::Unknown,
        }
    }
    judgement
}

/// The operations up to the first return that nothing explains. A prefix ends at a return; what had not returned by
/// then counts as unknown.
fn shortest_prefix<M: Model>(
    history: &[Operation<M::Input, M::Output>],
    places: &[usize],
    deadline: Instant,
    memory_words: usize,
) -> Vec<usize> {
    let returned_at = |place: usize| history[place].returned.as_ref().map(|(at, _)| *at);
    let mut returns: Vec<u64> = places
        .iter()
        .filter_map(|place| returned_at(*place))
        .collect();
    returns.sort_unstable();
    // Whether a prefix is linearizable changes once, from yes to no.
    let first_bad = returns.partition_point(|end| {
        let search = Search::<M>::up_to(history, places, *end);
        search.run(deadline, memory_words) == Some(true)
    });
    let end = returns.get(first_bad).copied().unwrap_or(u64::MAX);
    let within = places
        .iter()
        .copied()
        .filter(|place| history[*place].called <= end);
    let mut prefix: Vec<usize> = within.collect();
    prefix.sort_by_key(|place| returned_at(*place).filter(|at| *at <= end));
    prefix
}

/// Registers that are written, read, and compared and set; 0 at the beginning.
#[derive(Clone, Copy, Debug)]
pub struct Registers;

/// What is asked of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterInput {
    /// Its value.
    Read,
    /// To take this value.
    Write(u64),
    /// To take the second value if it has the first.
    CompareAndSet(u64, u64),
}

/// What a register answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterOutput {
    /// Its value.
    Value(u64),
    /// Done.
    Done,
    /// Not done: it had another value.
    Mismatch,
}

impl Model for Registers {
    type State = u64;
    type Input = RegisterInput;
    type Output = RegisterOutput;

    fn step(state: &u64, input: &RegisterInput, output: Option<&RegisterOutput>) -> Option<u64> {
        let (next, answer) = match *input {
            RegisterInput::Read => (*state, RegisterOutput::Value(*state)),
            RegisterInput::Write(value) => (value, RegisterOutput::Done),
            RegisterInput::CompareAndSet(from, to) if *state == from => (to, RegisterOutput::Done),
            RegisterInput::CompareAndSet(..) => (*state, RegisterOutput::Mismatch),
        };
        output
            .is_none_or(|output| *output == answer)
            .then_some(next)
    }

    fn is_read(_: &RegisterInput, output: &RegisterOutput) -> bool {
        !matches!(output, RegisterOutput::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::{Dice, PerMillion};

    type Op = Operation<RegisterInput, RegisterOutput>;

    fn op(called: u64, returned: u64, input: RegisterInput, output: RegisterOutput) -> Op {
        Operation {
            key: 1,
            called,
            returned: Some((returned, output)),
            input,
        }
    }

    use RegisterInput::{Read, Write};
    use RegisterOutput::{Done, Value};

    #[test]
    fn a_read_that_overlaps_a_write_may_see_it_or_not() {
        let either = |value| [op(0, 10, Write(7), Done), op(5, 6, Read, Value(value))];

        assert_eq!(
            judge::<Registers>(&either(0), Budget::default()),
            Judgement::Linearizable
        );
        assert_eq!(
            judge::<Registers>(&either(7), Budget::default()),
            Judgement::Linearizable
        );
    }

    #[test]
    fn a_read_that_follows_a_write_must_see_it() {
        let stale = [
            op(0, 1, Write(7), Done),
            op(2, 3, Read, Value(0)),
            op(9, 10, Read, Value(7)),
        ];

        let judgement = judge::<Registers>(&stale, Budget::default());

        let prefix = vec![0, 1];
        assert_eq!(judgement, Judgement::Violated { key: 1, prefix });
    }

    #[test]
    fn a_write_of_unknown_outcome_may_be_seen_late_or_never() {
        let unknown = Operation {
            key: 1,
            called: 0,
            returned: None,
            input: Write(7),
        };
        let late = [
            unknown.clone(),
            op(1, 2, Read, Value(0)),
            op(3, 4, Read, Value(7)),
        ];
        let taken_back = [unknown, op(1, 2, Read, Value(7)), op(3, 4, Read, Value(0))];

        assert_eq!(
            judge::<Registers>(&late, Budget::default()),
            Judgement::Linearizable
        );
        assert!(matches!(
            judge::<Registers>(&taken_back, Budget::default()),
            Judgement::Violated { .. }
        ));
    }

    /// Tries every order: what the search must agree with.
    fn brute_force(history: &[Op], taken: u32, state: u64) -> bool {
        let left = |at: &usize| taken & (1 << at) == 0;
        let open: Vec<usize> = (0..history.len()).filter(left).collect();
        let returned = |at: &usize| history[*at].returned.as_ref().map(|(at, _)| *at);
        let Some(first_return) = open.iter().filter_map(returned).min() else {
            return true;
        };
        open.iter().any(|at| {
            let operation = &history[*at];
            let output = operation.returned.as_ref().map(|(_, output)| output);
            operation.called <= first_return
                && Registers::step(&state, &operation.input, output)
                    .is_some_and(|next| brute_force(history, taken | (1 << at), next))
        })
    }

    /// A history of a few operations, some of which answer at random.
    fn draw(dice: &mut Dice) -> Vec<Op> {
        let count = dice.between(1, 7);
        let mut state = 0;
        (0..count)
            .map(|_| {
                let called = dice.between(0, 20);
                let input = match dice.below(3) {
                    0 => Read,
                    1 => Write(dice.between(1, 3)),
                    _ => RegisterInput::CompareAndSet(dice.between(0, 3), dice.between(1, 3)),
                };
                let output = match input {
                    Read => Value(if dice.falls(PerMillion::percent(20)) {
                        1
                    } else {
                        state
                    }),
                    Write(value) => {
                        state = value;
                        Done
                    }
                    RegisterInput::CompareAndSet(from, to) if state == from => {
                        state = to;
                        Done
                    }
                    RegisterInput::CompareAndSet(..) => RegisterOutput::Mismatch,
                };
                let known = !dice.falls(PerMillion::percent(15));
                let returned = known.then(|| (called + dice.between(0, 10), output));
                Operation {
                    key: 1,
                    called,
                    returned,
                    input,
                }
            })
            .collect()
    }

    #[test]
    fn the_search_agrees_with_brute_force_on_small_histories_good_and_bad() {
        let mut dice = Dice::new(1, 0);
        let (mut good, mut bad) = (0, 0);

        for round in 0..20_000 {
            let history = draw(&mut dice);
            let expected = brute_force(&history, 0, 0);
            let judgement = judge::<Registers>(&history, Budget::default());
            assert_eq!(
                judgement == Judgement::Linearizable,
                expected,
                "round {round}: {history:?}"
            );
            if expected { good += 1 } else { bad += 1 }
        }

        assert!(good > 1_000 && bad > 1_000, "{good} good, {bad} bad");
    }
}
