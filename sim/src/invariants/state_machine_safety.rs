//! State machine safety (§3.2, plan 2.1 no. 5): what is handed to a state machine is committed, the same everywhere, in
//! order, of the log as it is, and durable on the server that hands it out.

use liferaft_raft::consensus::Apply;

use super::{Turn, Verdict, demand};
use crate::digest;
use crate::history::History;

pub(super) fn check(turn: &Turn<'_>, history: &History) -> Verdict {
    for apply in &turn.output.apply {
        let Apply::Entries(entries) = apply else {
            continue;
        };
        demand!(!entries.is_empty(), "an empty batch is handed out");
        for entry in entries {
            let committed = history.entry(entry.index);
            demand!(
                committed.is_some_and(|committed| committed.digest == digest::of_entry(entry)),
                "{} is handed out, {:?} is committed there",
                entry.position(),
                committed.map(|committed| committed.term)
            );
        }
        // In the turn in which a snapshot takes the log's place they may have come out before.
        let first = entries[0].position();
        demand!(
            turn.change.replaced || turn.log().term_at(first.index).is_some(),
            "{first} is handed out, and a snapshot has taken its place"
        );
        let last = entries.last().expect("checked just above").position();
        demand!(
            turn.durable().holds(last.index, last.term),
            "{last} is handed out before it is durable here"
        );
    }
    Ok(())
}
