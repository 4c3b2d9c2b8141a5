//! Every public error, one of each variant, with its text.
//!
//! It needs nothing but the facade.

use std::io;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use liferaft::boots::OldBoot;
use liferaft::codec::CodecError;
use liferaft::config::DRIFT_BOUND_PPM_MAX;
use liferaft::configuration::{Foreign, InvalidScope, PublicKey, TokenFault, TokenKey};
use liferaft::consensus::{
    ChangeError, InvalidChange, ProposeRefused, ReadRefused, RecoveryError, Refusal, TransferError,
};
use liferaft::driver::{
    BootstrapFault, Busy, ClientRefused, Exclusion, FlushError, LeaveError, MachineFault,
    MemberError, NotJoined, OnlyVoter, OpenOutboxError, OutboxCause, PushError, ShutdownError,
    Tried, Unreached, UnreachedCause, WaitError,
};
use liferaft::ids::{Index, Term};
use liferaft::kv::{
    Kind, KvOutboxError, KvPushError, LeaseId, ParseCountError, Refused, Revision, WatchError,
};
use liferaft::platform::{AddressError, LabelError, ParseKeyError, Versions};
use liferaft::sessions::{EnvelopeError, JoinError, SessionsError, SnapshotError};
use liferaft::storage::StorageError;
use liferaft::transport::SendError;
use liferaft::transport::access::Refusal as LinkRefusal;
use liferaft::transport::carrier::OpenFailure;
use liferaft::transport::conformance::{Promise, Violation, Violations};
use liferaft::transport::links::LinkError;
use liferaft::transport::memory::Probability;
use liferaft::wire::DecodeError;
use liferaft::{
    ClusterId, ConfigError, FoundError, KvError, MembershipError, Missed, OutboxError,
    ParseIdError, ProposeError, ReadError, RestoreError, ServerId, StartError, StopReason,
    TransferLeadershipError, UnknownCause,
};

use crate::link_table;
use crate::row::Row;

const ADA: ServerId = ServerId(0x1f);

const TOKEN: TokenKey = TokenKey(PublicKey([7; 32]));
const BUSY: Busy = Busy {
    max: 64,
    what: "reads",
};

const ONLY_VOTER: OnlyVoter = OnlyVoter {
    commit: Index(7),
    others: 2,
};

/// Two addresses, of which one has not answered.
fn unreached() -> Unreached {
    let tried = |address: &str, error| Tried {
        address: address.parse().expect("it is an address"),
        error,
        was_dialed: true,
    };
    let refused = OpenFailure::ConnectionRefused.into();
    Unreached {
        cause: UnreachedCause::NoAnswer,
        is_lasting: false,
        tried: vec![tried("ws://a:1", Some(refused)), tried("ws://b:1", None)],
    }
}

/// All rows, of all crates.
pub(crate) fn table() -> Vec<Row> {
    let parts = [
        requests(),
        administration(),
        outboxes(),
        key_value(),
        protocol(),
        causes_of_requests(),
        causes_of_refusals(),
        causes_of_stops(),
        stored(),
        frames(),
        values(),
        crate::invitation_table::table(),
        link_table::table(),
        crate::webrtc_table::table(),
        crate::websocket_table::table(),
    ];
    parts.into_iter().flatten().collect()
}

fn requests() -> Vec<Row> {
    outcomes! {
        "ProposeError::Busy": ProposeError::Busy(BUSY) => "not done: 64 reads wait already, and no more may";
        "ProposeError::NoRoom": ProposeError::NoRoom
            => "not done: the disk of the leader is full but for a reserve; make room on it";
        "ProposeError::TooLarge": ProposeError::TooLarge { bytes: 9, bytes_max: 8 }
            => "not done: the command has 9 bytes, 8 are allowed";
        "ProposeError::Unserialisable": ProposeError::Unserialisable("why".into())
            => "not done: the command cannot be serialised and read back: why";
        "ProposeError::TimedOut": ProposeError::TimedOut => "not done: no leader could be asked before the deadline";
        "ProposeError::Excluded": ProposeError::Excluded(Exclusion::Removed)
            => "not done: an operator removed this server from its cluster: one has to add it, or it comes as a new server";
        "ProposeError::Refused": ProposeError::Refused(ClientRefused::ReadOnly)
            => "not done: the client may only read";
        "ProposeError::Unreached": ProposeError::Unreached(Arc::new(unreached()))
            => "not done: no member of the cluster answers; tried ws://a:1: the connection is refused, ws://b:1: no \
                answer yet";
        "ProposeError::Stopped": ProposeError::Stopped => "not done: the member has stopped";
        "ProposeError::ReplyUnreadable": ProposeError::ReplyUnreadable => "done: its reply cannot be read";
        "ProposeError::Unknown": ProposeError::Unknown(UnknownCause::NoReply)
            => "unknown: the command was sent, and no reply came before the deadline";
        "ReadError::Busy": ReadError::Busy(BUSY) => "not done: 64 reads wait already, and no more may";
        "ReadError::TimedOut": ReadError::TimedOut => "not done: no leader confirmed the read before the deadline";
        "ReadError::Panicked": ReadError::Panicked => "not done: the state machine panicked over the query";
        "ReadError::Excluded": ReadError::Excluded(Exclusion::Removed)
            => "not done: an operator removed this server from its cluster: one has to add it, or it comes as a new server";
        "ReadError::Refused": ReadError::Refused(ClientRefused::NotServed)
            => "not done: the leader serves no clients";
        "ReadError::Unreached": ReadError::Unreached(Arc::new(unreached()))
            => "not done: no member of the cluster answers; tried ws://a:1: the connection is refused, ws://b:1: no \
                answer yet";
        "ReadError::TooLarge": ReadError::TooLarge { bytes: 9, bytes_max: 8 }
            => "not done: the query or its answer has 9 bytes, 8 are allowed";
        "ReadError::Unserialisable": ReadError::Unserialisable
            => "not done: the query or its answer cannot be serialised and read back";
        "ReadError::Stopped": ReadError::Stopped => "not done: the member has stopped";
        "WaitError::TimedOut": WaitError::TimedOut => "not met: the deadline passed";
        "WaitError::Excluded": WaitError::Excluded(Exclusion::Removed)
            => "not met: an operator removed this server from its cluster: one has to add it, or it comes as a new server";
        "WaitError::NotJoined": WaitError::NotJoined(NotJoined::NoLeader)
            => "not met: the deadline passed before it had joined: it knows no leader";
        "WaitError::Stopped": WaitError::Stopped(StopReason::Shutdown)
            => "not met: the member has stopped: it was shut down";
    }
}

