//! Who campaigns and when: time passes for one server at a time.

use liferaft_raft::consensus::{Input, RoleKind};
use liferaft_raft::ids::ServerId;
use liferaft_raft::message::{Body, Message, RequestVoteReply};

use super::Cluster;
use super::difference::number;
use super::network::Parcel;
use super::node::ELECTION_TICKS;

/// A candidate asks again a few times before it campaigns anew; so many deadlines are enough to get there.
const DEADLINES_MAX: usize = 256;

impl Cluster {
    /// Lets a server's election timer fire. A leader leads on; a server without a vote has no such timer.
    ///
    /// Our servers always ask first whether they would be elected. Where the script has no pre-vote, that question is
    /// not sent: the environment answers yes for every voter, and nobody's state changes by it.
    pub(crate) fn campaign(&mut self, id: u64) -> Result<(), String> {
        let node = self.node(id)?;
        if node.leads() {
            return Ok(());
        }
        let mut deadlines = 0;
        loop {
            match node.meet_deadline() {
                None => return Ok(()),
                Some(true) => break,
                Some(false) => deadlines += 1,
            }
            if deadlines > DEADLINES_MAX {
                return Err(format!("server {id} does not campaign"));
            }
        }
        node.silence = 0;
        if node.options.pre_vote {
            return Ok(());
        }
        node.ready.messages.retain(
            |(_, message)| !matches!(&message.body, Body::RequestVote(request) if request.pre_vote),
        );
        let status = node.status();
        for (voter, member) in status.configuration.members() {
            if node.role() != RoleKind::PreCandidate {
                break;
            }
            if voter == node.id || !member.votes() {
                continue;
            }
            let granted = RequestVoteReply {
                pre_vote: true,
                campaign: status.term.next(),
                granted: true,
            };
            let message = Message {
                term: status.term,
                body: Body::RequestVoteReply(granted),
            };
            node.input(Input::Message {
                from: voter,
                message,
            });
        }
        Ok(())
    }

    /// Ticks pass for one server: a leader's are heartbeats. A follower campaigns only after as many as the script has
    /// set for it: what it would draw by itself differs.
    pub(crate) fn tick(&mut self, id: u64, election: bool) -> Result<(), String> {
        let ticks = if election { ELECTION_TICKS } else { 1 };
        for _ in 0..ticks {
            let node = self.node(id)?;
            if node.leads() {
                node.tick_as_leader();
                continue;
            }
            node.now = node.now + super::node::TICK;
            node.silence += 1;
            if node.patience.is_some_and(|most| node.silence >= most) {
                self.campaign(id)?;
            }
        }
        Ok(())
    }

    pub(crate) fn set_patience(&mut self, id: u64, ticks: u64) -> Result<(), String> {
        self.node(id)?.patience = Some(ticks);
        Ok(())
    }

    /// A follower forgets its leader: enough time passes for its loyalty to end. With reads by lease etcd's refuses.
    pub(crate) fn forget_leader(&mut self, id: u64) -> Result<(), String> {
        let node = self.node(id)?;
        let follows = node.role() == RoleKind::Follower && node.leader().is_some();
        if follows && !node.options.lease_reads {
            node.outlast_loyalty();
            node.forgot_leader = true;
        }
        Ok(())
    }

    /// The leader hands over to `to`. A follower passes that on to its leader.
    pub(crate) fn transfer(&mut self, from: u64, to: u64) -> Result<(), String> {
        let target = self.node(to)?.id;
        let node = self.node(from)?;
        let from = node.id;
        match node.leader() {
            Some(leader) if leader != from => {
                self.network.send(from, leader, Parcel::Transfer(target));
            }
            _ => self.transfer_at(from, target),
        }
        Ok(())
    }

    /// In a joint phase that the script keeps open, an entry that nobody may get yet stands in the way: the environment
    /// then speaks the leader's word.
    pub(super) fn transfer_at(&mut self, leader: ServerId, target: ServerId) {
        self.transfer_to = Some(target);
        let held = !self.network.held.is_empty();
        let Some(node) = self.peer(leader) else {
            return;
        };
        if held && node.leads() {
            let message = Message {
                term: node.status().term,
                body: Body::TimeoutNow,
            };
            self.send_all(leader, vec![(target, message)]);
            return;
        }
        node.input(Input::Transfer(Some(target)));
        node.ready.transfers.clear();
    }

    /// The leader that a server knows, 0 for none. What a script told it to forget it does not count as knowing.
    pub(crate) fn leader_known_to(&mut self, id: u64) -> Result<u64, String> {
        let node = self.node(id)?;
        let forgot = node.forgot_leader && !node.leads();
        let leader = node.leader().filter(|_| !forgot);
        Ok(leader.map_or(0, number))
    }
}
