//! What must happen now and then: situations that are easily never reached, and whose bugs are then never seen.
//!
//! A batch of many seeds in which one of them has not occurred proves less than it seems to, and fails.

use std::collections::HashMap;

use liferaft_raft::consensus::{
    EntriesRead, EntriesReader, MembershipChange, MembershipStep, PeerStatus, Raft, ReadId,
    Recovered, ReplicationState,
};
use liferaft_raft::entry::Entry;
use liferaft_raft::message::Body;

use crate::counts::Counts;
use crate::disk::LeftOut;
use crate::invariants::Turn;
use crate::member::Member;
use crate::network::Network;
use crate::operation::{Answer, Change};
use crate::plan::FaultKind;

/// A situation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sometimes {
    /// A leader crashes when it has appended entries that are not committed.
    LeaderCrashedBeforeCommit,
    /// A member crashes when the end of its log is written and not durable.
    CrashedBeforeSync,
    /// A leader crashes while it sends a snapshot.
    SnapshotInterrupted,
    /// A member crashes while a joint configuration is in force.
    CrashedWhileJoint,
    /// A member starts again from a snapshot.
    RestartedFromSnapshot,
    /// Entries are dropped because the leader has others.
    TailOverwritten,
    /// Another server's snapshot takes the place of a log.
    LogReplaced,
    /// A configuration is dropped with its entry: the one before is in force again.
    ConfigurationRolledBack,
    /// A learner becomes a voter while links are cut.
    PromotedDuringPartition,
    /// A joint configuration is left by another leader than the one that entered it.
    JointLeftByAnotherLeader,
    /// A leader that has removed itself steps down.
    RemovedLeaderSteppedDown,
    /// A server begins to lead while another believes that it still does.
    TwoLeaders,
    /// Leadership is handed over while messages are lost.
    TransferUnderLoss,
    /// A read is granted after the leader has changed since it was asked.
    ReadAfterLeaderChange,
    /// A crash leaves a part of a write torn.
    WriteTorn,
    /// A crash leaves a whole record behind a missing one.
    RecordBehindGap,
    /// A member stops because a sync has failed.
    StoppedByFailedSync,
    /// A member stops because its disk is full.
    StoppedByFullDisk,
    /// A disk is wiped.
    DiskWiped,
    /// A member does not start because what its disk holds is damaged.
    DamagedDiskRefused,
    /// A server whose disk is gone is removed from the configuration.
    LostServerReplaced,
    /// Operators set other times while a leader leads.
    TimingChanged,
    /// A membership policy evicts a server.
    EvictedByPolicy,
    /// A membership policy makes a learner a voter.
    PromotedByPolicy,
    /// A membership policy takes several servers in at once.
    JoinedTogether,
    /// A server that was evicted is taken in again, under its own id.
    Rejoined,
    /// A member starts again with stored entries that contradict its snapshot.
    ContradictingTail,
    /// A server starts again while what it has promised its leader binds it.
    RestartedBound,
    /// The clock of a leader that reads by lease goes back.
    ClockBackOnLease,
    /// A leader is parted from the voters that it is about to replace.
    PartedWhileJoint,
    /// A disk has hung for longer than an election timeout, with writes under way.
    DiskHung,
    /// A state machine that stalled goes on with work that was due.
    MachineStalled,
    /// A change adds more servers than a cluster has.
    Crowded,
    /// A command is refused because it is too long.
    TooLong,
    /// A scan reads a revision that is past.
    PastRead,
    /// An append is refused whose counter has the length of the sequence and is of an earlier one.
    StaleCounter,
    /// A sequence loses its first values.
    SequenceTrimmed,
    /// A key is deleted because it has the value that was expected.
    ComparedAndDeleted,
    /// A key and its mirror are deleted by their prefix.
    PrefixDeleted,
    /// A transaction that has changed something is undone.
    TransactionUndone,
    /// A lease is revoked that has a key.
    LeaseRevoked,
    /// A server goes on under its id when its disk was wiped.
    WentOnBlank,
    /// A server hears a stranger.
    StrangerHeard,
    /// A leader reads entries from storage for a peer.
    ReadForPeer,
    /// A member reads entries from storage to apply them.
    ReadToApply,
    /// Entries are read of a log whose place a snapshot has taken meanwhile.
    ReadOfReplacedLog,
    /// What a leader reads for a peer has been compacted away meanwhile.
    ReadOfCompacted,
    /// A link takes no more entries, or parts of a snapshot.
    LinkJammed,
    /// A server comes by an access token.
    TokenUsed,
    /// A cluster moves to a later version of the protocol.
    VersionRaised,
    /// A member moves to another address.
    Moved,
    /// A server hears an impostor.
    ImpostorHeard,
    /// A copy of a server's storage is refused.
    CloneRefused,
    /// A server hears a leader whom it does not know, by the word of those whom it knows.
    VouchedLeaderHeard,
    /// A server refuses one that it does not know and for which nobody whom it knows vouches.
    UnvouchedRefused,
}