fn administration() -> Vec<Row> {
    let leader = Some(ADA);
    outcomes! {
        "MembershipError::NotLeader": MembershipError::NotLeader { leader }
            => "not done: no leader took up the change before the deadline; the leader is server 0x1f";
        "MembershipError::Pending": MembershipError::Pending => "not done: another membership change is pending";
        "MembershipError::AlreadyMember": MembershipError::AlreadyMember(ADA)
            => "not done: server 0x1f is that already";
        "MembershipError::NotMember": MembershipError::NotMember(ADA) => "not done: server 0x1f is not a member";
        "MembershipError::Forgot": MembershipError::Forgot(ADA)
            => "not done: the storage of server 0x1f has lost what it acknowledged";
        "MembershipError::Invalid": MembershipError::Invalid(InvalidChange::NoSteps)
            => "not done: the change cannot be made: it has no steps";
        "MembershipError::TooLarge": MembershipError::TooLarge { bytes: 9, bytes_max: 8 }
            => "not done: the change takes 9 bytes, 8 are allowed";
        "MembershipError::Unreachable": MembershipError::Unreachable(ADA)
            => "not done: server 0x1f does not answer";
        "MembershipError::Token": MembershipError::Token(TOKEN, TokenFault::Unknown)
            => "not done: token 0x0707070707070707070707070707070707070707070707070707070707070707 is not known";
        "MembershipError::TooSlow": MembershipError::TooSlow(ADA)
            => "not done: server 0x1f is too slow to catch up";
        "MembershipError::WrongCluster": MembershipError::WrongCluster(ADA)
            => "not done: server 0x1f belongs to another cluster";
        "MembershipError::AnotherHistory": MembershipError::AnotherHistory(ADA)
            => "not done: server 0x1f belongs to another history of this cluster, which was founded twice";
        "MembershipError::Refused": MembershipError::Refused(ClientRefused::NotOperator)
            => "not done: the client may not operate the cluster";
        "MembershipError::Unreached": MembershipError::Unreached(Arc::new(unreached()))
            => "not done: no member of the cluster answers; tried ws://a:1: the connection is refused, ws://b:1: no \
                answer yet";
        "MembershipError::Excluded": MembershipError::Excluded(Exclusion::Removed)
            => "not done: an operator removed this server from its cluster: one has to add it, or it comes as a new server";
        "MembershipError::Busy": MembershipError::Busy(BUSY) => "not done: 64 reads wait already, and no more may";
        "MembershipError::Stopped": MembershipError::Stopped => "not done: the member has stopped";
        "MembershipError::Unknown": MembershipError::Unknown { leader }
            => "unknown: the change may be made already, later, or never; the leader is server 0x1f";
        "TransferLeadershipError::Transfer": TransferLeadershipError::Transfer(TransferError::NoTakeover(ADA))
            => "unknown: server 0x1f did not take over within an election timeout, and may still";
        "TransferLeadershipError::Refused": TransferLeadershipError::Refused(ClientRefused::NotOperator)
            => "not done: the client may not operate the cluster";
        "TransferLeadershipError::Unreached": TransferLeadershipError::Unreached(Arc::new(unreached()))
            => "not done: no member of the cluster answers; tried ws://a:1: the connection is refused, ws://b:1: no \
                answer yet";
        "TransferLeadershipError::Excluded": TransferLeadershipError::Excluded(Exclusion::Removed)
            => "not done: an operator removed this server from its cluster: one has to add it, or it comes as a new server";
        "TransferLeadershipError::Busy": TransferLeadershipError::Busy(BUSY)
            => "not done: 64 reads wait already, and no more may";
        "TransferLeadershipError::Stopped": TransferLeadershipError::Stopped => "not done: the member has stopped";
        "TransferLeadershipError::Unknown": TransferLeadershipError::Unknown { leader: None }
            => "unknown: a leader was asked, and did not answer before the deadline";
        "ShutdownError::OnlyVoter": ShutdownError::OnlyVoter(ONLY_VOTER)
            => "not stopped: it is the only voter: without it the state up to index 7 is lost, unless its storage \
                keeps it, and 2 other members stand still";
        "LeaveError::OnlyVoter": LeaveError::OnlyVoter(ONLY_VOTER)
            => "not left: it is the only voter: without it the state up to index 7 is lost, unless its storage keeps \
                it, and 2 other members stand still";
        "LeaveError::Change": LeaveError::Change(MembershipError::Unknown { leader })
            => "unknown: the change may be made already, later, or never; the leader is server 0x1f";
        "StartError::ClockStopsInSuspension": StartError::ClockStopsInSuspension
            => "not started: reads by lease need a clock that counts suspended time, and there is none here";
        "StartError::NothingProven": StartError::NothingProven
            => "not started: the transport proves to no member who this client is";
        "StartError::Storage": StartError::Storage(damaged())
            => "not started: the stored log is damaged: why; `liferaft rebuild` sets the store aside, so that the member \
                can join as a new server";
        "StartError::Recovery": StartError::Recovery(RecoveryError::Gap { after: Index(1), found: Index(3) })
            => "not started: cannot go on from what is stored: the stored log goes from index 1 to 3";
        "StartError::Restore": StartError::Restore(RestoreError::new("why"))
            => "not started: cannot restore the stored snapshot: not a snapshot of this state machine: why";
        "StartError::FramesTooShort": StartError::FramesTooShort { frame_bytes_max: 8, bytes: 9 }
            => "not started: the transport carries frames of 8 bytes, 9 may be needed";
        "StartError::NoCluster": StartError::NoCluster
            => "not started: the storage belongs to no cluster: name the one to join, also if the storage was lost; \
                only the first server of a new cluster founds, once: to found again makes a second cluster, an empty one";
        "StartError::OpenToAll": StartError::OpenToAll
            => "not started: the transport reaches other machines, and whoever reaches this one would be let in: found \
                a closed cluster on blank storage, and join it by an invitation";
        "StartError::OpenToMachine": StartError::OpenToMachine
            => "not started: every process of this machine would be let in: found a closed cluster, and join it by an \
                invitation, or allow it to be `open`";
        "StartError::WrongServer": StartError::WrongServer { transport: ADA, storage: ServerId(0x2e) }
            => "not started: the transport is that of server 0x1f, and the storage that of server 0x2e";
        "FoundError::Belongs": FoundError::Belongs(ClusterId(0xc1))
            => "not founded: the storage belongs to cluster 0xc1 already: start the member";
        "FoundError::NotEmpty": FoundError::NotEmpty => "not founded: the storage is not empty";
        "FoundError::Bootstrap": FoundError::Bootstrap(BootstrapFault::Joint)
            => "not founded: no cluster begins with this configuration: it is joint";
        "FoundError::Unknown": FoundError::Unknown(damaged())
            => "unknown: whether it is founded shows when the storage is opened again: the stored log is damaged: why; \
                `liferaft rebuild` sets the store aside, so that the member can join as a new server";
    }
}

