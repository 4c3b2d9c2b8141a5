//! Defines what callers ask of the member's task.

use tokio::sync::oneshot;

use super::error::{MembershipError, ReadError, ShutdownError, TransferLeadershipError};
use super::lanes::LaneRequest;
use super::local::{Local, LocalCaller, LocalRead, Unread};
use super::proposals::Caller;
use super::serving::ClientReader;
use crate::config::Timing;
use crate::consensus::MembershipChange;
use crate::ids::{Index, ServerId};
use crate::state_machine::StateMachine;
use crate::time::Instant;

/// What a caller asks.
pub(super) enum Request<S: StateMachine> {
    /// A command, serialised behind room for its header.
    Propose {
        command: Vec<u8>,
        deadline: Instant,
        caller: Caller<S::Reply>,
    },
    /// A linearizable read.
    Read(Read<S>),
    /// A read of what this member has.
    ReadLocal(LocalRead<S>),
    /// A membership change.
    Change {
        change: MembershipChange,
        deadline: Instant,
        caller: oneshot::Sender<Result<(), MembershipError>>,
    },
    /// A transfer of leadership.
    Transfer {
        to: Option<ServerId>,
        deadline: Instant,
        caller: oneshot::Sender<Result<ServerId, TransferLeadershipError>>,
    },
    /// What an outbox asks of its ordered session.
    Lane(LaneRequest<S::Reply>),
    /// Other times for elections and heartbeats.
    SetTiming(Timing),
    /// The member is to leave its cluster: it does not ask to be taken in any more.
    Leave(oneshot::Sender<()>),
    /// The member is to hand over and stop. As the only voter it refuses, if there is somebody to tell.
    Shutdown(Option<oneshot::Sender<ShutdownError>>),
}

/// A read that a leader has to confirm.
pub(super) struct Read<S: StateMachine> {
    pub(super) query: S::Query,
    /// It is answered once the entry at this index is applied, or as soon as it is confirmed.
    pub(super) not_before: Index,
    pub(super) deadline: Instant,
    pub(super) caller: ReadCaller<S>,
}

/// Who waits for a read that a leader has to confirm.
pub(super) enum ReadCaller<S: StateMachine> {
    Linearizable(oneshot::Sender<Result<S::Answer, ReadError>>),
    /// A local read that wants a younger state. Once it is confirmed, the state is the newest as of when the leader was
    /// last asked.
    Local {
        as_of: Instant,
        caller: LocalCaller<S>,
    },
    /// A client, which is not in this process.
    Client(ClientReader<S>),
}

impl<S: StateMachine> ReadCaller<S> {
    /// Tells the state machine's answer at a moment, and what it reflects.
    pub(super) fn answer(self, answer: S::Answer, now: Instant, applied: Index) {
        match self {
            Self::Linearizable(caller) => drop(caller.send(Ok(answer))),
            Self::Local { as_of, caller } => {
                let age = Some(now.since(as_of));
                drop(caller.send(Ok(Local {
                    answer,
                    age,
                    applied,
                })));
            }
            Self::Client(reader) => reader.answer(&answer),
        }
    }

    /// The leader is asked at this moment.
    pub(super) fn asked(&mut self, now: Instant) {
        match self {
            Self::Linearizable(_) | Self::Client(_) => {}
            Self::Local { as_of, .. } => *as_of = now,
        }
    }

    pub(super) fn refuse(self, error: ReadError) {
        match self {
            Self::Linearizable(caller) => drop(caller.send(Err(error))),
            Self::Local { caller, .. } => drop(caller.send(Err(Unread::Error(error)))),
            Self::Client(reader) => reader.refuse(&error),
        }
    }

    /// Whether nobody waits any more.
    pub(super) fn is_closed(&self) -> bool {
        match self {
            Self::Linearizable(caller) => caller.is_closed(),
            Self::Local { caller, .. } => caller.is_closed(),
            Self::Client(reader) => reader.is_closed(),
        }
    }
}
