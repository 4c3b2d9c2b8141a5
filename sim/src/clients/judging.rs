//! The judgement of what clients have heard in a run.

use std::collections::BTreeMap;
use std::time::Duration;

use liferaft_raft::ids::Index;

use super::{Asked, Call, Clients};
use crate::clock::Nanos;
use crate::counts::Counts;
use crate::linearizability::{Budget, Judgement, Model, judge};
use crate::model::{KeyModel, KeyState};
use crate::operation::Question;

impl Clients {
    /// Judges what clients have heard.
    ///
    /// If the history is right, the order of the log is an order that explains it, and to check this one takes no
    /// search. Only if it does not explain all, the search looks for another.
    ///
    /// # Errors
    /// The shortest history that nothing explains.
    pub fn judge(&self, counts: &mut Counts) -> Result<(), String> {
        // What has no known outcome and was applied nowhere was seen by nobody.
        let places = (0..self.history.len()).filter(|at| {
            let call = &self.history[*at];
            !call.failed && (call.asked.returned.is_some() || call.took_effect.is_some())
        });
        let places: Vec<usize> = places.collect();
        counts.judged += places.len() as u64;
        let Some(unexplained) = self.unexplained_by_log(&places) else {
            return Ok(());
        };
        counts.searched += 1;
        let history: Vec<Asked> = places.iter().map(|at| self.asked(*at)).collect();
        match judge::<KeyModel>(&history, BUDGET) {
            Judgement::Linearizable => Ok(()),
            Judgement::Violated { key, prefix } => Err(describe(&history, key, &prefix)),
            Judgement::Unknown => {
                counts.undecided += 1;
                Err(format!(
                    "the order of the log does not explain {unexplained:?}, and the search for another was given up"
                ))
            }
        }
    }

    /// An operation as it is judged: what its client has not heard the log has said, if late.
    fn asked(&self, at: usize) -> Asked {
        let Call { asked, said, .. } = &self.history[at];
        let mut asked = asked.clone();
        let said = said.map(|answer| (Nanos::MAX, answer));
        asked.returned = asked.returned.or(said);
        asked
    }

    /// The first of these operations that cannot have happened where the log has it.
    fn unexplained_by_log(&self, places: &[usize]) -> Option<&Asked> {
        let mut order: Vec<(Option<Index>, bool, Nanos, usize)> = places
            .iter()
            .map(|at| {
                let Call {
                    asked, took_effect, ..
                } = &self.history[*at];
                let reads = !matches!(asked.input, Question::Change(_));
                (*took_effect, reads, asked.called, *at)
            })
            .collect();
        order.sort_unstable();
        let mut states = BTreeMap::<u64, KeyState>::new();
        let mut latest_call = 0;
        for (index, .., at) in order {
            let Call { asked, said, .. } = &self.history[at];
            latest_call = asked.called.max(latest_call);
            let returned = asked.returned.as_ref();
            let state = states.entry(asked.key).or_default();
            let answer = returned.map(|(_, answer)| answer);
            let answer = answer.or(said.as_ref());
            // What returned before another was called must come before it.
            let in_time = returned.is_none_or(|(returned, _)| *returned >= latest_call);
            match KeyModel::step(state, &asked.input, answer) {
                Some(next) if in_time && index.is_some() => *state = next,
                Some(_) | None => return Some(asked),
            }
        }
        None
    }
}

/// What the search may take. Only memory ends it: the same history is judged the same everywhere.
const BUDGET: Budget = Budget {
    time: Duration::from_secs(3600),
    memory_words: 1 << 22,
};

/// The end of a history that nothing explains.
fn describe(history: &[Asked], key: u64, prefix: &[usize]) -> String {
    let newest = prefix.iter().skip(prefix.len().saturating_sub(12));
    let told: String = newest
        .map(|at| {
            let Asked {
                called,
                returned,
                input,
                ..
            } = &history[*at];
            format!("\n  {input:?} called {called}: {returned:?}")
        })
        .collect();
    let count = prefix.len();
    format!("no order explains {count} operations on key {key}, which end with{told}")
}