fn outboxes() -> Vec<Row> {
    outcomes! {
        "PushError::Full": PushError::Full { pending: 2, commands_max: 2, bytes: 7, bytes_max: 9 }
            => "not done: the outbox is full: 2 commands of 2 and 7 bytes of 9 are pending";
        "PushError::TooLarge": PushError::TooLarge { bytes: 9, bytes_max: 8 }
            => "not done: the command has 9 bytes, 8 are allowed";
        "PushError::Unserialisable": PushError::Unserialisable("why".into())
            => "not done: the command cannot be serialised and read back: why";
        "PushError::Closed": PushError::Closed(OutboxCause::Closed)
            => "not done: the outbox is closed: the outbox was closed";
        "OutboxError::NotDone": OutboxError::NotDone(OutboxCause::MemberStopped)
            => "not done: the member has stopped";
        "OutboxError::ReplyUnreadable": OutboxError::ReplyUnreadable => "done: its reply cannot be read";
        "OutboxError::Unknown": OutboxError::Unknown(OutboxCause::SessionExpired)
            => "unknown: the session that it was sent under has expired";
        "OutboxError::Interrupted": OutboxError::Interrupted(OutboxCause::Closed)
            => "pending: the command waits in the store for the next outbox: the outbox was closed";
        "OpenOutboxError::Store": OpenOutboxError::Store(StorageError::InUse { folder: "here".into() })
            => "not opened: cannot read what is stored: here is in use already, by this process or another";
        "OpenOutboxError::Undecodable": OpenOutboxError::Undecodable {
            number: 3,
            reason: CodecError::Left { type_name: "Seed", bytes: 9 },
        } => "not opened: stored command 3 cannot be decoded: 9 bytes follow a `Seed`";
        "OpenOutboxError::TooMany": OpenOutboxError::TooMany(64)
            => "not opened: the member has 64 outboxes, no more are allowed";
        "OpenOutboxError::Stopped": OpenOutboxError::Stopped => "not opened: the member has stopped";
        "FlushError::Halted": FlushError::Halted
            => "unknown: the outbox has halted: some commands before the flush were given up";
        "FlushError::OutboxClosed": FlushError::OutboxClosed(OutboxCause::MemberStopped)
            => "unknown: the outbox is closed, each ticket tells what became of its command: the member has stopped";
    }
}

fn key_value() -> Vec<Row> {
    outcomes! {
        "KvError::Refused": KvError::Refused(Refused::KeyEmpty)
            => "not done: the key is empty, 1 to 1024 bytes are allowed";
        "KvError::Propose": KvError::Propose(ProposeError::Unknown(UnknownCause::MemberStopped))
            => "unknown: the command was sent, and the member stopped";
        "KvError::Read": KvError::Read(ReadError::Stopped) => "not done: the member has stopped";
        "KvError::Mismatch": KvError::Mismatch { asked: "set", got: "txn" }
            => "unknown: a reply to txn came in reply to set";
        "KvPushError::Refused": KvPushError::Refused(Refused::KeyEmpty)
            => "not done: the key is empty, 1 to 1024 bytes are allowed";
        "KvPushError::Push": KvPushError::Push(PushError::Closed(OutboxCause::Closed))
            => "not done: the outbox is closed: the outbox was closed";
        "KvOutboxError::Refused": KvOutboxError::Refused(Refused::KeyEmpty)
            => "not done: the key is empty, 1 to 1024 bytes are allowed";
        "KvOutboxError::Outbox": KvOutboxError::Outbox(OutboxError::Unknown(OutboxCause::MemberStopped))
            => "unknown: the member has stopped";
        "KvOutboxError::Mismatch": KvOutboxError::Mismatch { asked: "set" }
            => "unknown: a reply to another operation came in reply to set";
        "WatchError": WatchError {
            cause: KvError::Refused(Refused::Compacted { through: Revision(7) }),
            resume_from: None,
        } => "ended: the changes up to revision 7 are compacted";
    }
}