impl Sometimes {
    /// All of them.
    pub const ALL: [Self; 55] = [
        Self::LeaderCrashedBeforeCommit,
        Self::CrashedBeforeSync,
        Self::SnapshotInterrupted,
        Self::CrashedWhileJoint,
        Self::RestartedFromSnapshot,
        Self::TailOverwritten,
        Self::LogReplaced,
        Self::ConfigurationRolledBack,
        Self::PromotedDuringPartition,
        Self::JointLeftByAnotherLeader,
        Self::RemovedLeaderSteppedDown,
        Self::TwoLeaders,
        Self::TransferUnderLoss,
        Self::ReadAfterLeaderChange,
        Self::WriteTorn,
        Self::RecordBehindGap,
        Self::StoppedByFailedSync,
        Self::StoppedByFullDisk,
        Self::DiskWiped,
        Self::DamagedDiskRefused,
        Self::LostServerReplaced,
        Self::TimingChanged,
        Self::EvictedByPolicy,
        Self::PromotedByPolicy,
        Self::JoinedTogether,
        Self::Rejoined,
        Self::ContradictingTail,
        Self::RestartedBound,
        Self::ClockBackOnLease,
        Self::PartedWhileJoint,
        Self::DiskHung,
        Self::MachineStalled,
        Self::Crowded,
        Self::TooLong,
        Self::PastRead,
        Self::StaleCounter,
        Self::SequenceTrimmed,
        Self::ComparedAndDeleted,
        Self::PrefixDeleted,
        Self::TransactionUndone,
        Self::LeaseRevoked,
        Self::WentOnBlank,
        Self::StrangerHeard,
        Self::ReadForPeer,
        Self::ReadToApply,
        Self::ReadOfReplacedLog,
        Self::ReadOfCompacted,
        Self::LinkJammed,
        Self::TokenUsed,
        Self::VersionRaised,
        Self::Moved,
        Self::ImpostorHeard,
        Self::CloneRefused,
        Self::VouchedLeaderHeard,
        Self::UnvouchedRefused,
    ];

    /// Whether runs have what brings it about.
    #[must_use]
    pub const fn is_on(self) -> bool {
        match self {
            Self::WentOnBlank => FaultKind::BlankDisk.is_on(),
            Self::StrangerHeard => FaultKind::Stranger.is_on(),
            _ => true,
        }
    }
}

/// Counts what a change came to, as its client has heard.
pub fn note_change(change: Change, answer: Answer, counts: &mut Counts) {
    let situation = match (change, answer) {
        (Change::SeqAppend(expected, _), Answer::Counted(false, count))
            if expected.len() == count.len() =>
        {
            Sometimes::StaleCounter
        }
        (Change::TrimBefore(_), Answer::Trimmed(1.., ..)) => Sometimes::SequenceTrimmed,
        (Change::CompareAndDelete(1..), Answer::Set) => Sometimes::ComparedAndDeleted,
        (Change::DeleteKeys(_), Answer::Removed(2..)) => Sometimes::PrefixDeleted,
        (Change::Undone(_), Answer::Refused) => Sometimes::TransactionUndone,
        _ => return,
    };
    counts.saw(situation);
}

/// Counts what a change of membership does that is made.
pub fn note_membership(change: &MembershipChange, counts: &mut Counts) {
    for step in &change.steps {
        match step {
            MembershipStep::AddVoter(addition) | MembershipStep::AddLearner(addition)
                if addition.token.is_some() =>
            {
                counts.saw(Sometimes::TokenUsed);
            }
            MembershipStep::RaiseVersion(_) => counts.saw(Sometimes::VersionRaised),
            MembershipStep::Describe(..) => counts.saw(Sometimes::Moved),
            _ => {}
        }
    }
}

/// Counts what a member starts again with.
pub fn note_recovered(recovered: &Recovered, counts: &mut Counts) {
    let Some(snapshot) = &recovered.snapshot else {
        return;
    };
    counts.saw(Sometimes::RestartedFromSnapshot);
    let last = snapshot.metadata.last;
    let mut entries = recovered.entries.iter();
    let contradicts = |entry: &Entry| entry.index == last.index && entry.term != last.term;
    if entries.any(contradicts) {
        counts.saw(Sometimes::ContradictingTail);
    }
}

