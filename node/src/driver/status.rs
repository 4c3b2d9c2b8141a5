//! A member's state as others may watch it.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};
use liferaft_platform::{WallTime, sleep_until};
use liferaft_transport::SendError;
use liferaft_transport::links::{LinkError, LinkPath};
use thiserror::Error;
use tokio::sync::watch;

use super::error::{NotJoined, StopReason, WaitError};
use super::joining::Exclusion;
use crate::boots::OldBoot;
use crate::configuration::{Foreign, Suffrage};
use crate::consensus::{Refusal, RoleKind, Status};
use crate::ids::{Index, ServerId, Term};
use crate::message::{Body, Message};
use crate::storage::Repair;
use crate::time::Instant;
use crate::wire::DecodeError;

/// Waits until a status is as wanted, and returns it. `stopped` says why nobody is left to tell of it.
pub(super) async fn wait_until<T: Clone>(
    deadline: Instant,
    mut status: watch::Receiver<T>,
    wanted: impl FnMut(&T) -> bool,
    stopped: impl FnOnce() -> StopReason,
) -> Result<T, WaitError> {
    let waited = pin!(async { status.wait_for(wanted).await.map(|found| found.clone()) });
    let over = pin!(sleep_until(deadline.since_origin()));
    match select(waited, over).await {
        Either::Left((Ok(found), _)) => Ok(found),
        Either::Left((Err(_), _)) => Err(WaitError::Stopped(stopped())),
        Either::Right(((), _)) => Err(WaitError::TimedOut),
    }
}

/// What a member tells of itself. It is brought up to date when its role, term, leader or configuration changes, and at
/// most once each heartbeat otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemberStatus {
    /// What people [call](super::MemberBuilder::label) it.
    pub label: Arc<str>,
    /// Its part in the protocol.
    pub raft: Status,
    /// What it has counted since it started.
    pub counters: Counters,
    /// How much waits in it.
    pub queues: Queues,
    /// How its storage gets on.
    pub storage: StorageStatus,
    /// Its links to servers of the cluster.
    pub links: Arc<[LinkStatus]>,
    /// What was not whole in its storage when that was opened for this start, and was repaired
    /// ([`Storage::repairs`](crate::storage::Storage::repairs)).
    pub repairs: Arc<[Repair]>,
    /// Why it takes no part in the cluster that it asks to join, as it was told last; `None` if it may, for all it
    /// knows.
    pub exclusion: Option<Exclusion>,
    /// What went wrong last, if anything has. It may be long over.
    pub last_error: Option<LastError>,
    /// Why it stops, once it does: it takes no part any more, and every request is answered, or refused, after this
    /// was posted. Its transport and its storage are closed when the [channel](super::Handle::status) is.
    pub stopped: Option<StopReason>,
}

impl MemberStatus {
    /// Whether it leads.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.raft.role == RoleKind::Leader && self.stopped.is_none()
    }

    /// The leader that it knows of.
    #[must_use]
    pub const fn leader(&self) -> Option<ServerId> {
        self.raft.leader
    }

    /// Its term.
    #[must_use]
    pub const fn term(&self) -> Term {
        self.raft.term
    }

    /// Returns what the voice of `server`, which this member is, counts for, if it takes part as it is to: as a voter,
    /// or as a learner where there are the wanted voters without it.
    ///
    /// # Errors
    /// What it waits for before that.
    pub(super) fn joined(
        &self,
        server: ServerId,
        voters_wanted: Option<usize>,
    ) -> Result<Suffrage, NotJoined> {
        let configuration = &self.raft.configuration;
        if self.raft.leader.is_none() || self.stopped.is_some() {
            return Err(NotJoined::NoLeader);
        }
        let member = configuration.member(server);
        let suffrage = member.and_then(|member| member.suffrage);
        let suffrage = suffrage.ok_or(NotJoined::NotNamed)?;
        if configuration.is_joint() || self.raft.configuration_index > self.raft.commit {
            return Err(NotJoined::NotCommitted);
        }
        let is_wanted = suffrage == Suffrage::Voter
            || voters_wanted.is_none_or(|wanted| configuration.voters().len() >= wanted);
        is_wanted.then_some(suffrage).ok_or(NotJoined::Learner)
    }

    /// Up to here its state machine reflects the log.
    #[must_use]
    pub const fn applied(&self) -> Index {
        self.raft.applied
    }
}

