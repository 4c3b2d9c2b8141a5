//! Election safety (§3.2, plan 2.1 no. 1): at most one leader in a term, elected by durable votes of a quorum, each
//! voter giving one vote in a term.

use std::collections::BTreeMap;

use liferaft_raft::configuration::Configuration;
use liferaft_raft::ids::{ServerId, Term};
use liferaft_raft::message::Body;

use super::{Turn, Verdict, demand, quorum_by_hand};

#[derive(Debug, Default)]
pub(super) struct ElectionSafety {
    leaders: BTreeMap<Term, ServerId>,
    /// The votes that have left their voter, and those of candidates for themselves.
    votes: BTreeMap<(Term, ServerId), ServerId>,
}

impl ElectionSafety {
    pub(super) fn check(&mut self, turn: &Turn<'_>) -> Verdict {
        let id = turn.id();
        for (to, message) in &turn.output.messages {
            let (term, candidate) = match &message.body {
                Body::RequestVoteReply(reply) if reply.granted && !reply.pre_vote => {
                    (reply.campaign, *to)
                }
                Body::RequestVote(request) if !request.pre_vote => (request.campaign, id),
                _ => continue,
            };
            let voted_for = *self.votes.entry((term, id)).or_insert(candidate);
            demand!(
                voted_for == candidate,
                "voted for {voted_for} and for {candidate} in term {term}"
            );
        }
        if turn.begins_to_lead() {
            self.elected(turn)?;
        }
        Ok(())
    }

    fn elected(&mut self, turn: &Turn<'_>) -> Verdict {
        let (id, term) = (turn.id(), turn.after().term);
        let leader = *self.leaders.entry(term).or_insert(id);
        demand!(leader == id, "{leader} and {id} both lead term {term}");
        // A voter that moves on to a later term before its vote is counted has still given it, so what was sent counts;
        // the candidate's own vote counts when it is on disk.
        let own = turn.durable().hard_state();
        let votes = |voter| {
            u8::from(if voter == id {
                own.term == term && own.voted_for == Some(id)
            } else {
                self.votes.get(&(term, voter)) == Some(&id)
            })
        };
        let holds = |configuration: Option<&Configuration>| {
            configuration.is_some_and(|it| quorum_by_hand(it, votes))
        };
        demand!(
            holds(turn.configuration_before.1) || holds(turn.log().configuration().1),
            "leads term {term} without the votes of a quorum"
        );
        Ok(())
    }
}
