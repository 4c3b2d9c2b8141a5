//! The protocol: a deterministic value that is told what happens and answers with what to do.
//!
//! [`Raft`] is one server's part. It takes [`Input`]s, one or several at a time, together with what time it is, and
//! appends to an [`Output`] whatever is to be done. Two contracts make it hard to misuse:
//!
//! - whatever comes out may be done at once: what must wait for the disk is still inside;
//! - the same inputs at the same times with the same seed give the same outputs, byte for byte.
//!
//! The code is cut by role (`follower`, `candidate`, `leader`) and by what a leader does (`replication`,
//! `change`, `read`, `transfer`). A role handles an input on its own data and on what is common to all; it answers with
//! the move to another role that it proposes, and [`Raft`] makes that move, in one place.
//!
//! ```
//! # use liferaft_raft as liferaft;
//! use liferaft::config::Config;
//! use liferaft::configuration::Configuration;
//! use liferaft::consensus::{Input, Output, Raft, Recovered, RoleKind};
//! use liferaft::ids::ServerId;
//! use liferaft::time::Instant;
//!
//! let now = Instant::ORIGIN;
//! let mut raft = Raft::new(ServerId(1), Config::default(), Recovered::default(), now, 42)?;
//! let mut output = Output::default();
//!
//! raft.input(now, Input::Bootstrap(Box::new(Configuration::of_voters([ServerId(1)]))), &mut output);
//! raft.input(now, Input::Timer, &mut output);
//! for write in std::mem::take(&mut output.writes) {
//!     // … make it durable, then say so:
//!     raft.input(now, Input::Persisted(write.id), &mut output);
//! }
//! assert_eq!(raft.status().role, RoleKind::Leader);
//! # Ok::<(), liferaft::consensus::RecoveryError>(())
//! ```

mod asking;
mod candidate;
mod change;
mod checkpoint;
mod common;
mod currency;
mod dispatch;
mod fetch;
mod follower;
mod headway;
mod input;
mod leader;
pub mod lease;
mod log;
mod membership;
mod names;
mod outbox;
mod output;
mod oversight;
mod pace;
pub mod planted;
mod progress;
pub mod quorum;
mod read;
mod recovery;
mod replication;
mod role;
mod round_trip;
mod rounds;
mod shelf;
mod snapshot;
mod stamp;
mod status;
mod tail;
mod transfer;
mod transition;
mod vote;

pub use common::TERM_JUMP_MAX;
pub use input::{Addition, Input, MembershipChange, MembershipStep, NewToken, Proposal};
pub use log::Outline;
pub use names::{ChangeId, ProposalId, ReadId, Reception, SnapshotName, WriteId};
// For storages.
pub use output::select;
pub use output::{
    Apply, ChangeError, EntriesRead, EntriesReader, Event, HardState, InvalidChange, Output,
    ProposeRefused, ReadRefused, Recovered, Refusal, RoleKind, Snapshot, SnapshotRead,
    SnapshotStep, TRANSFERS_WAITING_MAX, TransferError, Write,
};
pub use oversight::{Contact, Oversight};
pub use recovery::RecoveryError;
pub use shelf::Shelf;
pub use stamp::STAMP_ADVANCE_MAX;
pub use status::{PeerStatus, Positions, ReplicationState, Status};

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use crate::config::{Config, Timing};
use crate::configuration::Configuration;
use crate::entry::{Entry, Payload};
use crate::ids::{Index, ServerId, Term};
use crate::time::{ClusterTime, Instant};

use common::Common;
use follower::Follower;
use planted::{Bug, is_planted};
use recovery::Restored;
use role::Role;
use transition::Transition;

/// The term of the entry that [`Input::Bootstrap`] makes.
const BOOTSTRAP_TERM: Term = Term(1);

/// One server's part of the protocol.
#[derive(Debug)]
pub struct Raft {
    common: Common,
    role: Role,
}

impl Raft {
    /// A server that goes on from what its storage gave back; `Recovered::default()` for a blank one.
    ///
    /// A blank server keeps its timers off until a leader speaks to it or [`Input::Bootstrap`] makes it the first of a
    /// cluster. The seed should differ from server to server and from start to start: it spreads elections, and
    /// tells what was said in an earlier life from what was said in this one.
    ///
    /// # Errors
    /// When what storage gave back is damaged.
    pub fn new(
        id: ServerId,
        config: Config,
        recovered: Recovered,
        now: Instant,
        seed: u64,
    ) -> Result<Self, RecoveryError> {
        let restored = Restored::from_stored(recovered)?;
        let mut common = Common::new(id, config, restored, now, seed);
        let role = Role::Follower(Follower::new(&mut common, None, false));
        Ok(Self { common, role })
    }