fn protocol() -> Vec<Row> {
    let leader = Some(ADA);
    outcomes! {
        "ProposeRefused::NotLeader": ProposeRefused::NotLeader { leader }
            => "not done: this server does not lead; the leader is server 0x1f";
        "ProposeRefused::Busy": ProposeRefused::Busy { pending_bytes: 9, pending_bytes_max: 8 }
            => "not done: 9 bytes are uncommitted or unwritten already, 8 may be";
        "ProposeRefused::TooLarge": ProposeRefused::TooLarge { bytes: 9, bytes_max: 8 }
            => "not done: the command has 9 bytes, 8 are allowed";
        "ProposeRefused::Transferring": ProposeRefused::Transferring { to: ADA }
            => "not done: leadership is being handed to server 0x1f";
        "ReadRefused::NotLeader": ReadRefused::NotLeader { leader }
            => "not done: no leader confirmed the read; the leader is server 0x1f";
        "ReadRefused::Busy": ReadRefused::Busy { waiting: 2 } => "not done: 2 reads wait already, and no more may";
        "ChangeError::NotLeader": ChangeError::NotLeader { leader: None } => "not done: this server does not lead";
        "ChangeError::Pending": ChangeError::Pending => "not done: another membership change is pending";
        "ChangeError::AlreadyMember": ChangeError::AlreadyMember(ADA) => "not done: server 0x1f is that already";
        "ChangeError::NotMember": ChangeError::NotMember(ADA) => "not done: server 0x1f is not a member";
        "ChangeError::AskerNotMember": ChangeError::AskerNotMember => "not done: only members may ask for it";
        "ChangeError::NotLinked": ChangeError::NotLinked(ADA) => "not done: there is no link to server 0x1f yet";
        "ChangeError::Invalid": ChangeError::Invalid(InvalidChange::NoVoters)
            => "not done: the change cannot be made: no voter would remain";
        "ChangeError::Token": ChangeError::Token(TOKEN, TokenFault::Expired)
            => "not done: token 0x0707070707070707070707070707070707070707070707070707070707070707 has expired";
        "ChangeError::Unreachable": ChangeError::Unreachable(ADA) => "not done: server 0x1f does not answer";
        "ChangeError::TooSlow": ChangeError::TooSlow(ADA) => "not done: server 0x1f is too slow to catch up";
        "ChangeError::Foreign": ChangeError::Foreign(ADA, Foreign::Cluster)
            => "not done: server 0x1f belongs to another cluster";
        "ChangeError::Unknown": ChangeError::Unknown { leader }
            => "unknown: leadership was lost, and the change may still be made; the leader is server 0x1f";
        "TransferError::NotLeader": TransferError::NotLeader { leader: None } => "not done: this server does not lead";
        "TransferError::NotVoter": TransferError::NotVoter(ADA) => "not done: server 0x1f is not a voter";
        "TransferError::NoCandidate": TransferError::NoCandidate => "not done: there is no other voter";
        "TransferError::Pending": TransferError::Pending { to: ADA }
            => "not done: leadership is being handed to server 0x1f already";
        "TransferError::AskerNotMember": TransferError::AskerNotMember => "not done: only members may ask for it";
        "TransferError::Busy": TransferError::Busy
            => "not done: 1 leadership transfer of this member or 64 of others wait already, and no more may";
        "TransferError::NoTakeover": TransferError::NoTakeover(ADA)
            => "unknown: server 0x1f did not take over within an election timeout, and may still";
    }
}

