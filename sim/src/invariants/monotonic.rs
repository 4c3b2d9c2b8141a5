//! Monotonic (plan 2.1 no. 7, no. 8): a server's term, commit and applied indices only grow, and its vote never changes
//! within a term, as told and as persisted, across restarts.

use std::collections::BTreeMap;

use liferaft_raft::consensus::HardState;
use liferaft_raft::ids::ServerId;

use super::{Turn, Verdict, demand};
use crate::member::Member;

#[derive(Debug, Default)]
pub(super) struct Monotonic {
    written: BTreeMap<ServerId, HardState>,
}

impl Monotonic {
    pub(super) fn check(&mut self, turn: &Turn<'_>) -> Verdict {
        let (before, after) = (turn.before, turn.after());
        demand!(
            after.term >= before.term,
            "the term goes from {} to {}",
            before.term,
            after.term
        );
        let (was, is) = (before.positions, after.positions);
        demand!(
            is.commit >= was.commit,
            "the commit index goes from {} to {}",
            was.commit,
            is.commit
        );
        demand!(
            is.applied >= was.applied,
            "the applied index goes from {} to {}",
            was.applied,
            is.applied
        );
        demand!(
            is.snapshot >= was.snapshot && is.compacted >= was.compacted,
            "the snapshot goes from {} to {}, the log's beginning from {} to {}",
            was.snapshot,
            is.snapshot,
            was.compacted,
            is.compacted
        );
        for hard_state in turn
            .output
            .writes
            .iter()
            .filter_map(|write| write.hard_state)
        {
            let last = self.written.entry(turn.id()).or_default();
            let grows = hard_state.term > last.term
                || hard_state.term == last.term
                    && (last.voted_for.is_none() || last.voted_for == hard_state.voted_for);
            let grows = grows && hard_state.commit >= last.commit;
            demand!(grows, "writes {hard_state:?} after {last:?}");
            *last = hard_state;
        }
        Ok(())
    }

    pub(super) fn restarted(&mut self, member: &Member) -> Verdict {
        let durable = member.disk.durable().hard_state();
        if let Some(raft) = &member.raft {
            demand!(
                raft.term() == durable.term,
                "begins in term {} with term {} on disk",
                raft.term(),
                durable.term
            );
        }
        // What was not durable is forgotten, and nobody has heard of it.
        self.written.insert(member.id, durable);
        Ok(())
    }
}