/// A link to a server, and where it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkStatus {
    /// The server.
    pub peer: ServerId,
    /// The carrier, and what it said of the path within the last second; or who passes packets on. `None` where the
    /// transport does not tell.
    pub path: Option<LinkPath>,
}

/// What a member has counted since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Frames that arrived.
    pub frames_received: u64,
    /// Frames that the transport took.
    pub frames_sent: u64,
    /// Of the frames received, those with these messages of the protocol.
    pub messages_received: MessageCounts,
    /// Of the frames sent, those with these messages of the protocol.
    pub messages_sent: MessageCounts,
    /// Contents of frames that were encoded: one for all members that are sent the same.
    pub contents_encoded: u64,
    /// Frames that the transport did not take: no link, or a full queue.
    pub frames_not_sent: u64,
    /// Frames that could not be decoded and were dropped.
    pub frames_undecodable: u64,
    /// Frames of another cluster, dropped.
    pub frames_of_another_cluster: u64,
    /// Frames of another history of this cluster, which was founded twice, dropped.
    pub frames_of_another_history: u64,
    /// Frames meant for another server, dropped.
    pub frames_for_another_server: u64,
    /// Requests and answers between members that were refused because of who sent them: see
    /// [`admission`](crate::admission). Refused messages of the protocol are counted in
    /// [`Status::refused`](crate::consensus::Status::refused).
    pub frames_not_admitted: u64,
    /// Commands forwarded by other members that are not commands of this state machine, dropped.
    pub commands_malformed: u64,
    /// Requests of this member's callers, or of other members, that were refused because a queue was full.
    pub requests_refused: u64,
    /// Snapshots taken.
    pub snapshots_taken: u64,
    /// Snapshots of a leader taken over, in place of the log that was missed.
    pub snapshots_installed: u64,
    /// Snapshots that were longer than allowed, or found no room on the disk: the log was not cut, or a snapshot of the
    /// leader was not taken over.
    pub snapshots_refused: u64,
    /// Elections that it stood for, beyond asking whether it would win.
    pub elections: u64,
    /// Times that it learnt of another leader, or of none.
    pub leader_changes: u64,
    /// Times that it found, as the leader, a server that had lost what it had acknowledged.
    pub peers_forgot: u64,
}

/// How many messages of the protocol there were, of the kinds that tell how a cluster gets on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MessageCounts {
    /// Requests for votes and pre-votes.
    pub request_votes: u64,
    /// Entries and heartbeats of leaders.
    pub append_entries: u64,
}

impl MessageCounts {
    pub(super) const fn add(&mut self, message: &Message) {
        match &message.body {
            Body::RequestVote(_) => self.request_votes += 1,
            Body::AppendEntries(_) => self.append_entries += 1,
            Body::RequestVoteReply(_)
            | Body::AppendEntriesReply(_)
            | Body::InstallSnapshot(_)
            | Body::InstallSnapshotReply(_)
            | Body::TimeoutNow
            | Body::ReadIndex(_)
            | Body::ReadIndexReply(_) => {}
        }
    }
}

/// How much waits in a member. Each has a bound, beyond which requests are answered *busy*.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Queues {
    /// Requests of callers that the member has not looked at.
    pub requests: usize,
    /// The most frames that it took in at once since this was last told.
    pub frames: usize,
    /// Commands of its callers that are not done.
    pub commands: usize,
    /// Bytes of commands that its callers wait for.
    pub command_bytes: usize,
    /// Reads that are not confirmed, or whose index is not applied.
    pub reads: usize,
    /// Changes of membership and transfers of leadership that its callers wait for.
    pub operations: usize,
    /// Writes that are not durable.
    pub writes: usize,
    /// Committed entries that the state machine has been given and has not applied.
    pub applying: u64,
}