fn causes_of_requests() -> Vec<Row> {
    causes! {
        "NotJoined::NoLeader": NotJoined::NoLeader => "it knows no leader";
        "NotJoined::NotNamed": NotJoined::NotNamed => "no leader has taken it in, as far as it knows";
        "NotJoined::NotCommitted": NotJoined::NotCommitted
            => "the change that takes it in is not committed, as far as it knows";
        "NotJoined::Learner": NotJoined::Learner
            => "it is a learner until its log has caught up and all voters answer: one that is silent holds it up \
                until that is evicted";
        "Busy": BUSY => "64 reads wait already, and no more may";
        "ClientRefused::ReadOnly": ClientRefused::ReadOnly => "the client may only read";
        "ClientRefused::NotOperator": ClientRefused::NotOperator => "the client may not operate the cluster";
        "ClientRefused::NotServed": ClientRefused::NotServed => "the leader serves no clients";
        "ClientRefused::NotUnderstood": ClientRefused::NotUnderstood
            => "the leader does not understand it: its state machine is another, or of another version";
        "ClientRefused::TokenOver": ClientRefused::TokenOver
            => "the client's invitation has expired, or was revoked";
        "ClientRefused::OutOfScope": ClientRefused::OutOfScope => "the client's invitation is for other keys";
        "InvalidScope::NoPrefix": InvalidScope::NoPrefix => "there is no prefix";
        "InvalidScope::TooManyPrefixes": InvalidScope::TooManyPrefixes => "there are more than 4 prefixes";
        "InvalidScope::PrefixLength": InvalidScope::PrefixLength { bytes: 65 }
            => "a prefix has 65 bytes: it takes 1 to 64";
        "InvalidScope::NotForClients": InvalidScope::NotForClients
            => "only an invitation to read or to write is limited to keys";
        "Unreached": unreached()
            => "no member of the cluster answers; tried ws://a:1: the connection is refused, ws://b:1: no answer yet";
        "UnreachedCause::NoAnswer": UnreachedCause::NoAnswer => "no member of the cluster answers";
        "UnreachedCause::NoLeader": UnreachedCause::NoLeader { members: 2, leaderless_for: Duration::from_secs(8) }
            => "of the members 2 answer, and no leader is known since 8 s: a majority of the voters must be there";
        "UnreachedCause::LeaderNotReached": UnreachedCause::LeaderNotReached { leader: ADA }
            => "server 0x1f leads, and is not reached";
        "UnreachedCause::OtherCluster": UnreachedCause::OtherCluster
            => "the members there belong to another cluster";
        "UnreachedCause::NoCommonVersion": UnreachedCause::NoCommonVersion
            => "the members speak no version of the protocol that this client speaks: update the older side";
        "UnreachedCause::Refused": UnreachedCause::Refused(LinkRefusal::TokenExpired)
            => "no member gives the client a link: the invitation has expired";
        "UnknownCause::Unreached": UnknownCause::Unreached(Arc::new(unreached()))
            => "the command was sent, and no reply came: no member of the cluster answers; tried ws://a:1: the \
                connection is refused, ws://b:1: no answer yet";
        "UnknownCause::NoReply": UnknownCause::NoReply
            => "the command was sent, and no reply came before the deadline";
        "UnknownCause::SessionExpired": UnknownCause::SessionExpired
            => "the session of the command ended while this member did not hear of it";
        "UnknownCause::MemberStopped": UnknownCause::MemberStopped => "the command was sent, and the member stopped";
        "OutboxCause::SessionExpired": OutboxCause::SessionExpired
            => "the session that it was sent under has expired";
        "OutboxCause::Closed": OutboxCause::Closed => "the outbox was closed";
        "OutboxCause::MemberStopped": OutboxCause::MemberStopped => "the member has stopped";
        "OutboxCause::Store": OutboxCause::Store("why".into()) => "the store of the outbox failed: why";
        "InvalidChange::NoSteps": InvalidChange::NoSteps => "it has no steps";
        "InvalidChange::NoVoters": InvalidChange::NoVoters => "no voter would remain";
        "InvalidChange::NamedTwice": InvalidChange::NamedTwice(ADA) => "server 0x1f is named twice";
        "InvalidChange::TooLarge": InvalidChange::TooLarge { bytes: 9, bytes_max: 8 }
            => "it takes 9 bytes, 8 are allowed";
        "InvalidChange::WrongKey": InvalidChange::WrongKey(ADA)
            => "the key that it gives server 0x1f is another server's";
        "InvalidChange::IssuedBefore": InvalidChange::IssuedBefore(TOKEN)
            => "token 0x0707070707070707070707070707070707070707070707070707070707070707 was issued already";
        "InvalidChange::TooManyTokens": InvalidChange::TooManyTokens
            => "there are 64 tokens, and all of them are good";
        "InvalidChange::VersionNotRaised": InvalidChange::VersionNotRaised(2)
            => "the cluster speaks version 2 of the protocol already, or a later one";
        "InvalidChange::VersionNotSpoken": InvalidChange::VersionNotSpoken { server: ADA, version: 2 }
            => "server 0x1f does not speak version 2 of the protocol";
        "InvalidChange::TooManyServers": InvalidChange::TooManyServers => "there would be more than 4096 servers";
        "InvalidChange::Forgot": InvalidChange::Forgot(ADA)
            => "the storage of server 0x1f has lost what it acknowledged";
        "BootstrapFault::NoVoters": BootstrapFault::NoVoters => "it has no voters";
        "BootstrapFault::Joint": BootstrapFault::Joint => "it is joint";
        "BootstrapFault::TooLarge": BootstrapFault::TooLarge { bytes: 9, bytes_max: 8 }
            => "it takes 9 bytes, and allows entries of 8 bytes";
        "BootstrapFault::WrongKey": BootstrapFault::WrongKey(ADA)
            => "the key that it gives server 0x1f is another server's";
        "BootstrapFault::VersionNotSpoken": BootstrapFault::VersionNotSpoken { server: ADA, version: 2 }
            => "server 0x1f does not speak version 2 of the protocol";
        "BootstrapFault::TooManyServers": BootstrapFault::TooManyServers => "it names more than 4096 servers";
        "BootstrapFault::NotAMember": BootstrapFault::NotAMember(ADA) => "server 0x1f does not take part in it";
        "OnlyVoter": ONLY_VOTER
            => "it is the only voter: without it the state up to index 7 is lost, unless its storage keeps it, \
                and 2 other members stand still";
        "Exclusion::WrongCluster": Exclusion::WrongCluster { server: ADA }
            => "server 0x1f, which was asked, belongs to another cluster";
        "Exclusion::AnotherHistory": Exclusion::AnotherHistory { server: ADA }
            => "server 0x1f, which was asked, belongs to another history of this cluster, which was founded twice";
        "Exclusion::Removed": Exclusion::Removed => "an operator removed this server from its cluster: one has to add it, or it comes as a new server";
        "Exclusion::Manual": Exclusion::Manual { leader: ADA }
            => "an operator must add this server: leader 0x1f takes nobody in by itself";
        "Exclusion::NotInvited": Exclusion::NotInvited
            => "this server needs an invitation: its cluster is closed";
        "Exclusion::OtherVersion": Exclusion::OtherVersion
            => "the cluster speaks a version of the protocol that this server does not";
        "Exclusion::Forgotten": Exclusion::Forgotten
            => "the cluster has forgotten this server: it needs a new invitation";
        "Exclusion::NoPeer": Exclusion::NoPeer
            => "no server that this one knows can be reached: if they have left or moved, it needs an invitation by one of them";
        "Exclusion::OldBoot": Exclusion::OldBoot
            => "the storage of this server is a copy, or was set back: a later or another start of it was seen";
        "Exclusion::NoCommonVersion": Exclusion::NoCommonVersion { versions: Versions { min: 2, max: 4 } }
            => "this server speaks no protocol version that the other end speaks, which is 2 to 4";
        "Exclusion::Token": Exclusion::Token(TokenFault::UsedUp)
            => "this server needs another invitation: the token of its own is used up";
        "Missed": Missed { count: 3 } => "3 events were missed";
    }
}

