//! Persist before send (§3.8, plan 2.1 no. 10): no request for a vote, no vote and no acknowledgement leaves before
//! what it promises is durable.

use liferaft_raft::ids::{Index, Term};
use liferaft_raft::message::Body;

use super::{Turn, Verdict, demand, member_of};
use crate::history::History;

pub(super) fn check(turn: &Turn<'_>, history: &History) -> Verdict {
    let durable = turn.durable();
    let hard_state = durable.hard_state();
    for (to, message) in &turn.output.messages {
        let term = message.term;
        match &message.body {
            Body::RequestVote(request) if !request.pre_vote => {
                demand!(
                    hard_state.term > term
                        || hard_state.term == term && hard_state.voted_for == Some(turn.id()),
                    "asks for votes in term {term} with {hard_state:?} on disk"
                );
            }
            Body::RequestVoteReply(reply) => {
                let promised = !reply.granted || reply.pre_vote;
                demand!(
                    hard_state.term >= term,
                    "answers in term {term} with {hard_state:?} on disk"
                );
                demand!(
                    promised || hard_state.term > term || hard_state.voted_for == Some(*to),
                    "votes for {to} in term {term} with {hard_state:?} on disk"
                );
            }
            Body::AppendEntriesReply(reply) => {
                demand!(
                    hard_state.term >= term,
                    "acknowledges in term {term} with {hard_state:?} on disk"
                );
                acknowledged(turn, history, term, reply.match_index)?;
            }
            Body::InstallSnapshotReply(reply) => {
                demand!(
                    hard_state.term >= term,
                    "acknowledges in term {term} with {hard_state:?} on disk"
                );
                acknowledged(turn, history, term, reply.match_index)?;
            }
            Body::AppendEntries(_) | Body::InstallSnapshot(_) => {
                demand!(
                    hard_state.term >= term,
                    "leads term {term} with {hard_state:?} on disk"
                );
            }
            Body::RequestVote(_)
            | Body::TimeoutNow
            | Body::ReadIndex(_)
            | Body::ReadIndexReply(_) => {}
        }
    }
    Ok(())
}

/// A match is acknowledged to the leader of a term: what lies there is durable and is what that leader has.
fn acknowledged(turn: &Turn<'_>, history: &History, term: Term, match_index: Index) -> Verdict {
    let log = turn.log();
    if match_index <= log.base().index.min(turn.durable().snapshot_index()) {
        return Ok(());
    }
    // Below the beginning of the log everything is committed.
    let matched = if match_index < log.base().index {
        history.entry(match_index).map(|committed| committed.term)
    } else {
        log.term_at(match_index)
    };
    let Some(matched) = matched else {
        return Err(format!(
            "acknowledges {match_index}, which is not in its log"
        ));
    };
    demand!(
        turn.durable().holds(match_index, matched),
        "acknowledges {match_index}@{matched}, which is not on disk"
    );
    let leader = turn
        .members
        .iter()
        .find(|other| other.leads() && other.view.term == term);
    let leaders =
        leader.and_then(|leader| member_of(turn.members, leader.id)?.log.term_at(match_index));
    demand!(
        leaders.is_none_or(|leaders| leaders == matched),
        "acknowledges {match_index}@{matched}, where the leader has term {leaders:?}"
    );
    Ok(())
}
