//! The environment that the scripts drive: servers, a network in the order of sending, and no time but their ticks.
//!
//! Where etcd's raft has a switch and ours has none, the environment makes up for it by what any real environment may
//! do: lose or delay a message, or let time pass for one server. It never decides anything that the protocol decides.
//! Each such place says so.

mod campaign;
mod change;
mod difference;
mod disk;
mod network;
mod node;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use liferaft_raft::consensus::{Input, Proposal, ProposalId};
use liferaft_raft::entry::Entry;
use liferaft_raft::ids::{Index, ServerId};
use liferaft_raft::message::{Body, InstallSnapshot, Message};

pub(crate) use difference::{Claim, Difference, fact_of, number};
pub(crate) use network::{ChangeKind, Kind};
pub(crate) use node::{Node, Options, Start};

use change::JointPhase;
use difference::Met;
use network::{Network, Parcel, leaves_joint, without_leave};

/// So many rounds of deliveries settle any script; more means that servers talk without end.
const ROUNDS_MAX: usize = 10_000;

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// Not taken, as etcd's `raft proposal dropped`.
    Dropped,
    /// A membership change that was refused.
    Refused(String),
    /// Passed on to the leader.
    Forwarded,
}

#[derive(Debug, Default)]
pub(crate) struct Cluster {
    nodes: Vec<Node>,
    network: Network,
    /// The joint phase that the script keeps open.
    joint_phase: Option<JointPhase>,
    /// To whom the script has told a leader to hand over.
    transfer_to: Option<ServerId>,
    /// A change that was taken and waits to be appended: the leader and the end of its log at the time.
    change_waits: Option<(ServerId, Index)>,
    /// From here on etcd's log and ours may number entries differently: one has a membership entry that the other has
    /// not, or has it in another place.
    pub(crate) numbered_apart: bool,
    /// How many entries etcd's log may have more than ours.
    pub(crate) entries_more: u64,
    /// All servers have nothing left to do.
    pub(crate) settled: bool,
    met: Met,
    /// All that is committed, by index: the servers must agree on it.
    committed: BTreeMap<Index, Entry>,
    last_proposal: u64,
    /// Leaders, each with a follower that has shown it a gap in its log.
    gaps: BTreeSet<(ServerId, ServerId)>,
}

impl Cluster {
    pub(crate) fn add_nodes(&mut self, count: u64, options: &Options) -> Result<(), String> {
        for _ in 0..count {
            let id = ServerId(self.nodes.len() as u128 + 1);
            self.nodes.push(Node::new(id, options.clone())?);
        }
        Ok(())
    }

    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub(crate) fn node(&mut self, id: u64) -> Result<&mut Node, String> {
        let at = usize::try_from(id).unwrap_or(0).wrapping_sub(1);
        self.nodes
            .get_mut(at)
            .ok_or_else(|| format!("there is no server {id}"))
    }

    fn peer(&mut self, id: ServerId) -> Option<&mut Node> {
        self.nodes.iter_mut().find(|node| node.id == id)
    }

    /// The committed entries, which all servers agree on.
    ///
    /// # Errors
    /// When they do not: two committed different entries at one index.
    pub(crate) fn committed(&mut self) -> Result<&BTreeMap<Index, Entry>, String> {
        for node in &self.nodes {
            let commit = node.status().commit;
            for entry in node.committed_entries(commit) {
                let known = self
                    .committed
                    .entry(entry.index)
                    .or_insert_with(|| entry.clone());
                if known != entry {
                    let (id, at) = (node.id, entry.position());
                    return Err(format!(
                        "server {id} committed another entry than others at {at}"
                    ));
                }
            }
        }
        Ok(&self.committed)
    }

    pub(crate) fn process_ready(&mut self, id: u64) -> Result<(), String> {
        let node = self.node(id)?;
        let (from, stepped) = (node.id, node.leads());
        let sent = node.process_ready();
        self.send_all(from, sent);
        self.note_removed_leader(from, stepped);
        Ok(())
    }

    pub(crate) fn process_append(&mut self, id: u64) -> Result<(), String> {
        let node = self.node(id)?;
        let from = node.id;
        if let Some(sent) = node.process_append() {
            self.send_all(from, sent);
        }
        Ok(())
    }

    pub(crate) fn process_apply(&mut self, id: u64) -> Result<(), String> {
        self.node(id)?.process_apply();
        Ok(())
    }

    fn send_all(&mut self, from: ServerId, messages: Vec<(ServerId, Message)>) {
        let pre_vote = self
            .nodes
            .iter()
            .any(|node| node.id == from && node.options.pre_vote);
        for (to, message) in messages {
            match &message.body {
                // Without pre-vote the script has nobody asked: see `campaign`.
                Body::RequestVote(request) if request.pre_vote && !pre_vote => continue,
                // Our removed leaders tell a successor to take over; the scripts say themselves who campaigns, so that
                // this word is lost, as any may be.
                Body::TimeoutNow if self.transfer_to != Some(to) => continue,
                _ => {}
            }
            let parcel = Parcel::Message(message);
            if let (Some(phase), Parcel::Message(message)) = (&self.joint_phase, &parcel)
                && phase.is_joint
                && leaves_joint(message, phase.base)
            {
                // What comes before that entry, and the word of what is committed, goes ahead.
                let ahead = Parcel::Message(without_leave(message, phase.base));
                self.network.send(from, to, ahead);
                self.network
                    .held
                    .push(network::Envelope { from, to, parcel });
            } else {
                self.network.send(from, to, parcel);
            }
        }
    }