fn causes_of_refusals() -> Vec<Row> {
    let key = || "tents".into();
    causes! {
        "Refused::WrongKind": Refused::WrongKind { key: key(), is: Kind::Sequence }
            => "the key \"tents\" holds a sequence";
        "Refused::KeyEmpty": Refused::KeyEmpty => "the key is empty, 1 to 1024 bytes are allowed";
        "Refused::KeyTooLong": Refused::KeyTooLong { bytes: 2000 }
            => "the key has 2000 bytes, 1 to 1024 are allowed";
        "Refused::ValueTooLong": Refused::ValueTooLong { bytes: 2000000 }
            => "the value has 2000000 bytes, 522240 are allowed";
        "Refused::SequenceFull": Refused::SequenceFull { key: key() }
            => "the sequence \"tents\" is full: it holds at most 1048576 values and 268435456 bytes";
        "Refused::StoreFull": Refused::StoreFull => "the store is full: it holds at most 536870912 bytes";
        "Refused::TooMuchAtOnce": Refused::TooMuchAtOnce { steps: 3, bytes: 2000000 }
            => "there are 3 conditions and steps of 2000000 bytes, 128 of 1024000 bytes are allowed";
        "Refused::TooMuchRead": Refused::TooMuchRead => "the steps read more than 1048576 bytes";
        "Refused::Compacted": Refused::Compacted { through: Revision(7) }
            => "the changes up to revision 7 are compacted";
        "Refused::RevisionAhead": Refused::RevisionAhead { wanted: Revision(9), applied: Revision(7) }
            => "revision 9 is ahead of 7, which is applied";
        "Refused::LeaseEnded": Refused::LeaseEnded { lease: LeaseId(NonZeroU64::MIN) } => "lease 1 has ended";
        "Refused::LeaseTtl": Refused::LeaseTtl { ttl_ms: 5 }
            => "a lease lives between 100 and 2592000000 ms, not 5 ms";
        "Refused::TooManyLeases": Refused::TooManyLeases => "there are 65536 leases, no more are allowed";
        "Refused::TooManyWatches": Refused::TooManyWatches => "the member has 16384 watches, no more are allowed";
        "Refused::TooMuchDeleted": Refused::TooMuchDeleted
            => "the steps delete more than 1024 keys or 1048576 bytes by prefix or range";
    }
}

fn causes_of_stops() -> Vec<Row> {
    causes! {
        "StopReason::Shutdown": StopReason::Shutdown => "it was shut down";
        "StopReason::Dropped": StopReason::Dropped => "its last handle was dropped";
        "StopReason::Storage": StopReason::Storage("why".into()) => "its storage failed: why";
        "StopReason::StorageFull": StopReason::StorageFull("why".into()) => "its storage failed: why";
        "StopReason::StorageLost": StopReason::StorageLost("why".into()) => "its storage failed: why";
        "StopReason::StateMachine": StopReason::StateMachine(panicked())
            => "its state machine failed: it panicked at entry 7: why";
        "StopReason::Unsupported": StopReason::Unsupported { from: ADA, what: "an entry".into() }
            => "server 0x1f uses what this version does not know: an entry: upgrade this member";
        "StopReason::Forgot": StopReason::Forgot
            => "its storage has lost what it acknowledged: it must come back under another id";
        "StopReason::FramesTooShort": StopReason::FramesTooShort { frame_bytes_max: 8, bytes: 9 }
            => "the transport carries frames of 8 bytes, 9 may be needed";
        "StopReason::TransportClosed": StopReason::TransportClosed => "its transport was closed";
        "StopReason::RuntimeEnded": StopReason::RuntimeEnded => "its runtime ended";
        "MachineFault::Undecodable": MachineFault::Undecodable {
            index: Index(7),
            type_name: "Seed",
            reason: "why".into(),
        } => "entry 7 holds no `Seed`: why";
        "MachineFault::Panicked": panicked() => "it panicked at entry 7: why";
        "MachineFault::Failed": MachineFault::Failed { index: Index(7), message: "why".into() }
            => "it failed at entry 7: why";
        "MachineFault::Snapshot": MachineFault::Snapshot { through: Index(7), reason: "why".into() }
            => "no snapshot of it can be made as of entry 7: why";
        "MachineFault::Restore": MachineFault::Restore { through: Index(7), reason: "why".into() }
            => "the snapshot as of entry 7 cannot be restored: why";
        "MemberError::NotSent": MemberError::NotSent { to: ADA, error: SendError::NoLink(ADA) }
            => "a frame to server 0x1f was not sent: there is no link to server 0x1f";
        "MemberError::NotUnderstood": MemberError::NotUnderstood {
            from: ADA,
            error: DecodeError::Missing { field: "term" },
        } => "a frame of server 0x1f was not understood: the term is missing";
        "MemberError::SnapshotTooLarge": MemberError::SnapshotTooLarge { bytes: 9, bytes_max: 8 }
            => "a snapshot of 9 bytes was refused, 8 are allowed";
        "MemberError::SnapshotWithoutRoom": MemberError::SnapshotWithoutRoom
            => "the disk has no room for a snapshot; make room on it";
        "MemberError::Foreign": MemberError::Foreign { server: ADA, why: Foreign::History }
            => "server 0x1f belongs to another history of this cluster, which was founded twice";
        "MemberError::Refused": MemberError::Refused { from: ADA, reason: Refusal::TermJump }
            => "a message of server 0x1f was refused: TermJump";
        "MemberError::NotLinked": MemberError::NotLinked { peer: ADA, error: LinkError::NotSigned }
            => "no link to server 0x1f: this server could not sign the handshake";
        "MemberError::OldBoot": MemberError::OldBoot(OldBoot::Twin { server: ADA, number: 3 })
            => "the link was closed: two boots of server 0x1f have number 3: its storage was set back, or two copies \
                of it are in use";
        "MemberError::StorageStalled": MemberError::StorageStalled {
            after: Duration::from_secs(4),
            waiting_bytes: 9,
        } => "the storage neither wrote nor read for 4s, 9 bytes wait";
        "MemberError::PeerForgot": MemberError::PeerForgot { peer: ADA, acknowledged: Index(9), last: Index(7) }
            => "server 0x1f acknowledged the log up to 9 and has it up to 7: its storage forgot";
    }
}

