//! The member's part in a membership that manages itself: as the leader it takes in, promotes and evicts; as a server
//! that is none, or was evicted while it was away, it asks to be taken in.

use liferaft_transport::access::Refusal;

use super::asker::Asker;
use super::error::OnlyVoter;
use super::events::Happening;
use super::joining::{Exclusion, Joining};
use super::solitude::Loneliness;
use super::status::MemberError;
use super::task::Driver;
use crate::configuration::{Configuration, Description, Dismissal, Foreign, TokenKey};
use crate::consensus::{Addition, ChangeError, Input, MembershipChange, MembershipStep, RoleKind};
use crate::ids::{Index, ServerId};
use crate::policy::{Act, JoinAnswer, Steward, leaving};
use crate::state_machine::StateMachine;
use crate::time::Instant;
use crate::wire::{Content, JoinReply};

/// What a member does about membership by itself.
#[derive(Debug)]
pub(super) struct Membership {
    /// `None` if membership is in the hands of operators.
    steward: Option<Steward>,
    joining: Joining,
    /// When to tell members that they have lost what they acknowledged, while this server leads.
    tell_forgetful_at: Instant,
    /// Whether this server has lost what it had acknowledged, as it was told by one who must know.
    has_forgotten: bool,
}

impl Membership {
    pub(super) const fn new(steward: Option<Steward>, joining: Joining) -> Self {
        Self {
            steward,
            joining,
            tell_forgetful_at: Instant::MAX,
            has_forgotten: false,
        }
    }

    /// Returns true if this server's storage has lost what it had acknowledged: it must take part no more.
    pub(super) const fn has_forgotten(&self) -> bool {
        self.has_forgotten
    }

    /// When it has something to do, if nothing happens.
    pub(super) fn due(&self) -> Instant {
        let steward = self.steward.as_ref().map_or(Instant::MAX, Steward::due);
        steward.min(self.joining.due()).min(self.tell_forgetful_at)
    }

    /// A member has been found to have lost what it acknowledged: it is to be told.
    pub(super) fn found_forgetful(&mut self, now: Instant) {
        self.tell_forgetful_at = now;
    }

    /// Returns true if this server was asked of late to take in the own one.
    pub(super) fn has_asked(&self, server: ServerId) -> bool {
        self.joining.has_asked(server)
    }

    /// Why this server takes no part, as it was told last.
    pub(super) const fn exclusion(&self) -> Option<Exclusion> {
        self.joining.exclusion()
    }

    /// Returns true if this server waits to be taken in.
    pub(super) fn expects(&self, server: ServerId) -> bool {
        self.steward
            .as_ref()
            .is_some_and(|steward| steward.expects(server))
    }

    /// Asks nobody to be taken in any more.
    pub(super) fn leave(&mut self) {
        self.joining.rest();
    }

    /// Does nothing any more.
    fn rest(&mut self) {
        self.steward = None;
        self.joining.rest();
        self.tell_forgetful_at = Instant::MAX;
    }
}

impl<S: StateMachine> Driver<S> {
    /// Does what is due about membership, once the core has been told all that has arrived: who has just answered is
    /// not silent.
    pub(super) fn keep_membership(&mut self, now: Instant) {
        if self.stopping.is_some() {
            // Whoever leads next sees to it.
            self.membership.rest();
        }
        let timing = self.config.timing();
        if let Some(whom) = self.membership.joining.ask(&self.raft, timing, now) {
            // Whoever is asked in its place may do no more than name it again.
            if self.links.authenticates() {
                self.peers.on_unlinked(whom, self.raft.configuration().1);
            }
            let whom = self.peers.reachable_instead_of(whom);
            self.membership.joining.note_asked(whom);
            let (description, token) = self.peers.wish();
            let wish = Content::Join { description, token };
            tracing::debug!(term = %self.raft.term(), %whom, "asking to join");
            self.links.send(whom, &wish, &mut self.counters);
        }
        self.tell_forgetful(now);
        let Some(steward) = &mut self.membership.steward else {
            return;
        };
        let leads_in = (self.raft.role() == RoleKind::Leader).then(|| self.raft.term());
        if !steward.is_due(leads_in, now) {
            return;
        }
        match steward.look(self.raft.oversight().as_ref(), now) {
            Act::Rest => {}
            Act::Ask => {
                self.inputs.push(Input::Ask);
                self.again = true;
            }
            Act::Change(change) => {
                tracing::info!(term = %self.raft.term(), ?change, "the membership policy changes the configuration");
                self.ask_change(Asker::Policy, change);
                self.again = true;
            }
        }
    }

    /// Tells members that have lost what they acknowledged, again and again: a message may be lost, and one that hears
    /// its leader has no reason to ask whether it is a member.
    fn tell_forgetful(&mut self, now: Instant) {
        if now < self.membership.tell_forgetful_at {
            return;
        }
        let peers = self
            .raft
            .oversight()
            .map_or_else(Vec::new, |view| view.peers);
        let mut again_at = Instant::MAX;
        for peer in peers.iter().filter(|peer| peer.has_forgotten) {
            again_at = now + self.config.election_timeout();
            let word = Content::JoinReply(JoinReply::Forgot);
            self.links.send(peer.id, &word, &mut self.counters);
        }
        self.membership.tell_forgetful_at = again_at;
    }

