//! Commitment (§3.6.2, plan 2.1 no. 6): what is committed is durable on a quorum of the configuration in force, is of
//! the leader's own term or before such an entry, and never changes again (no. 7).

use super::{Turn, Verdict, demand};
use liferaft_raft::configuration::Configuration;
use liferaft_raft::consensus::Event;
use liferaft_raft::ids::Term;

use crate::digest;
use crate::history::History;

/// Only a leader's turn may add to the history; every other agrees with it.
pub(super) fn check(turn: &Turn<'_>, history: &mut History) -> Verdict {
    let (before, after) = (turn.before, turn.after());
    let commit = after.positions.commit;
    if commit == before.positions.commit {
        return Ok(());
    }
    let log = turn.log();
    let known = history.last_index().min(commit);
    let mut at = before.positions.commit.max(log.base().index).next();
    while at <= known {
        let Some(((term, digest), committed)) = log.entry(at).zip(history.entry(at)) else {
            return Err(format!("entry {at} is committed and not in the log"));
        };
        demand!(
            digest == committed.digest,
            "{at}@{term} is committed here, {at}@{} elsewhere",
            committed.term
        );
        at = at.next();
    }
    let base = log.base();
    let committed_at_base = history.entry(base.index).map(|entry| entry.term);
    demand!(
        base.index > history.last_index() || committed_at_base == Some(base.term),
        "the log begins after {base}, which is not what was committed there"
    );
    if commit <= history.last_index() {
        return Ok(());
    }
    // A leader may step down in the turn in which it commits, as one that was removed does.
    let term = if before.leads() {
        before.term
    } else {
        after.term
    };
    demand!(
        before.leads() || after.leads(),
        "a follower takes {commit} to be committed, leaders only {}",
        history.last_index()
    );
    let last_term = log.term_at(commit);
    demand!(
        last_term == Some(term),
        "a leader of term {term} commits up to {commit}, an entry of term {last_term:?}"
    );
    let holds = |configuration| {
        turn.is_durable_on_quorum(configuration, |durable| durable.holds(commit, term))
    };
    // Within a turn, an entry may be committed just before or just after another configuration is appended.
    let left = turn.configuration_before.1.map(Configuration::left_joint);
    demand!(
        holds(turn.configuration_before.1)
            || holds(log.configuration().1)
            || lost_a_configuration(turn) && holds(left.as_ref()),
        "{commit}@{term} is committed, and no quorum has it on disk"
    );
    let mut at = history.last_index().next();
    while at <= commit {
        let Some((entry_term, digest)) = log.entry(at) else {
            return Err(format!("entry {at} is committed and not in the log"));
        };
        history.commit(entry_term, term, digest);
        if let Some(configuration) = log.configuration_at(at) {
            history.commit_configuration(at, digest::of_configuration(configuration));
        }
        at = at.next();
    }
    leaders_have_it(turn, history, term)
}

/// Whether one was appended, and overwritten by a later leader's entries, both in this turn: one that woke from a pause
/// hears of all that it missed at once. What it appended unasked is the way out of a joint configuration.
fn lost_a_configuration(turn: &Turn<'_>) -> bool {
    let kept = turn.log().configuration().0;
    turn.output
        .events
        .iter()
        .any(|event| matches!(event, Event::ConfigurationChanged { index } if *index > kept))
}

/// A leader of a later term has it already: its election would have been impossible otherwise (§3.6.3).
fn leaders_have_it(turn: &Turn<'_>, history: &History, by: Term) -> Verdict {
    let last = history.last_index();
    let term = history.last().term;
    for other in turn.members {
        demand!(
            !other.leads()
                || other.view.term <= by
                || other.log.base().index >= last
                || other.log.term_at(last) == Some(term),
            "{last}@{term} is committed, and member {} leads the later term {} without it",
            other.id,
            other.view.term
        );
    }
    Ok(())
}
