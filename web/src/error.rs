//! Says to a page why something was not done, or that nobody knows: a code, the outcome, and a sentence.
//!
//! The outcome is that of the error's `is_definite`. The façade makes an error of JavaScript's of it.

use std::fmt::Display;

use liferaft::consensus::TransferError;
use liferaft::driver::{
    FlushError, OpenOutboxError, OutboxCause, PushError, TransferLeadershipError,
};
use liferaft::kv::{KvError, Refused, WatchError};
use liferaft::{
    Exclusion, FoundError, LeaveError, MembershipError, OutboxError, ProposeError, ReadError,
    StartError, StopReason, StorageError, UnknownCause, WaitError,
};
use wasm_bindgen::JsValue;

use crate::plain::{number, object};

/// Why something was not done, or that nobody knows.
#[derive(Debug)]
pub(crate) struct Fault {
    code: &'static str,
    outcome: &'static str,
    message: String,
    /// A property of the details.
    detail: Option<(&'static str, JsValue)>,
}

impl Fault {
    pub(crate) fn not_done(code: &'static str, message: impl Display) -> Self {
        Self::of(code, "not-done", message)
    }

    pub(crate) fn unknown(code: &'static str, message: impl Display) -> Self {
        Self::of(code, "unknown", message)
    }

    fn of(code: &'static str, outcome: &'static str, message: impl Display) -> Self {
        Self {
            code,
            outcome,
            message: message.to_string(),
            detail: None,
        }
    }

    /// That of an error with an `is_definite`.
    fn by(code: &'static str, is_definite: bool, message: impl Display) -> Self {
        let outcome = if is_definite { "not-done" } else { "unknown" };
        Self::of(code, outcome, message)
    }

    fn with(mut self, name: &'static str, value: impl Into<JsValue>) -> Self {
        self.detail = Some((name, value.into()));
        self
    }

    fn excluded(why: &Exclusion, message: impl Display) -> Self {
        Self::not_done("excluded", message).with("reason", exclusion(why))
    }
}

impl From<Fault> for JsValue {
    fn from(fault: Fault) -> Self {
        let details = object(fault.detail.as_slice());
        object(&[
            ("code", fault.code.into()),
            ("outcome", fault.outcome.into()),
            ("message", fault.message.into()),
            ("details", details),
        ])
    }
}

/// Names why a member takes no part.
pub(crate) const fn exclusion(why: &Exclusion) -> &'static str {
    match why {
        Exclusion::WrongCluster { .. } => "wrong-cluster",
        Exclusion::AnotherHistory { .. } => "another-history",
        Exclusion::Removed => "removed",
        Exclusion::Manual { .. } => "manual",
        Exclusion::NotInvited => "not-invited",
        Exclusion::Forgotten => "forgotten",
        Exclusion::NoPeer => "no-peer",
        Exclusion::OldBoot => "old-boot",
        Exclusion::NoCommonVersion { .. } | Exclusion::OtherVersion => "version",
        Exclusion::Token(_) => "token",
        _ => "other",
    }
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Self {
        let code = match refused {
            Refused::KeyTooLong { .. }
            | Refused::ValueTooLong { .. }
            | Refused::TooMuchAtOnce { .. }
            | Refused::TooMuchRead
            | Refused::TooMuchDeleted => "too-large",
            Refused::KeyEmpty => "invalid-argument",
            Refused::Compacted { .. } => "compacted",
            Refused::TooManyWatches => "busy",
            _ => "refused",
        };
        Self::not_done(code, format_args!("not done: {refused}"))
    }
}

impl From<KvError> for Fault {
    fn from(error: KvError) -> Self {
        match error {
            KvError::Refused(refused) => refused.into(),
            KvError::Propose(error) => error.into(),
            KvError::Read(error) => error.into(),
            error => Self::by("internal", error.is_definite(), error),
        }
    }
}

impl From<ProposeError> for Fault {
    fn from(error: ProposeError) -> Self {
        let code = match &error {
            ProposeError::Excluded(why) => return Self::excluded(why, &error),
            ProposeError::ReplyUnreadable => return Self::of("internal", "done", &error),
            ProposeError::Busy(_) => "busy",
            ProposeError::NoRoom => "no-room",
            ProposeError::TooLarge { .. } => "too-large",
            ProposeError::TimedOut | ProposeError::Unknown(UnknownCause::NoReply) => "timeout",
            ProposeError::Unreached(_) | ProposeError::Unknown(UnknownCause::Unreached(_)) => {
                "unreachable"
            }
            ProposeError::Stopped | ProposeError::Unknown(UnknownCause::MemberStopped) => "stopped",
            ProposeError::Unknown(UnknownCause::SessionExpired) => "expired",
            _ => "refused",
        };
        Self::by(code, error.is_definite(), &error)
    }
}

impl From<ReadError> for Fault {
    fn from(error: ReadError) -> Self {
        let code = match &error {
            ReadError::Excluded(why) => return Self::excluded(why, &error),
            ReadError::Busy(_) => "busy",
            ReadError::TimedOut => "timeout",
            ReadError::Panicked => "machine",
            ReadError::TooLarge { .. } => "too-large",
            ReadError::Unreached(_) => "unreachable",
            ReadError::Stopped => "stopped",
            _ => "refused",
        };
        Self::by(code, error.is_definite(), &error)
    }
}