    /// A server asks this one to be taken in.
    pub(super) fn take_join(
        &mut self,
        from: ServerId,
        description: Description,
        token: Option<TokenKey>,
        now: Instant,
    ) {
        // What the link has proven counts, not what is said on it.
        let link = self.links.link(from).copied();
        let description = match link {
            Some(link) => description.with_public_key(link.key),
            None => description,
        };
        if link.is_some() {
            self.take_description(from, description.clone(), now);
        }
        let Some(link) = link else {
            let addition = Addition {
                description: Some(description),
                token,
                ..Addition::of(from)
            };
            return self.answer_join(addition, now);
        };
        let addition = Addition {
            id: from,
            description: Some(description),
            voucher: None,
            token: link.token,
        };
        let vouched = if self.takes_in() {
            let peers = &self.peers;
            self.vouching.begin(addition, || peers.vouch(link.key))
        } else {
            Some(addition)
        };
        if let Some(addition) = vouched {
            self.answer_join(addition, now);
        }
    }

    /// Returns true if this server takes in whoever asks, and may.
    fn takes_in(&self) -> bool {
        self.raft.role() == RoleKind::Leader && self.membership.steward.is_some()
    }

    /// Answers a server that asks to be taken in, with a voucher if this one takes it in by a link.
    pub(super) fn answer_join(&mut self, addition: Addition, now: Instant) {
        let from = addition.id;
        let reply = match (self.raft.oversight(), &mut self.membership.steward) {
            (None, _) => {
                let recent = self.recent_leader(now);
                let leader = recent.or(self.membership.joining.lead(&self.raft));
                let (_, configuration) = self.raft.configuration();
                let known = leader.and_then(|leader| configuration.member(leader));
                JoinReply::NotLeader {
                    leader,
                    description: known.map(|member| member.description.clone()),
                }
            }
            (Some(oversight), None) if oversight.has_forgotten(from) => JoinReply::Forgot,
            (Some(oversight), None) => by_hand(oversight.configuration, from),
            (Some(oversight), Some(steward)) => {
                match steward.ask_to_join(addition, &oversight, now) {
                    JoinAnswer::Accepted => JoinReply::Accepted,
                    JoinAnswer::Member => JoinReply::Member,
                    JoinAnswer::Busy => JoinReply::Busy,
                    JoinAnswer::Dismissed => JoinReply::Dismissed,
                    JoinAnswer::Forgot => JoinReply::Forgot,
                    JoinAnswer::NotInvited => JoinReply::NotInvited,
                    JoinAnswer::Token(fault) => JoinReply::Token(fault),
                    JoinAnswer::OtherVersion => JoinReply::OtherVersion,
                }
            }
        };
        self.links
            .send(from, &Content::JoinReply(reply), &mut self.counters);
    }

    /// What became of this one's wish to be taken in.
    pub(super) fn take_join_reply(&mut self, from: ServerId, reply: &JoinReply, now: Instant) {
        tracing::debug!(term = %self.raft.term(), %from, ?reply, "answer to the wish to join");
        if *reply == JoinReply::Forgot {
            self.membership.has_forgotten = true;
        }
        let before = self.membership.exclusion();
        if self.membership.has_asked(from) {
            if let JoinReply::NotLeader {
                leader: Some(leader),
                description: Some(description),
            } = reply
                && self.is_vouched(from)
            {
                self.peers.on_introduced(*leader, description);
            }
            self.membership.joining.on_reply(from, reply, now);
            if !self.raft.configuration().1.is_empty() {
                self.membership.joining.note_was_member();
            }
        } else if *reply == JoinReply::Dismissed {
            self.membership.joining.on_removed();
        }
        self.tell_exclusion(before, now);
    }

    /// There is a link to a peer: whoever waits for one to ask by asks at once.
    pub(super) fn found_peer(&mut self, peer: ServerId, now: Instant) {
        let before = self.membership.exclusion();
        let is_server = self.is_vouched(peer);
        self.membership.joining.on_link(is_server, now);
        self.tell_exclusion(before, now);
    }

    /// There is nobody whom this server could reach.
    pub(super) fn take_loneliness(&mut self, loneliness: Loneliness, now: Instant) {
        let before = self.membership.exclusion();
        self.membership.joining.on_loneliness(loneliness);
        self.tell_exclusion(before, now);
    }

    /// A member that has proven who it is gives this server no link.
    pub(super) fn take_refusal(&mut self, refusal: Refusal, now: Instant) {
        let before = self.membership.exclusion();
        self.membership.joining.on_refusal(refusal);
        self.tell_exclusion(before, now);
    }

    /// A server to which this one has spoken says that it belongs elsewhere.
    pub(super) fn take_foreign(&mut self, from: ServerId, why: Foreign, now: Instant) {
        tracing::debug!(term = %self.raft.term(), %from, %why, "server belongs elsewhere");
        self.note_error(MemberError::Foreign { server: from, why });
        self.inputs.push(Input::Foreign(from, why));
        let before = self.membership.exclusion();
        if self.membership.has_asked(from) {
            self.membership.joining.on_foreign(from, why);
        }
        self.tell_exclusion(before, now);
    }

