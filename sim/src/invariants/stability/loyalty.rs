//! Loyalty (§4.2.3, §9.6): who leads, or has heard its leader within the least election timeout, does not help another
//! to depose it, unless that leader asked for it.

use liferaft_raft::message::Body;

use super::Watched;
use crate::invariants::{Turn, Verdict, demand};

pub(super) fn check(watched: &Watched, turn: &Turn<'_>) -> Verdict {
    let (before, after, heard) = (turn.before, turn.after(), turn.heard);
    if !heard.is_courted || heard.is_told_more || !watched.is_loyal(turn) {
        return Ok(());
    }
    demand!(
        after.term == before.term,
        "follows a candidate to term {} though its leader is well",
        after.term
    );
    // What leaves when a write is done was promised before.
    if !heard.is_written {
        for (to, message) in &turn.output.messages {
            let granted = matches!(
                &message.body,
                Body::RequestVoteReply(reply) if reply.granted && reply.pre_vote
            );
            demand!(
                !granted || !heard.pre_votes_asked.contains(to),
                "would vote for {to} though its leader is well"
            );
        }
    }
    Ok(())
}