impl From<WatchError> for Fault {
    fn from(error: WatchError) -> Self {
        let resume_from = error.resume_from;
        let resume_from = resume_from.map_or(JsValue::UNDEFINED, |from| number(from.0));
        Self::from(error.cause).with("resumeFrom", resume_from)
    }
}

impl From<MembershipError> for Fault {
    fn from(error: MembershipError) -> Self {
        let code = match &error {
            MembershipError::Excluded(why) => return Self::excluded(why, &error),
            MembershipError::NotLeader { .. } | MembershipError::Unknown { .. } => "timeout",
            MembershipError::Unreachable(_)
            | MembershipError::TooSlow(_)
            | MembershipError::Unreached(_) => "unreachable",
            MembershipError::Busy(_) => "busy",
            MembershipError::TooLarge { .. } => "too-large",
            MembershipError::Stopped => "stopped",
            _ => "refused",
        };
        Self::by(code, error.is_definite(), &error)
    }
}

impl From<TransferLeadershipError> for Fault {
    fn from(error: TransferLeadershipError) -> Self {
        let code = match &error {
            TransferLeadershipError::Excluded(why) => return Self::excluded(why, &error),
            TransferLeadershipError::Unknown { .. }
            | TransferLeadershipError::Transfer(
                TransferError::NotLeader { .. } | TransferError::NoTakeover(_),
            ) => "timeout",
            TransferLeadershipError::Busy(_)
            | TransferLeadershipError::Transfer(
                TransferError::Pending { .. } | TransferError::Busy,
            ) => "busy",
            TransferLeadershipError::Unreached(_) => "unreachable",
            TransferLeadershipError::Stopped => "stopped",
            _ => "refused",
        };
        Self::by(code, error.is_definite(), &error)
    }
}

impl From<LeaveError> for Fault {
    fn from(error: LeaveError) -> Self {
        match error {
            LeaveError::Change(error) => error.into(),
            LeaveError::OnlyVoter(_) => Self::not_done("only-voter", error),
            error => Self::by("refused", error.is_definite(), &error),
        }
    }
}

impl From<WaitError> for Fault {
    fn from(error: WaitError) -> Self {
        let code = match &error {
            WaitError::Excluded(why) => return Self::excluded(why, &error),
            WaitError::Stopped(_) => "stopped",
            _ => "timeout",
        };
        Self::by(code, error.is_definite(), &error)
    }
}

impl From<StorageError> for Fault {
    fn from(error: StorageError) -> Self {
        let code = match &error {
            StorageError::Full { .. } => "storage-full",
            StorageError::Lost { .. } => "storage-lost",
            StorageError::Unnameable { .. } => "invalid-argument",
            StorageError::Unavailable { .. } => "unsupported",
            _ => "storage",
        };
        Self::not_done(code, error)
    }
}

impl From<&StopReason> for Fault {
    fn from(reason: &StopReason) -> Self {
        let code = match reason {
            StopReason::Storage(_) => "storage",
            StopReason::StorageFull(_) => "storage-full",
            StopReason::StorageLost(_) | StopReason::Forgot => "storage-lost",
            StopReason::StateMachine(_) => "machine",
            StopReason::Unsupported { .. } => "version",
            _ => "stopped",
        };
        Self::unknown(code, reason)
    }
}

impl From<FoundError> for Fault {
    fn from(error: FoundError) -> Self {
        Self::by("storage", error.is_definite(), &error)
    }
}

impl From<StartError> for Fault {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Storage(error) => error.into(),
            error @ (StartError::Recovery(_) | StartError::Restore(_)) => {
                Self::not_done("storage", error)
            }
            error => Self::not_done("refused", error),
        }
    }
}

impl From<OpenOutboxError> for Fault {
    fn from(error: OpenOutboxError) -> Self {
        match error {
            OpenOutboxError::Store(error) => error.into(),
            error @ OpenOutboxError::TooMany(_) => Self::not_done("busy", error),
            error @ OpenOutboxError::Stopped => Self::not_done("stopped", error),
            error => Self::not_done("storage", error),
        }
    }
}

impl From<PushError> for Fault {
    fn from(error: PushError) -> Self {
        let code = match &error {
            PushError::Full { .. } => "busy",
            PushError::TooLarge { .. } => "too-large",
            PushError::Closed(cause) => ended(cause),
            _ => "refused",
        };
        Self::not_done(code, error)
    }
}

impl From<OutboxError> for Fault {
    fn from(error: OutboxError) -> Self {
        match &error {
            OutboxError::NotDone(cause) => Self::not_done(ended(cause), &error),
            OutboxError::ReplyUnreadable => Self::of("internal", "done", &error),
            OutboxError::Unknown(cause) => Self::unknown(ended(cause), &error),
            OutboxError::Interrupted(cause) => {
                Self::unknown(ended(cause), &error).with("isStored", true)
            }
            error => Self::by("internal", error.is_definite(), error),
        }
    }
}

impl From<FlushError> for Fault {
    fn from(error: FlushError) -> Self {
        let code = match &error {
            FlushError::OutboxClosed(cause) => ended(cause),
            _ => "expired",
        };
        Self::by(code, error.is_definite(), error)
    }
}

const fn ended(cause: &OutboxCause) -> &'static str {
    match cause {
        OutboxCause::SessionExpired => "expired",
        OutboxCause::Store(_) => "storage",
        _ => "stopped",
    }
}