    /// Takes one input. Effects are appended to `output`.
    ///
    /// # Panics
    /// When the driver breaks the contract: it reports as applied what was not handed out, or as read what was not
    /// written.
    pub fn input(&mut self, now: Instant, input: Input, output: &mut Output) {
        self.begin(now);
        self.take(input);
        self.finish(output);
    }

    /// Takes several inputs that have gathered, and speaks to the other servers once: that is where batching comes
    /// from. Effects are appended to `output`.
    ///
    /// # Panics
    /// As [`input`](Self::input).
    pub fn inputs(
        &mut self,
        now: Instant,
        inputs: impl IntoIterator<Item = Input>,
        output: &mut Output,
    ) {
        self.begin(now);
        for input in inputs {
            self.take(input);
        }
        self.finish(output);
    }

    /// When [`Input::Timer`] is due; `None` if nothing waits for time to pass.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match &self.role {
            Role::Follower(follower) => follower.deadline(&self.common),
            Role::PreCandidate(campaign) | Role::Candidate(campaign) => campaign.deadline(),
            Role::Leader(leader) => Some(leader.deadline()),
        }
    }

    /// The leader that this server knows of: itself, if it leads.
    #[must_use]
    pub fn leader(&self) -> Option<ServerId> {
        match &self.role {
            Role::Follower(follower) => follower.leader(),
            Role::PreCandidate(_) | Role::Candidate(_) => None,
            Role::Leader(_) => Some(self.common.id),
        }
    }

    /// What this server does.
    #[must_use]
    pub fn role(&self) -> RoleKind {
        self.role.kind()
    }

    /// The current term.
    #[must_use]
    pub fn term(&self) -> Term {
        self.common.current_term
    }

    /// A moment, by this server's clock, as of which what was handed out for application was all that was committed
    /// anywhere; `None` if none is known since it started.
    ///
    /// On a leader it is when the last round was sent that a quorum has echoed. On a follower it lies before the
    /// sending of a word of the leader which it has since caught up with and which a quorum has since echoed: two to
    /// three heartbeats ago if nothing happens. Neither the flight of that word nor the time of a leader that was
    /// deposed without knowing it is left out. It rests on this server's clock alone, and on no other's.
    #[must_use]
    pub fn current_as_of(&self) -> Option<Instant> {
        match &self.role {
            Role::Leader(leader) => leader.current_as_of(&self.common),
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => {
                self.common.current_as_of()
            }
        }
    }

    /// Until when this server, which leads, answers reads without asking anybody (§6.4.1). It may have passed. `None`
    /// if it has no lease.
    #[must_use]
    pub fn lease_until(&self) -> Option<Instant> {
        match &self.role {
            Role::Leader(leader) => leader.lease_until(&self.common),
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => None,
        }
    }

    /// How long it is from `now` until an entry is to be appended, by [`Input::MarkTime`], so that cluster time comes
    /// to `at` without any other entry: nothing if it is due. `None` on a server that does not lead.
    ///
    /// One entry moves cluster time by [`STAMP_ADVANCE_MAX`] at most, so a distant time takes several. While no quorum
    /// is heard cluster time stands still, and what is left does not get less.
    #[must_use]
    pub fn time_mark_in(&self, at: ClusterTime, now: Instant) -> Option<Duration> {
        match &self.role {
            Role::Leader(leader) => Some(leader.time_mark_in(&self.common, at, now)),
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => None,
        }
    }

    /// Returns the cluster time of the last entry of its log.
    #[must_use]
    pub fn last_stamp(&self) -> ClusterTime {
        self.common.log.last_stamp()
    }

    /// What the entries behind the snapshot weigh, in bytes: when it is much, a snapshot is due.
    #[must_use]
    pub fn log_bytes(&self) -> u64 {
        self.common.log.bytes()
    }

    /// The entries that this server holds in memory from `from` on, committed or not. Of a longer log than
    /// [`Limits::log_memory_bytes_max`](crate::config::Limits::log_memory_bytes_max) that is the end; what is missing
    /// since the last compaction is in storage.
    pub fn log_from(&self, from: Index) -> impl Iterator<Item = &Entry> {
        self.common.log.entries_from(from)
    }

    /// Returns true if these entries may answer this read: they are the ones that were asked for, as this server wrote
    /// them. Otherwise the storage is damaged, and the driver stops.
    #[must_use]
    pub fn may_take(&self, read: &EntriesRead, entries: &[Entry]) -> bool {
        self.common.fetches.fits(read, entries, &self.common.log)
    }

    fn begin(&mut self, now: Instant) {
        // A clock that goes backward stands still, and tells nothing of how much time has passed until it has caught
        // up.
        let was_behind =
            core::mem::replace(&mut self.common.clock_is_behind, now < self.common.now);
        if (was_behind || self.common.clock_is_behind)
            && let Role::Leader(leader) = &mut self.role
        {
            leader.distrust_clock();
        }
        self.common.now = self.common.now.max(now);
        self.common.resume();
    }

    /// The own buffer is empty from here until the next input.
    fn finish(&mut self, output: &mut Output) {
        self.flush();
        self.common.evict();
        if cfg!(debug_assertions) {
            self.common.check_invariants();
        }
        output.append(&mut self.common.out);
    }

    fn take(&mut self, input: Input) {
        let transition = match input {
            Input::Timer => self.on_timer(),
            Input::Message { from, message } => return self.on_message(from, false, message),
            Input::VouchedMessage { from, message } => {
                return self.on_message(from, true, *message);
            }
            Input::Persisted(id) => self.on_persisted(id),
            Input::Applied(through) => {
                self.common.on_applied(through);
                Transition::Stay
            }
            Input::SnapshotTaken {
                through,
                stamp,
                length,
                digest,
                name,
            } => {
                let (state, through) = ((length, digest), (through, stamp));
                self.common.on_snapshot_taken(through, state, name);
                Transition::Stay
            }
            Input::SnapshotAppended { reception, length } => {
                if let Role::Follower(follower) = &mut self.role {
                    follower.on_snapshot_appended(reception, length);
                }
                Transition::Stay
            }
            Input::SnapshotReceived { reception, name } => {
                self.on_snapshot_received(reception, name);
                Transition::Stay
            }
            Input::SnapshotNotStored { reception } => {
                if let Role::Follower(follower) = &mut self.role {
                    follower.on_snapshot_not_stored(reception);
                }
                Transition::Stay
            }
            Input::SnapshotRead { read, data } => {
                if let Role::Leader(leader) = &mut self.role {
                    leader.on_snapshot_read(read, data);
                }
                Transition::Stay
            }
            Input::EntriesRead { read, entries } => {
                self.on_entries_read(&read, entries);
                Transition::Stay
            }
            Input::Bootstrap(configuration) => {
                self.bootstrap(*configuration);
                Transition::Stay
            }
            Input::SetTiming(timing) => {
                self.set_timing(timing);
                Transition::Stay
            }
            Input::PeerUp(id) => {
                if let Role::Leader(leader) = &mut self.role {
                    leader.on_peer_up(id);
                }
                Transition::Stay
            }
            Input::Unsent { to, message } => {
                if let Role::Leader(leader) = &mut self.role {
                    leader.on_unsent(&self.common, to, &message);
                }
                Transition::Stay
            }
            Input::Writable(id) => {
                if let Role::Leader(leader) = &mut self.role {
                    leader.on_writable(id);
                }
                Transition::Stay
            }
            Input::Foreign(server, why) => {
                if let Role::Leader(leader) = &mut self.role {
                    leader.on_foreign(&mut self.common, server, why);
                }
                Transition::Stay
            }
            Input::Ask => {
                if let Role::Leader(leader) = &mut self.role {
                    leader.broadcast = true;
                }
                Transition::Stay
            }
            Input::MarkTime => {
                if let Role::Leader(leader) = &mut self.role {
                    leader.mark_time(&mut self.common);
                }
                Transition::Stay
            }
            Input::Propose(_) | Input::Read(_) | Input::Change(..) | Input::Transfer(_) => {
                self.on_request(input);
                Transition::Stay
            }
        };
        self.make(transition);
    }

    fn on_timer(&mut self) -> Transition {
        match &mut self.role {
            Role::Follower(follower) => follower.on_timer(&mut self.common),
            Role::PreCandidate(campaign) | Role::Candidate(campaign) => {
                campaign.on_timer(&mut self.common)
            }
            Role::Leader(leader) => leader.on_timer(&mut self.common),
        }
    }

    fn on_entries_read(&mut self, read: &EntriesRead, mut entries: Vec<Entry>) {
        let common = &mut self.common;
        if !common.fetches.take(read, &entries, &common.log) {
            // Whom it was for waits for others, and is looked at again.
            entries.clear();
        }
        match (read.whose, &mut self.role) {
            (EntriesReader::Apply, _) => common.hand_out_entries(entries),
            (EntriesReader::Peer(id), Role::Leader(leader)) => leader.on_entries_read(id, entries),
            (EntriesReader::Peer(_), _) => {}
        }
    }

    fn on_snapshot_received(&mut self, reception: Reception, name: Option<SnapshotName>) {
        match (&mut self.role, name) {
            (Role::Follower(follower), _) => {
                follower.on_snapshot_received(&mut self.common, reception, name);
            }
            // The leader that sent it is none any more.
            (_, Some(name)) => self.common.remove_snapshot(name),
            (_, None) => {}
        }
    }

    fn on_persisted(&mut self, id: WriteId) -> Transition {
        let awaited_vote = !self.common.vote_is_durable();
        self.common.on_persisted(id);
        self.compact();
        let vote_is_done = awaited_vote && self.common.vote_is_durable();
        match &mut self.role {
            // More of its own log may be durable: it counts like any other's (§10.2.1).
            Role::Leader(leader) => leader.advance_commit(&mut self.common),
            Role::Candidate(campaign) if self.common.outbox.hard_state_is_durable() => {
                return campaign.on_hard_state_durable(&mut self.common);
            }
            Role::Follower(follower) if vote_is_done => follower.on_vote_durable(&self.common),
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => {}
        }
        Transition::Stay
    }

    /// Cuts the log behind a snapshot that has become durable, as far as nobody needs what is before it.
    fn compact(&mut self) {
        let Some(covered) = self.common.take_compaction() else {
            return;
        };
        match &mut self.role {
            Role::Leader(leader) => {
                leader.drop_outdated_transfers(covered);
                self.common.compact_behind(covered, leader.needed_after());
            }
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => {
                self.common.compact_behind(covered, core::iter::empty());
            }
        }
    }

    /// What clients and operators want.
    fn on_request(&mut self, input: Input) {
        let common = &mut self.common;
        if let Role::Leader(leader) = &mut self.role {
            match input {
                Input::Propose(proposals) => leader.on_propose(common, proposals),
                Input::Read(id) => leader.on_read(common, id),
                Input::Change(id, change) => leader.on_change(common, id, change),
                Input::Transfer(to) => leader.on_transfer(common, to),
                _ => unreachable!("only requests come here"),
            }
            return;
        }
        let leader = match &mut self.role {
            Role::Follower(follower) => {
                if let Input::Read(id) = input {
                    return follower.on_read(common, id);
                }
                follower.leader()
            }
            Role::PreCandidate(_) | Role::Candidate(_) | Role::Leader(_) => None,
        };
        match input {
            Input::Propose(proposals) => {
                let refused = ProposeRefused::NotLeader { leader };
                let refused = proposals
                    .into_iter()
                    .map(|proposal| (proposal.id, Err(refused.clone())));
                common.out.proposals.extend(refused);
            }
            Input::Read(id) => {
                common
                    .out
                    .reads
                    .push((id, Err(ReadRefused::NotLeader { leader })));
            }
            Input::Change(id, _) => {
                common
                    .out
                    .changes
                    .push((id, Err(ChangeError::NotLeader { leader })));
            }
            Input::Transfer(_) => {
                common
                    .out
                    .transfers
                    .push(Err(TransferError::NotLeader { leader }));
            }
            _ => unreachable!("only requests come here"),
        }
    }

    /// The changed times apply at once, to the wait that is under way too.
    fn set_timing(&mut self, timing: Timing) {
        let common = &mut self.common;
        common.config.set_timing(timing);
        match &mut self.role {
            Role::Follower(follower) => follower.retime(common),
            Role::Leader(leader) => leader.retime(common),
            Role::PreCandidate(_) | Role::Candidate(_) => {}
        }
    }

    fn bootstrap(&mut self, configuration: Configuration) {
        let common = &mut self.common;
        // A crash may have left the term and vote of an earlier attempt without its entry, of whichever campaign they
        // were. Such a vote was in the same write as the entry, and has not been given.
        let blank = common.log.last_index() == Index::ZERO;
        if !blank || configuration.voters().is_empty() || configuration.is_joint() {
            return;
        }
        if common.current_term < BOOTSTRAP_TERM {
            common.enter_term(BOOTSTRAP_TERM);
        }
        // The same on every founder, whatever its term by now.
        common.append(Entry {
            index: Index::ZERO.next(),
            term: BOOTSTRAP_TERM,
            stamp: ClusterTime::ZERO,
            payload: Payload::Configuration(Arc::new(configuration)),
        });
        self.role = Role::Follower(Follower::new(common, None, false));
    }

    /// Says and hands out what the inputs have brought about.
    fn flush(&mut self) {
        match &mut self.role {
            Role::Leader(leader) => {
                leader.flush(&mut self.common);
                if leader.removed && !is_planted(Bug::RemovedLeads) {
                    let successor = leader.best_successor(&self.common);
                    self.make(Transition::Resign { successor });
                }
            }
            Role::Follower(follower) => follower.flush(&mut self.common),
            Role::PreCandidate(_) | Role::Candidate(_) => {}
        }
        let common = &mut self.common;
        common.store_commit();
        let hard_state = common.hard_state();
        common
            .outbox
            .flush(hard_state, &common.log, &mut common.out);
        common.hand_out();
        common.remove_replaced_snapshots();
    }
}
