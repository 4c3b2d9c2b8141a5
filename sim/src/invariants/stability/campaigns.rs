//! Campaigns in time (§3.4, §9.6): nobody campaigns whose leader spoke within the least election timeout, nor raises
//! its term before a quorum would vote for it, nor begins anew before its last vote is durable; and nobody waits longer
//! than the longest one without a reason.

use liferaft_raft::consensus::RoleKind;

use super::{SLACK, Watched};
use crate::invariants::{Turn, Verdict, demand, quorum_by_hand};

pub(super) fn check(watched: &mut Watched, turn: &Turn<'_>) -> Verdict {
    let (before, after, now) = (turn.before, turn.after(), watched.now);
    let election_timeout = watched.timing.election_timeout();
    let is_called = turn.heard.is_called;
    if before.role == RoleKind::Follower && after.role == RoleKind::PreCandidate && !is_called {
        let word = watched.leader_word.filter(|(term, _)| *term == after.term);
        let since = word.map(|(_, at)| now.since(at));
        demand!(
            since.is_none_or(|since| since >= election_timeout),
            "campaigns {since:?} after its leader's last word"
        );
    }
    demand!(
        before.role == RoleKind::PreCandidate
            || after.role != RoleKind::PreCandidate
            || !watched.awaits_vote,
        "campaigns before its vote of term {} is on its disk",
        after.term
    );
    let campaigns = matches!(after.role, RoleKind::Candidate | RoleKind::Leader);
    if campaigns && after.term > before.term && !is_called {
        let grants = watched.grants.get(&after.term);
        let would_vote = |voter| {
            let granted = grants.is_some_and(|grants| grants.contains(&voter));
            u8::from(voter == watched.id || granted)
        };
        let configurations = [turn.configuration_before.1, turn.log().configuration().1];
        let mut configurations = configurations.into_iter().flatten();
        demand!(
            configurations.any(|it| quorum_by_hand(it, would_vote)),
            "raises its term to {} before a quorum would vote for it",
            after.term
        );
    }
    let (_, configuration) = turn.log().configuration();
    let votes = configuration.is_some_and(|it| it.is_voter(watched.id));
    let waited = now.since(watched.waits_since);
    demand!(
        after.role != RoleKind::Follower
            || !votes
            || waited <= watched.election_timeout_max * 2 + SLACK,
        "has waited {waited:?} for a leader"
    );
    Ok(())
}