fn stored() -> Vec<Row> {
    let io = || StorageError::Io {
        action: "write",
        error: io::Error::other("why"),
    };
    causes! {
        "StorageError::Io": io()
            => "cannot write: why; once the system allows that, start again: what was acknowledged is there";
        "StorageError::Backup": StorageError::Backup { folder: "here".into() }
            => "here is a backup: `liferaft recover --accept-data-loss here` makes a new cluster of it";
        "StorageError::Full": StorageError::Full { action: "write" }
            => "cannot write: the disk is full; make room on it and start the member again";
        "StorageError::Damaged": damaged() => "the stored log is damaged: why; `liferaft rebuild` sets the store \
                aside, so that the member can join as a new server";
        "StorageError::OutboxDamaged": StorageError::OutboxDamaged { reason: "why".into() }
            => "the stored outbox is damaged: why; `liferaft rebuild` sets it aside, and what became of the commands \
                in it stays unknown";
        "StorageError::Unsupported": StorageError::Unsupported { what: "header", format: 2 }
            => "the stored header is of format 2, which this version does not support: run the version that wrote it";
        "StorageError::InUse": StorageError::InUse { folder: "here".into() }
            => "here is in use already, by this process or another";
        "StorageError::Blank": StorageError::Blank { folder: "here".into() }
            => "there is no store of a cluster in here";
        "StorageError::Sound": StorageError::Sound { folder: "here".into() }
            => "the store in here is in order: its member can be started from it";
        "StorageError::Unnameable": StorageError::Unnameable { name: "Up".into() }
            => "no outbox can be called \"Up\": a name has 1 to 64 characters, a to z, 0 to 9, - and _";
        "StorageError::Foreign": StorageError::Foreign {
            store: "the store".into(),
            found: "one".into(),
            wanted: "another".into(),
        } => "the store belongs to one, not to another: keep it; if the other one was founded by mistake, its founder \
                joins this one, with empty storage";
        "StorageError::Unavailable": StorageError::Unavailable { reason: "why".into() }
            => "the browser stores nothing for this page: why; a member in memory can join";
        "StorageError::Lost": StorageError::Lost { store: "the store".into() }
            => "the store was removed, as by clearing the site's data: join as a new server";
        "StorageError::Stopped": StorageError::Stopped { reason: "why".into() }
            => "nothing more is written, since an earlier write failed (why); restart the member";
        "RestoreError": RestoreError::new("why") => "not a snapshot of this state machine: why";
        "RecoveryError::Gap": RecoveryError::Gap { after: Index(1), found: Index(3) }
            => "the stored log goes from index 1 to 3";
        "RecoveryError::ImpossibleTerm": RecoveryError::ImpossibleTerm { index: Index(7), term: Term(2) }
            => "the stored entry at index 7 has the impossible term 2";
        "RecoveryError::CommittedMissing": RecoveryError::CommittedMissing { commit: Index(9), last: Index(7) }
            => "the stored log ends at index 7, and was committed up to 9";
        "RecoveryError::ImpossiblePromise": RecoveryError::ImpossiblePromise { promise: Duration::from_secs(9_000) }
            => "the stored promise of 9000s is above 3600s";
        "SessionsError::UnknownVersion": SessionsError::UnknownVersion(9)
            => "the session table has version 9, which this version does not know";
        "SessionsError::CutOff": SessionsError::CutOff => "the session table is cut off";
        "SessionsError::Invalid": SessionsError::Invalid("why") => "the session table makes no sense: why";
        "SnapshotError::UnknownVersion": SnapshotError::UnknownVersion(9)
            => "the snapshot has version 9, which this version does not know";
        "SnapshotError::CutOff": SnapshotError::CutOff => "the snapshot is cut off";
        "SnapshotError::Damaged": SnapshotError::Damaged { found: 1, wanted: 2 }
            => "the snapshot is not what was stored: its digest is 0x00000001, not 0x00000002";
        "JoinError::TooLarge": JoinError::TooLarge { bytes: 9, bytes_max: 8 }
            => "the snapshot has 9 bytes, 8 are allowed";
        "CodecError::Encode": CodecError::Encode { type_name: "Seed", reason: "why".into() }
            => "`Seed` cannot be encoded: why";
        "CodecError::Decode": CodecError::Decode { type_name: "Seed", reason: "why".into() }
            => "the bytes are no `Seed`: why";
        "CodecError::Left": CodecError::Left { type_name: "Seed", bytes: 9 } => "9 bytes follow a `Seed`";
        "CodecError::TooDeep": CodecError::TooDeep { type_name: "Seed", stack_bytes_max: 9 }
            => "a `Seed` nests too deeply: decoding it takes more than 9 bytes of stack";
        "EnvelopeError::UnknownKind": EnvelopeError::UnknownKind(9)
            => "the kind of command 9 is not known to this version";
        "EnvelopeError::Malformed": EnvelopeError::Malformed => "a command is malformed";
    }
}