/// How a member's storage gets on with what it is to make durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StorageStatus {
    /// For how long nothing has become durable although something was to be written, or entries of the log were to be
    /// read and did not come, or a piece of a snapshot was neither written nor read, if that is longer than the member
    /// takes for normal ([`MemberBuilder::storage_stalls_after`](super::MemberBuilder::storage_stalls_after)).
    pub stalled_for: Option<Duration>,
    /// How many bytes of entries are not durable yet. As a leader, a member refuses commands, and as a
    /// follower entries, beyond
    /// [`uncommitted_bytes_max`](crate::config::Limits::uncommitted_bytes_max).
    pub waiting_bytes: u64,
    /// True while there is no room on the disk but a reserve ([`Storage::is_low`](crate::storage::Storage::is_low)), or
    /// none for a snapshot, as of the last write: make room.
    pub is_low: bool,
}

/// What went wrong, and when: `2026-11-28T19:25:45.007Z: a frame to server 0x2 was not sent: …`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LastError {
    /// The time of day when it was noted: up to a heartbeat after it happened.
    pub at: WallTime,
    /// What.
    pub error: MemberError,
}

impl fmt::Display for LastError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.error)
    }
}

/// What goes wrong in a member and does not stop it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MemberError {
    /// The transport did not take a frame.
    #[error("a frame to server {to} was {error}")]
    NotSent {
        /// To whom.
        to: ServerId,
        /// Why.
        error: SendError,
    },
    /// A frame could not be decoded.
    #[error("a frame of server {from} was not understood: {error}")]
    NotUnderstood {
        /// Whose.
        from: ServerId,
        /// Why.
        error: DecodeError,
    },
    /// A snapshot was longer than this member takes one: the log was not cut.
    #[error("a snapshot of {bytes} bytes was refused, {bytes_max} are allowed")]
    SnapshotTooLarge {
        /// Its length.
        bytes: u64,
        /// The longest allowed.
        bytes_max: u64,
    },
    /// The disk had no room for a snapshot, of this member's state or of its leader's: the log is not cut, or the
    /// member stays behind. It is tried again after more log, or when the leader sends it again.
    #[error("the disk has no room for a snapshot; make room on it")]
    SnapshotWithoutRoom,
    /// No link to a server came about. It is tried again.
    #[error("no link to server {peer}: {error}")]
    NotLinked {
        /// The server.
        peer: ServerId,
        /// Why.
        error: LinkError,
    },
    /// A link to a server was closed: it is a copy of the server, or was set back.
    #[error("the link was closed: {0}")]
    OldBoot(OldBoot),
    /// A server that this one spoke to belongs elsewhere.
    #[error("server {server} belongs to {why}")]
    Foreign {
        /// The server.
        server: ServerId,
        /// To what.
        why: Foreign,
    },
    /// A message was refused.
    #[error("a message of server {from} was refused: {reason:?}")]
    Refused {
        /// Whose.
        from: ServerId,
        /// Why.
        reason: Refusal,
    },
    /// The storage stalled: nothing became durable, or was read, for so long. Either it goes on, or its disk has to be
    /// looked after.
    #[error("the storage neither wrote nor read for {after:?}, {waiting_bytes} bytes wait")]
    StorageStalled {
        /// For how long.
        after: Duration,
        /// How many bytes waited then.
        waiting_bytes: u64,
    },
    /// A server has lost some of what it had acknowledged to this member, which leads: its storage was wiped or set
    /// back. It counts towards no quorum, and has to come back under another id.
    #[error(
        "server {peer} acknowledged the log up to {acknowledged} and has it up to {last}: its storage forgot"
    )]
    PeerForgot {
        /// The server.
        peer: ServerId,
        /// Up to here it had acknowledged the log.
        acknowledged: Index,
        /// Here its log ends.
        last: Index,
    },
}

