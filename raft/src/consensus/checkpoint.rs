//! Finding a peer that has lost what it acknowledged: a disk that was wiped or set back, under an id that was kept.
//!
//! An acknowledgement says that entries are durable, and the leader counts on them for the rest of its term. A server
//! that lost them must not go on counting: entries that were committed with its help would not be on a quorum, and a
//! vote that it gave may be forgotten with them.

use crate::ids::{Index, Round};

/// What a peer's log must at least hold in answers to a round and to all later ones.
///
/// Answers are doubled and reordered, so one that tells of a short log may only be late. But an answer that echoes
/// `round` was given after that round was sent, which was after `match_index` had been acknowledged. In between the
/// peer may have been restarted: whatever it acknowledged was durable. It may have truncated its log: never below what
/// this term's leader knows to match. Or a snapshot may have taken the log's place: one that reaches further. So the
/// log of a peer that keeps its disk does not end below it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Checkpoint {
    round: Round,
    match_index: Index,
}

impl Checkpoint {
    /// Takes an answer that echoes `round` from a log that ends with `last`. Returns what the peer has acknowledged and
    /// lost part of, if the answer proves that. Otherwise an answer that reaches the checkpoint moves it on: to
    /// `match_index`, which the peer has acknowledged, and `next_round`, which has not begun yet.
    pub(super) fn judge(
        &mut self,
        (round, last): (Round, Index),
        match_index: Index,
        next_round: Round,
    ) -> Option<Index> {
        if round < self.round {
            return None;
        }
        if last < self.match_index {
            return Some(self.match_index);
        }
        *self = Self {
            round: next_round,
            match_index,
        };
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The peer acknowledged index 5, and index 9 before round 20 began.
    fn checkpoint() -> Checkpoint {
        let mut checkpoint = Checkpoint::default();
        let first = checkpoint.judge((Round(3), Index(5)), Index(5), Round(10));
        let second = checkpoint.judge((Round(12), Index(9)), Index(9), Round(20));
        assert_eq!((first, second), (None, None));
        checkpoint
    }

    #[test]
    fn a_log_shorter_than_was_acknowledged_is_found() {
        let lost = checkpoint().judge((Round(20), Index(8)), Index(9), Round(30));

        assert_eq!(lost, Some(Index(9)));
    }

    #[test]
    fn a_late_answer_from_before_the_acknowledgement_proves_nothing() {
        let mut checkpoint = checkpoint();

        let late = checkpoint.judge((Round(19), Index(2)), Index(9), Round(30));

        assert_eq!(late, None);
        assert_eq!(checkpoint.round, Round(20), "and moves nothing");
    }

    #[test]
    fn what_was_acknowledged_since_the_round_began_is_not_asked_for_yet() {
        let mut checkpoint = checkpoint();

        let lost = checkpoint.judge((Round(20), Index(9)), Index(15), Round(30));
        let later = checkpoint.judge((Round(29), Index(9)), Index(15), Round(31));
        let echoed = checkpoint.judge((Round(30), Index(9)), Index(15), Round(31));

        assert_eq!((lost, later, echoed), (None, None, Some(Index(15))));
    }
}
