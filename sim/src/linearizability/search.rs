//! The search for an order: calls and returns in a linked list, from which what is taken is lifted and put back.

use std::collections::HashSet;
use std::time::Instant;

use super::{Model, Operation};

/// After so many steps the clock is looked at.
const STEPS_BETWEEN_LOOKS: u64 = 4096;

/// The place that ends a list.
const END: usize = usize::MAX;

/// The search for one key.
pub(super) struct Search<'a, M: Model> {
    operations: Vec<Called<'a, M>>,
    /// Calls and returns by time, as a linked list. A node below the number of operations is a call, one above a
    /// return.
    next: Vec<usize>,
    previous: Vec<usize>,
    head: usize,
}

struct Called<'a, M: Model> {
    input: &'a M::Input,
    output: Option<&'a M::Output>,
}

impl<'a, M: Model> Search<'a, M> {
    pub(super) fn new(history: &'a [Operation<M::Input, M::Output>], places: &[usize]) -> Self {
        Self::up_to(history, places, u64::MAX)
    }

    /// The search in the prefix that ends at this moment: what returned later has an unknown outcome.
    pub(super) fn up_to(
        history: &'a [Operation<M::Input, M::Output>],
        places: &[usize],
        end: u64,
    ) -> Self {
        let within: Vec<&Operation<M::Input, M::Output>> = places
            .iter()
            .map(|place| &history[*place])
            .filter(|operation| operation.called <= end)
            .collect();
        let count = within.len();
        let mut operations = Vec::with_capacity(count);
        // Of what happens at the same moment, calls come first: they overlap with what returns then.
        let mut moments = Vec::with_capacity(2 * count);
        for (at, operation) in within.into_iter().enumerate() {
            let returned = operation.returned.as_ref().filter(|(at, _)| *at <= end);
            moments.push((operation.called, false, at));
            if let Some((returned_at, _)) = returned {
                moments.push((*returned_at, true, count + at));
            }
            operations.push(Called {
                input: &operation.input,
                output: returned.map(|(_, output)| output),
            });
        }
        moments.sort_unstable();
        let mut next = vec![END; 2 * count];
        let mut previous = vec![END; 2 * count];
        for pair in moments.windows(2) {
            let (before, after) = (pair[0].2, pair[1].2);
            next[before] = after;
            previous[after] = before;
        }
        Self {
            operations,
            next,
            previous,
            head: moments.first().map_or(END, |moment| moment.2),
        }
    }

    /// Whether there is an order; `None` if the budget is used up.
    pub(super) fn run(mut self, deadline: Instant, memory_words: usize) -> Option<bool> {
        let count = self.operations.len();
        let mut owed = self
            .operations
            .iter()
            .filter(|call| call.output.is_some())
            .count();
        let mut taken = Taken::of(count);
        let mut tried = HashSet::<(Taken, M::State)>::new();
        // With the state before each; a read has none, since it has changed nothing.
        let mut order: Vec<(usize, Option<M::State>)> = Vec::new();
        let mut state = M::State::default();
        let mut at = self.head;
        let mut steps = 0_u64;
        // Operations of unknown outcome need not be taken.
        while owed > 0 {
            if at == self.head
                && let Some(read) = self.read_explained_by(&state)
            {
                taken.flip(read);
                owed -= 1;
                order.push((read, None));
                self.lift(read);
                at = self.head;
                continue;
            }
            steps += 1;
            if steps.is_multiple_of(STEPS_BETWEEN_LOOKS)
                && (Instant::now() >= deadline || tried.len() * (taken.words() + 4) > memory_words)
            {
                return None;
            }
            if at != END && at < count {
                let Called { input, output } = &self.operations[at];
                if let Some(after) = M::step(&state, input, *output) {
                    taken.flip(at);
                    if tried.insert((taken.clone(), after.clone())) {
                        owed -= usize::from(output.is_some());
                        order.push((at, Some(core::mem::replace(&mut state, after))));
                        self.lift(at);
                        at = self.head;
                        continue;
                    }
                    taken.flip(at);
                }
                at = self.next[at];
                continue;
            }
            // A return that nothing taken explains: the last step was wrong, and if that was a read, the one before.
            loop {
                let Some((last, before)) = order.pop() else {
                    return Some(false);
                };
                taken.flip(last);
                self.put_back(last);
                owed += usize::from(self.operations[last].output.is_some());
                if let Some(before) = before {
                    state = before;
                    at = self.next[last];
                    break;
                }
            }
        }
        Some(true)
    }

    /// A read that may be next and tells what is there, if there is one.
    fn read_explained_by(&self, state: &M::State) -> Option<usize> {
        let count = self.operations.len();
        let mut at = self.head;
        while at != END && at < count {
            let Called { input, output } = &self.operations[at];
            if let Some(output) = *output
                && M::is_read(input, output)
                && M::step(state, input, Some(output)).as_ref() == Some(state)
            {
                return Some(at);
            }
            at = self.next[at];
        }
        None
    }

    /// Takes a call and its return out of the list.
    fn lift(&mut self, call: usize) {
        self.unlink(call);
        if self.operations[call].output.is_some() {
            self.unlink(self.operations.len() + call);
        }
    }

    /// Undoes [`lift`](Self::lift), if it was the last one.
    fn put_back(&mut self, call: usize) {
        if self.operations[call].output.is_some() {
            self.link(self.operations.len() + call);
        }
        self.link(call);
    }

    fn unlink(&mut self, node: usize) {
        let (before, after) = (self.previous[node], self.next[node]);
        if before == END {
            self.head = after;
        } else {
            self.next[before] = after;
        }
        if after != END {
            self.previous[after] = before;
        }
    }

    fn link(&mut self, node: usize) {
        let (before, after) = (self.previous[node], self.next[node]);
        if before == END {
            self.head = node;
        } else {
            self.next[before] = node;
        }
        if after != END {
            self.previous[after] = node;
        }
    }
}

/// A set of operations.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Taken(Box<[u64]>);

impl Taken {
    fn of(count: usize) -> Self {
        Self(vec![0; count.div_ceil(64)].into())
    }

    fn flip(&mut self, at: usize) {
        self.0[at / 64] ^= 1 << (at % 64);
    }

    fn words(&self) -> usize {
        self.0.len()
    }
}