/// A member's status as it is now.
#[derive(Debug)]
pub(super) struct Fresh {
    pub(super) raft: Status,
    pub(super) counters: Counters,
    pub(super) queues: Queues,
    pub(super) storage: StorageStatus,
    pub(super) links: Arc<[LinkStatus]>,
    pub(super) exclusion: Option<Exclusion>,
    pub(super) last_error: Option<LastError>,
}

/// Where the status is posted.
#[derive(Debug)]
pub(super) struct StatusBoard {
    sender: watch::Sender<MemberStatus>,
    next_at: Instant,
}

impl StatusBoard {
    pub(super) fn new(
        label: Arc<str>,
        raft: Status,
        repairs: Arc<[Repair]>,
    ) -> (Self, watch::Receiver<MemberStatus>) {
        let status = MemberStatus {
            label,
            raft,
            counters: Counters::default(),
            queues: Queues::default(),
            storage: StorageStatus::default(),
            links: Arc::default(),
            repairs,
            exclusion: None,
            last_error: None,
            stopped: None,
        };
        let (sender, receiver) = watch::channel(status);
        (
            Self {
                sender,
                next_at: Instant::ORIGIN,
            },
            receiver,
        )
    }

    /// When it is time to post what has changed.
    pub(super) const fn next_at(&self) -> Instant {
        self.next_at
    }

    /// Whether it is time to post although nothing urgent has changed.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        now >= self.next_at
    }

    /// Posts what has changed. Watchers are not woken for the same status again.
    pub(super) fn post(&mut self, fresh: Fresh, now: Instant, interval: Duration) {
        self.next_at = now + interval;
        self.sender.send_if_modified(|status| {
            let Fresh {
                raft,
                counters,
                queues,
                storage,
                links,
                exclusion,
                last_error,
            } = fresh;
            let changed = status.raft != raft
                || status.counters != counters
                || status.queues != queues
                || status.storage != storage
                || status.links != links
                || status.exclusion != exclusion
                || status.last_error != last_error;
            status.raft = raft;
            status.counters = counters;
            status.queues = queues;
            status.storage = storage;
            status.links = links;
            status.exclusion = exclusion;
            status.last_error = last_error;
            changed
        });
    }

    /// Posts why the member stops.
    pub(super) fn stopping(&self, reason: StopReason) {
        self.sender
            .send_modify(|status| status.stopped = Some(reason));
    }

    /// Returns what posts that the member has ended, should it never [say why](Self::stopping).
    pub(super) fn last_word(&self) -> LastWord {
        LastWord(self.sender.clone())
    }
}

/// Tells, when it is dropped, those who watch a member that has not said why it stops: a runtime that ends may drop the
/// driver between two of its steps.
#[derive(Debug)]
pub(super) struct LastWord(watch::Sender<MemberStatus>);

impl Drop for LastWord {
    fn drop(&mut self) {
        self.0.send_if_modified(|status| {
            let is_news = status.stopped.is_none();
            status.stopped.get_or_insert(StopReason::RuntimeEnded);
            is_news
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::consensus::Raft;

    fn board() -> (StatusBoard, watch::Receiver<MemberStatus>) {
        let (config, recovered) = (Config::default(), Default::default());
        let raft = Raft::new(ServerId(1), config, recovered, Instant::ORIGIN, 1);
        StatusBoard::new(
            "ada".into(),
            raft.expect("a blank server starts").status(),
            [].into(),
        )
    }

    #[test]
    fn whoever_watches_a_member_that_goes_with_its_runtime_is_told() {
        let (board, watched) = board();

        drop(board.last_word());

        assert_eq!(watched.borrow().stopped, Some(StopReason::RuntimeEnded));
    }

    #[test]
    fn the_reason_for_which_a_member_stops_stays() {
        let (board, watched) = board();

        board.stopping(StopReason::Shutdown);
        drop(board.last_word());

        assert_eq!(watched.borrow().stopped, Some(StopReason::Shutdown));
    }
}