    /// A leader speaks to this server, or it leads.
    pub(super) fn note_led(&mut self, now: Instant) {
        self.tell_exclusion(self.membership.exclusion(), now);
    }

    /// Tells why this server takes no part, if that is something else than before. Nobody's word excludes a member that
    /// has a leader.
    fn tell_exclusion(&mut self, before: Option<Exclusion>, now: Instant) {
        if self.raft.leader().is_some() {
            let (_, configuration) = self.raft.configuration();
            self.membership.joining.on_led(configuration);
        }
        let why = self.membership.exclusion();
        if why != before {
            self.changed = true;
            if why == Some(Exclusion::Removed) {
                self.operations.on_removed(self.id);
            }
            match why {
                Some(why) => tracing::warn!(term = %self.raft.term(), %why, "takes no part"),
                None => tracing::info!(term = %self.raft.term(), "may take part again"),
            }
            self.announce(now, || Happening::Excluded { why });
        }
    }

    /// Tells a server that was removed, and asks for votes, that it was: nobody else will.
    pub(super) fn tell_removed(&mut self, from: ServerId) {
        let (index, configuration) = self.raft.configuration();
        let is_committed = index <= self.raft.positions().commit;
        let was_removed = configuration.dismissal(from) == Some(Dismissal::Removed);
        if is_committed && was_removed && self.raft.leader().is_some() {
            let word = Content::JoinReply(JoinReply::Dismissed);
            self.links.send(from, &word, &mut self.counters);
        }
    }

    /// The core has answered the policy's change.
    pub(super) fn policy_changed(&mut self, result: &Result<Index, ChangeError>, now: Instant) {
        if let Err(error) = result {
            tracing::info!(term = %self.raft.term(), %error, "the membership policy's change was not made");
        }
        if let Some(steward) = &mut self.membership.steward {
            steward.changed(result, self.raft.oversight().as_ref(), now);
        }
    }

    /// A configuration is committed.
    pub(super) fn note_members(&mut self, now: Instant) {
        let before = self.membership.exclusion();
        let (_, configuration) = self.raft.configuration();
        self.membership.joining.note_members(configuration, now);
        self.membership.has_forgotten |=
            configuration.dismissal(self.id) == Some(Dismissal::Forgot);
        self.tell_exclusion(before, now);
    }

    /// Returns the change as it is to be made: if by it `asker` leaves of its own will, its vote is handed on, as
    /// [`leaving`] says.
    pub(super) fn as_asked(
        &mut self,
        asker: ServerId,
        change: MembershipChange,
        now: Instant,
    ) -> Result<MembershipChange, ChangeError> {
        for step in &change.steps {
            if let MembershipStep::AddVoter(added) | MembershipStep::AddLearner(added) = step {
                let heartbeat = self.config.heartbeat_interval();
                self.peers.await_server(added.id, heartbeat, now);
            }
        }
        if let Some(server) = self.unlinked_voter(&change) {
            self.peers.on_unlinked(server, self.raft.configuration().1);
            return Err(ChangeError::NotLinked(server));
        }
        match self.raft.oversight() {
            Some(view) if change.steps == [MembershipStep::Evict(asker)] => {
                leaving(asker, &view, now)
            }
            Some(_) | None => Ok(change),
        }
    }

    /// Returns a new voter of a change to which there is no link: the core, which waits for one that is to catch up and
    /// makes no other change meanwhile, is not troubled with it.
    fn unlinked_voter(&self, change: &MembershipChange) -> Option<ServerId> {
        let (_, configuration) = self.raft.configuration();
        let is_settled = self.links.authenticates() && self.leads();
        let added = change.steps.iter().filter_map(|step| match step {
            MembershipStep::AddVoter(added) => Some(added.id),
            _ => None,
        });
        added.filter(|_| is_settled).find(|server| {
            *server != self.id
                && !configuration.contains(*server)
                && self.links.link(*server).is_none()
        })
    }

    /// What would be lost if this server went for good, if it is the only voter.
    pub(super) fn only_voter(&self) -> Option<OnlyVoter> {
        let (_, configuration) = self.raft.configuration();
        OnlyVoter::of(self.id, configuration, self.raft.positions().commit)
    }

    /// The leader, if it was heard lately.
    fn recent_leader(&self, now: Instant) -> Option<ServerId> {
        let lately = self.config.election_timeout() * 2;
        let heard_at = self.raft.led_at()?;
        (now.since(heard_at) < lately)
            .then(|| self.raft.leader())
            .flatten()
    }
}

/// What a leader that leaves the membership to operators answers to a server that asks to be taken in.
fn by_hand(configuration: &Configuration, from: ServerId) -> JoinReply {
    if configuration.contains(from) {
        JoinReply::Member
    } else if configuration.is_dismissed(from) {
        JoinReply::Dismissed
    } else {
        JoinReply::Manual
    }
}