fn frames() -> Vec<Row> {
    let violation = || Violation {
        promise: Promise::LargestFramesArrive,
        detail: "why".into(),
    };
    causes! {
        "DecodeError::FrameTooLong": DecodeError::FrameTooLong { bytes: 9, bytes_max: 8 }
            => "the frame has 9 bytes, 8 are allowed";
        "DecodeError::Malformed": DecodeError::Malformed { part: "entry" } => "the entry is not well formed";
        "DecodeError::Missing": DecodeError::Missing { field: "term" } => "the term is missing";
        "DecodeError::OutOfRange": DecodeError::OutOfRange { field: "term", value: 9 }
            => "the term of 9 is out of range";
        "DecodeError::BadLength": DecodeError::BadLength { field: "id", bytes: 9 } => "the id has 9 bytes";
        "DecodeError::TooMany": DecodeError::TooMany { items: "entries", count: 9, count_max: 8 }
            => "there are 9 entries, 8 are allowed";
        "DecodeError::Contradiction": DecodeError::Contradiction { part: "entry" } => "the entry contradicts itself";
        "DecodeError::UnknownKind": DecodeError::UnknownKind { part: "frame", number: 9 }
            => "the frame is of the unknown kind 9";
        "DecodeError::UnknownEntry": DecodeError::UnknownEntry { index: Index(7), kind: 9 }
            => "the entry at index 7 is of the unknown kind 9";
        "DecodeError::Unsupported": DecodeError::Unsupported { part: "configuration", number: 9 }
            => "this version does not support the configuration of format 9";
        "Violation": violation() => "largest frames arrive: why";
        "Violations": Violations(vec![violation()])
            => "the transport breaks 1 of 16 promises: largest frames arrive: why";
    }
}

fn values() -> Vec<Row> {
    let (election_timeout, heartbeat_interval) =
        (Duration::from_millis(9), Duration::from_millis(8));
    let unlikely = Probability::new(2_000_000).expect_err("more than certain");
    causes! {
        "ConfigError::ZeroHeartbeat": ConfigError::ZeroHeartbeat => "the heartbeat interval is zero";
        "ConfigError::ElectionBeforeHeartbeat":
            ConfigError::ElectionBeforeHeartbeat { election_timeout, heartbeat_interval }
            => "the election timeout (9ms) is below two heartbeats of 8ms";
        "ConfigError::ElectionTimeoutTooLong":
            ConfigError::ElectionTimeoutTooLong { election_timeout: Duration::from_secs(9_000) }
            => "the election timeout (9000s) is above 3600s";
        "ConfigError::DriftBound": ConfigError::DriftBound { ppm: DRIFT_BOUND_PPM_MAX + 1 }
            => "a clock drift of 500001 millionths is not between 1 and 500000";
        "ConfigError::ZeroLimit": ConfigError::ZeroLimit { limit: "reads_max" } => "the limit reads_max is zero";
        "ParseIdError::NoPrefix": ParseIdError::NoPrefix => "an id begins with 0x, as in 0x1f";
        "ParseIdError::Abbreviated": ParseIdError::Abbreviated => "the id is abbreviated: write all of its digits";
        "ParseIdError::NoDigit": ParseIdError::NoDigit { character: 'g', position: 2 }
            => "'g' at byte 2 of an id is not a hexadecimal digit";
        "ParseIdError::DigitCount": ParseIdError::DigitCount { digits: 33, digits_max: 32 }
            => "an id has 1 to 32 digits after 0x, not 33";
        "ParseKeyError::NoPrefix": ParseKeyError::NoPrefix => "a key begins with 0x, and 64 digits follow";
        "ParseKeyError::NoDigit": ParseKeyError::NoDigit { character: 'g', position: 2 }
            => "'g' at byte 2 of a key is not a hexadecimal digit";
        "ParseKeyError::DigitCount": ParseKeyError::DigitCount { digits: 63 }
            => "a key has 64 digits after 0x, not 63";
        "AddressError::TooLong": AddressError::TooLong { bytes: 129 } => "an address has at most 128 bytes, not 129";
        "AddressError::NotPrintable": AddressError::NotPrintable { character: ' ', position: 4 }
            => "' ' at byte 4 of an address is not printable ASCII";
        "AddressError::NoScheme": AddressError::NoScheme
            => "an address begins with its scheme and a colon, as in udp:127.0.0.1:4000";
        "AddressError::NoRest": AddressError::NoRest
            => "an address says where after its scheme, as in udp:127.0.0.1:4000";
        "LabelError::TooLong": LabelError::TooLong { bytes: 33 } => "a label has at most 32 bytes, not 33";
        "LabelError::Control": LabelError::Control { character: '\n', position: 3 }
            => "'\\n' at byte 3 of a label is a control character";
        "ParseCountError": ParseCountError => "not a count: it looks like 7@42, or 0";
        "ProbabilityError": unlikely => "a probability of 2000000 in a million is more than certain";
    }
}

fn panicked() -> MachineFault {
    MachineFault::Panicked {
        index: Index(7),
        message: "why".into(),
    }
}

fn damaged() -> StorageError {
    StorageError::Damaged {
        what: "log",
        reason: "why".into(),
    }
}