    /// Delivers what is for a server, or loses it. Tells whether there was something.
    pub(crate) fn deliver(
        &mut self,
        id: u64,
        kind: Option<Kind>,
        lose: bool,
    ) -> Result<bool, String> {
        let to = ServerId(u128::from(id));
        let taken = self.network.take(to, kind);
        let found = !taken.is_empty();
        if lose {
            return Ok(found);
        }
        if found {
            self.node(id)?;
        }
        for envelope in taken {
            match envelope.parcel {
                Parcel::Message(message) => self.deliver_message(envelope.from, to, message),
                Parcel::Proposal(command) => {
                    self.propose_at(to, command);
                }
                Parcel::Change { steps, kind } => {
                    self.change_at(to, &steps, kind)?;
                }
                Parcel::Transfer(target) => self.transfer_at(to, target),
            }
        }
        Ok(found)
    }

    fn deliver_message(&mut self, from: ServerId, to: ServerId, mut message: Message) {
        if let Body::AppendEntriesReply(reply) = &message.body
            && reply.conflict.is_some()
        {
            self.gaps.insert((to, from));
        }
        let Some(node) = self.peer(to) else { return };
        match &mut message.body {
            // etcd's servers owe their leader loyalty only with check-quorum; ours always do. Without it the request is
            // marked as one that the leader asked for, and time passes where that does not help.
            Body::RequestVote(request) if !node.options.check_quorum => {
                if request.pre_vote {
                    node.outlast_loyalty();
                } else {
                    request.leadership_transfer = true;
                }
            }
            Body::AppendEntries(_) | Body::InstallSnapshot(_) => {
                node.silence = 0;
                node.forgot_leader = false;
            }
            _ => {}
        }
        let leads = node.leads();
        if let Body::RequestVote(request) = &message.body {
            self.note_vote_request(from, to, request);
        }
        if let Some(node) = self.peer(to) {
            node.input(Input::Message { from, message });
        }
        self.note_removed_leader(to, leads);
    }

    /// Works and delivers among these servers, or all, until nothing is left to do.
    pub(crate) fn stabilize(&mut self, ids: &[u64]) -> Result<(), String> {
        let all: Vec<u64> = (1..=self.nodes.len() as u64).collect();
        let ids = if ids.is_empty() { &all[..] } else { ids };
        for _ in 0..ROUNDS_MAX {
            let mut done = true;
            for id in ids {
                if self.node(*id)?.has_ready() {
                    self.process_ready(*id)?;
                    done = false;
                }
            }
            for id in ids {
                done &= !self.deliver(*id, None, false)?;
            }
            for id in ids {
                while !self.node(*id)?.appending.is_empty() {
                    self.process_append(*id)?;
                    done = false;
                }
            }
            for id in ids {
                while self.node(*id)?.process_apply() {
                    done = false;
                }
            }
            if done && !self.wait_out_gaps(ids) {
                return Ok(());
            }
        }
        Err(format!("servers still talk after {ROUNDS_MAX} rounds"))
    }

    /// A gap may mean that the network reordered, so that our leaders send again only after a while; etcd's at once.
    /// Where nothing else is left to do, that while passes. Tells whether there was a gap.
    fn wait_out_gaps(&mut self, ids: &[u64]) -> bool {
        let is_among = |id: ServerId| ids.iter().any(|among| u128::from(*among) == id.0);
        let (shown, others): (BTreeSet<_>, BTreeSet<_>) = std::mem::take(&mut self.gaps)
            .into_iter()
            .partition(|(leader, follower)| is_among(*leader) && is_among(*follower));
        self.gaps = others;
        let mut waited = false;
        for (leader, follower) in shown {
            let Some(node) = self.peer(leader) else {
                continue;
            };
            if node.lags(follower) {
                node.wait_to_resend();
                waited = true;
            }
        }
        waited
    }

    pub(crate) fn propose(&mut self, id: u64, command: Bytes) -> Result<Outcome, String> {
        let node = self.node(id)?;
        let (from, leader) = (node.id, node.leader());
        match leader {
            Some(leader) if leader == from => Ok(self.propose_at(from, command)),
            Some(leader) => {
                self.network.send(from, leader, Parcel::Proposal(command));
                Ok(Outcome::Forwarded)
            }
            None => Ok(Outcome::Dropped),
        }
    }

    fn propose_at(&mut self, id: ServerId, command: Bytes) -> Outcome {
        self.note_change_overtaken();
        self.last_proposal += 1;
        let proposal = Proposal {
            id: ProposalId(self.last_proposal),
            command,
        };
        let Some(node) = self.peer(id) else {
            return Outcome::Dropped;
        };
        node.input(Input::Propose(vec![proposal]));
        let answers = std::mem::take(&mut node.ready.proposals);
        if answers.iter().all(|(_, answer)| answer.is_ok()) {
            Outcome::Done
        } else {
            Outcome::Dropped
        }
    }

    pub(crate) fn compact(&mut self, id: u64, index: u64) -> Result<(), String> {
        self.node(id)?.compact(index);
        Ok(())
    }

    /// A leader's snapshot as the script's user sends it: of what is applied, in one piece. Our leaders choose for
    /// themselves when to send one, so the environment speaks for them.
    pub(crate) fn send_snapshot(&mut self, from: u64, to: u64) -> Result<(), String> {
        let node = self.node(from)?;
        let from = node.id;
        let Some((metadata, data)) = node.snapshot() else {
            return Ok(());
        };
        let term = node.status().term;
        let chunk = InstallSnapshot {
            round: liferaft_raft::ids::Round::ZERO,
            transfer: 0,
            metadata: Some(metadata),
            offset: 0,
            data,
        };
        let body = Body::InstallSnapshot(Box::new(chunk));
        let parcel = Parcel::Message(Message { term, body });
        self.network.send(from, ServerId(u128::from(to)), parcel);
        Ok(())
    }
}