/// Counts what a member's crash interrupts.
pub fn note_crash(member: &Member, counts: &mut Counts) {
    let positions = member.view.positions;
    if positions.persisted < positions.last.index {
        counts.saw(Sometimes::CrashedBeforeSync);
    }
    if member.log.configuration().1.is_some_and(|it| it.is_joint()) {
        counts.saw(Sometimes::CrashedWhileJoint);
    }
    if !member.leads() {
        return;
    }
    if positions.commit < positions.last.index {
        counts.saw(Sometimes::LeaderCrashedBeforeCommit);
    }
    let status = member.raft.as_ref().map(Raft::status);
    let sends_snapshot = |peer: &PeerStatus| peer.state == ReplicationState::Snapshot;
    if status.is_some_and(|status| status.peers.iter().any(sends_snapshot)) {
        counts.saw(Sometimes::SnapshotInterrupted);
    }
}

/// Counts what entries are read for, and what has become of them.
pub fn note_read(member: &Member, read: &EntriesRead, entries: &[Entry], counts: &mut Counts) {
    let is_replaced = member.log.term_at(read.from).is_none();
    counts.saw(match (read.whose, entries.is_empty()) {
        (EntriesReader::Apply, _) if is_replaced => Sometimes::ReadOfReplacedLog,
        (EntriesReader::Apply, _) => Sometimes::ReadToApply,
        (EntriesReader::Peer(_), false) => Sometimes::ReadForPeer,
        (EntriesReader::Peer(_), true) => Sometimes::ReadOfCompacted,
    });
}

/// Counts what a crash left on disk that recovery had to leave out.
pub fn note_left_out(left_out: LeftOut, counts: &mut Counts) {
    if left_out.torn {
        counts.saw(Sometimes::WriteTorn);
    }
    if left_out.behind_gap {
        counts.saw(Sometimes::RecordBehindGap);
    }
}

/// Counts what a turn was about.
pub fn note_turn(turn: &Turn<'_>, network: &Network, counts: &mut Counts) {
    if turn.change.truncated_from.is_some() {
        counts.saw(Sometimes::TailOverwritten);
    }
    if turn.change.replaced {
        counts.saw(Sometimes::LogReplaced);
    }
    note_role(turn, counts);
    note_configuration(turn, network, counts);
}

fn note_role(turn: &Turn<'_>, counts: &mut Counts) {
    let member = &turn.members[turn.member];
    let led = turn.before.leads();
    if member.leads() && !led && turn.members.iter().filter(|other| other.leads()).count() > 1 {
        counts.saw(Sometimes::TwoLeaders);
    }
    let configuration = member.log.configuration().1;
    if led && !member.leads() && configuration.is_some_and(|it| !it.contains(member.id)) {
        counts.saw(Sometimes::RemovedLeaderSteppedDown);
    }
}

fn note_configuration(turn: &Turn<'_>, network: &Network, counts: &mut Counts) {
    let member = &turn.members[turn.member];
    let (index_before, Some(before)) = turn.configuration_before else {
        return;
    };
    let (index, Some(after)) = member.log.configuration() else {
        return;
    };
    if index < index_before {
        counts.saw(Sometimes::ConfigurationRolledBack);
    }
    if index <= index_before || !member.leads() {
        return;
    }
    let promoted = after.voters().iter().any(|voter| before.is_learner(*voter));
    if promoted && network.is_cut() {
        counts.saw(Sometimes::PromotedDuringPartition);
    }
    let entered_in = member.log.term_at(index_before);
    let by_another = entered_in.is_some_and(|term| term < member.view.term);
    if before.is_joint() && !after.is_joint() && by_another {
        counts.saw(Sometimes::JointLeftByAnotherLeader);
    }
}

/// Counts what a message is about.
pub fn note_message(body: &Body, network: &Network, counts: &mut Counts) {
    if matches!(body, Body::TimeoutNow) && network.is_lossy() {
        counts.saw(Sometimes::TransferUnderLoss);
    }
}

/// The reads that were asked, each with the number of terms that had had a leader.
#[derive(Debug, Default)]
pub struct AskedReads(HashMap<ReadId, u64>);

impl AskedReads {
    /// A read is asked.
    pub fn ask(&mut self, id: ReadId, counts: &Counts) {
        self.0.insert(id, counts.elections);
    }

    /// A read is answered.
    pub fn answer(&mut self, id: ReadId, is_granted: bool, counts: &mut Counts) {
        let asked = self.0.remove(&id);
        if is_granted && asked.is_some_and(|elections| elections < counts.elections) {
            counts.saw(Sometimes::ReadAfterLeaderChange);
        }
    }
}
