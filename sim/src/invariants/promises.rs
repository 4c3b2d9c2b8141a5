//! Promises of leases (§6.4.1): a server that has promised its leader to help nobody else to lead votes for nobody and
//! does not campaign until that time is over by its clock, whatever becomes of its role, its term and its life.
//!
//! What it promised is taken from its answers, and counts from when it first heard the round that it answers. The time
//! is that which its clock measures, in whatever life: a promise outlives a restart, and a clock that leaps ends none.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use liferaft_raft::consensus::RoleKind;
use liferaft_raft::ids::{Round, ServerId, Term};
use liferaft_raft::message::Body;

use super::{Turn, Verdict, demand};
use crate::clock::Nanos;
use crate::member::Member;

/// All that was promised.
#[derive(Debug, Default)]
pub(super) struct Promises {
    heard: BTreeMap<ServerId, Heard>,
    promised: BTreeMap<ServerId, Promised>,
    /// Whom a leader told to campaign, as those who were asked for their votes heard: they need not wait.
    called: BTreeSet<(ServerId, Term)>,
}

/// The highest round that a server has heard, and when it first did.
#[derive(Clone, Copy, Debug)]
struct Heard {
    term: Term,
    round: Round,
    at: Duration,
}

/// The promise of a server to the leader of a term.
#[derive(Clone, Copy, Debug)]
struct Promised {
    term: Term,
    until: Duration,
}

impl Promises {
    /// Whether a server has promised something that is not over.
    pub(super) fn bind(&self, member: &Member, now: Nanos) -> bool {
        let promised = self.promised.get(&member.id);
        promised.is_some_and(|promised| member.clock.measured(now) < promised.until)
    }

    pub(super) fn check(&mut self, turn: &Turn<'_>) -> Verdict {
        if turn.plan.config.read_lease().is_none() {
            return Ok(());
        }
        let id = turn.id();
        let now = now(turn);
        self.called.extend(&turn.heard.calls);
        if let Some((term, round)) = turn.heard.round {
            let is_news = |heard: &Heard| (term, round) > (heard.term, heard.round);
            if self.heard.get(&id).is_none_or(is_news) {
                self.heard.insert(
                    id,
                    Heard {
                        term,
                        round,
                        at: now,
                    },
                );
            }
        }
        let (before, after) = (turn.before, turn.after());
        let campaigns = matches!(after.role, RoleKind::Candidate | RoleKind::Leader);
        if turn.heard.is_called {
            // Its leader has given its leases up.
            self.promised.remove(&id);
        }
        if campaigns && after.term > before.term {
            self.may_help(turn, id, after.term)?;
        }
        for (to, message) in &turn.output.messages {
            match &message.body {
                Body::RequestVoteReply(reply) if reply.granted && !reply.pre_vote => {
                    self.may_help(turn, *to, reply.campaign)?;
                }
                Body::AppendEntriesReply(reply) if !reply.promise.is_zero() => {
                    let known = self.heard.get(&id);
                    let known = known.filter(|known| known.term == message.term);
                    if let Some(heard) = known.filter(|known| known.round == reply.round) {
                        let until = heard.at + reply.promise;
                        let term = message.term;
                        let promised = self.promised.entry(id);
                        let promised = promised.or_insert(Promised { term, until });
                        if term >= promised.term && until >= promised.until {
                            *promised = Promised { term, until };
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether a server may give its vote, its own included, to this candidate.
    fn may_help(&self, turn: &Turn<'_>, candidate: ServerId, campaign: Term) -> Verdict {
        let Some(promised) = self.promised.get(&turn.id()) else {
            return Ok(());
        };
        demand!(
            campaign <= promised.term
                || now(turn) >= promised.until
                || self.called.contains(&(candidate, campaign)),
            "helps {candidate} to lead term {campaign}, {:?} before its promise to the leader of term {} ends",
            promised.until - now(turn),
            promised.term
        );
        Ok(())
    }
}

fn now(turn: &Turn<'_>) -> Duration {
    turn.members[turn.member].clock.measured(turn.now)
}
