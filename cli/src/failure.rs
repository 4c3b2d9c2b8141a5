//! Tells how a command ended that asked a running cluster: its exit code, and what to do about it.

use std::fmt;
use std::process::ExitCode;

use liferaft::consensus::{InvalidChange, TransferError};
use liferaft::driver::{
    ClientRefused, MembershipError, ProposeError, ReadError, TransferLeadershipError, UnknownCause,
    Unreached, UnreachedCause,
};
use liferaft::kv::{KvError, WatchError};
use liferaft::transport::access::Refusal;
use liferaft::transport::carrier::OpenFailure;
use liferaft::transport::links::LinkError;
use liferaft::transport::websocket::ContactError;

/// What the exit codes of commands mean that ask a running cluster.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  not done, for another reason; standard error says why
  2  the command line is wrong
  3  the answer is no: there is no such key, it is not as expected, or the conditions do not hold
  4  unknown: it may be done already, later, or never
  5  not done: no leader is reached, as no member answers or no majority is there; to be tried again
  6  not done: refused, and waiting does not help: the invitation, what it allows, or another cluster";

/// The answer is no: there is nothing of that name, or it is not as expected.
#[derive(Debug)]
pub(crate) struct NotFound(pub(crate) String);

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotFound {}

/// The command line is wrong, or the invitation or transaction that it names: nobody was asked anything.
#[derive(Debug)]
pub(crate) struct Misuse(pub(crate) String);

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Misuse {}

/// The exit code of a command line that is wrong, which is also that of the parser of arguments.
pub(crate) const MISUSE: u8 = 2;

/// How a command ended that did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure<'a> {
    Misuse,
    No,
    Unknown(Option<&'a Unreached>),
    Unreached(Option<&'a Unreached>),
    Link(&'a Unreached),
    Refused(ClientRefused),
    /// An address alone leads nowhere.
    Untold,
    /// There are as many tokens as there may be.
    Tokens,
    Other,
}

/// Says how a command ended that did not succeed, and returns its exit code.
pub(crate) fn tell(error: &anyhow::Error) -> ExitCode {
    let failure = Failure::of(error);
    if failure == Failure::No {
        crate::tell_error(format_args!("{error:#}"));
    } else {
        crate::tell_error(format_args!("error: {error:#}"));
    }
    if let Some(advice) = failure.advice() {
        crate::tell_error(format_args!("{advice}"));
    }
    ExitCode::from(failure.code())
}

impl<'a> Failure<'a> {
    fn of(error: &'a anyhow::Error) -> Self {
        if error.is::<NotFound>() {
            return Self::No;
        }
        if error.is::<Misuse>() {
            return Self::Misuse;
        }
        if error.is::<tokio::time::error::Elapsed>() {
            return Self::Unreached(None);
        }
        match error.downcast_ref() {
            Some(ContactError::NotReached { .. }) => return Self::Unreached(None),
            Some(ContactError::BadAddress(_)) => return Self::Misuse,
            Some(ContactError::Untold(_)) => return Self::Untold,
            Some(_) | None => {}
        }
        if let Some(why) = error.downcast_ref() {
            return Self::of_unreached(why);
        }
        let of_watch = error.downcast_ref::<WatchError>().map(|ended| &ended.cause);
        let of_kv = of_watch.or_else(|| error.downcast_ref()).map(Self::of_kv);
        let of_kv = of_kv.or_else(|| error.downcast_ref().map(Self::of_read));
        let of_change = || error.downcast_ref().map(Self::of_change);
        let of_transfer = || error.downcast_ref().map(Self::of_transfer);
        let found = of_kv.or_else(of_change).or_else(of_transfer);
        found.unwrap_or(Self::Other)
    }

    fn of_unreached(why: &'a Unreached) -> Self {
        if why.is_lasting {
            Self::Link(why)
        } else {
            Self::Unreached(Some(why))
        }
    }

    fn of_kv(error: &'a KvError) -> Self {
        match error {
            KvError::Propose(error) => Self::of_propose(error),
            KvError::Read(error) => Self::of_read(error),
            error if error.is_definite() => Self::Other,
            _ => Self::Unknown(None),
        }
    }

    fn of_propose(error: &'a ProposeError) -> Self {
        match error {
            ProposeError::Unreached(why) => Self::of_unreached(why),
            ProposeError::Unknown(UnknownCause::Unreached(why)) => Self::Unknown(Some(why)),
            ProposeError::Refused(refused) => Self::Refused(*refused),
            ProposeError::TimedOut => Self::Unreached(None),
            error if error.is_definite() => Self::Other,
            _ => Self::Unknown(None),
        }
    }

    fn of_read(error: &'a ReadError) -> Self {
        match error {
            ReadError::Unreached(why) => Self::of_unreached(why),
            ReadError::Refused(refused) => Self::Refused(*refused),
            ReadError::TimedOut => Self::Unreached(None),
            _ => Self::Other,
        }
    }

    fn of_change(error: &'a MembershipError) -> Self {
        match error {
            MembershipError::Unreached(why) => Self::of_unreached(why),
            MembershipError::Refused(refused) => Self::Refused(*refused),
            MembershipError::NotLeader { .. } => Self::Unreached(None),
            MembershipError::Invalid(InvalidChange::TooManyTokens) => Self::Tokens,
            error if error.is_definite() => Self::Other,
            _ => Self::Unknown(None),
        }
    }

    fn of_transfer(error: &'a TransferLeadershipError) -> Self {
        match error {
            TransferLeadershipError::Unreached(why) => Self::of_unreached(why),
            TransferLeadershipError::Refused(refused) => Self::Refused(*refused),
            TransferLeadershipError::Transfer(TransferError::NotLeader { .. }) => {
                Self::Unreached(None)
            }
            error if error.is_definite() => Self::Other,
            _ => Self::Unknown(None),
        }
    }

    const fn code(self) -> u8 {
        match self {
            Self::Other | Self::Tokens => 1,
            Self::Misuse => MISUSE,
            Self::No => 3,
            Self::Unknown(_) => 4,
            Self::Unreached(_) => 5,
            Self::Link(_) | Self::Refused(_) | Self::Untold => 6,
        }
    }

    /// What is to be done, where the error does not say it.
    fn advice(self) -> Option<&'static str> {
        match self {
            Self::Link(why) | Self::Unreached(Some(why)) | Self::Unknown(Some(why)) => {
                Some(match why.cause {
                    UnreachedCause::NoAnswer | UnreachedCause::LeaderNotReached { .. }
                        if lacks_signaling(why) =>
                    {
                        "those members are reached while their signaling server is; without it, a member that has an \
                         address of its own (--listen, --rtc) is reached by an invitation that names it"
                    }
                    UnreachedCause::NoAnswer => {
                        "check that its members run, and that these addresses are reached from this machine"
                    }
                    UnreachedCause::OtherCluster => {
                        "ask an operator of the cluster that is meant for an invitation of it"
                    }
                    UnreachedCause::Refused(Refusal::RoleNotGranted) => {
                        "it is an invitation to members, for `liferaft node --join`: an operator prints one to \
                         clients by `liferaft members invite writer`"
                    }
                    UnreachedCause::Refused(_) => {
                        "an operator prints another invitation by `liferaft members invite writer`, or `reader`"
                    }
                    _ => "`liferaft status` shows which members are there",
                })
            }
            Self::Tokens => Some(
                "`liferaft members tokens` shows them, and `liferaft members revoke TOKEN` takes one back",
            ),
            Self::Refused(ClientRefused::ReadOnly | ClientRefused::OutOfScope) => Some(
                "an operator prints an invitation that allows it by `liferaft members invite writer`, or `reader` if it \
                 only reads; --prefix keeps it to some keys",
            ),
            Self::Refused(ClientRefused::NotOperator) => Some(
                "an operator prints an invitation that allows it by `liferaft members invite operator`",
            ),
            _ => None,
        }
    }
}

/// Returns true if a signaling server that is not reached keeps a client from members.
fn lacks_signaling(why: &Unreached) -> bool {
    why.tried.iter().any(|tried| {
        matches!(
            tried.error,
            Some(LinkError::NotOpened(OpenFailure::NoSignaling { .. }))
        )
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use liferaft::driver::Tried;

    use super::*;

    fn unreached(cause: UnreachedCause, is_lasting: bool) -> Arc<Unreached> {
        Arc::new(Unreached {
            cause,
            is_lasting,
            tried: Vec::new(),
        })
    }

    fn code(error: impl Into<anyhow::Error>) -> u8 {
        Failure::of(&error.into()).code()
    }

    #[test]
    fn each_kind_of_failure_has_its_exit_code() {
        let refused = || unreached(UnreachedCause::Refused(Refusal::TokenExpired), true);
        let silent = || unreached(UnreachedCause::NoAnswer, false);

        assert_eq!(code(Misuse("wrong".to_owned())), 2);
        assert_eq!(code(NotFound("no".to_owned())), 3);
        assert_eq!(code(KvError::from(ReadError::Unreached(silent()))), 5);
        assert_eq!(code(KvError::from(ReadError::Unreached(refused()))), 6);
        let cause = KvError::from(ReadError::Unreached(refused()));
        assert_eq!(
            code(WatchError {
                cause,
                resume_from: None
            }),
            6
        );
        let lost = ProposeError::Unknown(UnknownCause::Unreached(silent()));
        assert_eq!(code(KvError::from(lost)), 4);
        let read_only = ProposeError::Refused(ClientRefused::ReadOnly);
        assert_eq!(code(KvError::from(read_only)), 6);
        assert_eq!(code(MembershipError::Unknown { leader: None }), 4);
        assert_eq!(code(MembershipError::Unreached(refused())), 6);
        assert_eq!(code(MembershipError::Pending), 1);
    }

    #[test]
    fn whoever_meets_the_bound_of_tokens_is_told_how_to_take_one_back() {
        let error = MembershipError::Invalid(InvalidChange::TooManyTokens).into();

        let failure = Failure::of(&error);

        assert_eq!(failure.code(), 1);
        let advice = failure.advice().expect("there is some");
        assert!(advice.contains("liferaft members revoke"), "{advice}");
    }

    #[test]
    fn a_signaling_server_that_is_not_reached_is_told_of() {
        let error = OpenFailure::NoSignaling {
            server: "ws://a/room".to_owned(),
            why: "why".to_owned(),
        };
        let tried = Tried {
            address: "rtc:1".parse().expect("it is an address"),
            error: Some(error.into()),
            was_dialed: true,
        };
        let with = |tried: Vec<Tried>| {
            let cause = UnreachedCause::NoAnswer;
            let is_lasting = false;
            let why = Unreached {
                cause,
                is_lasting,
                tried,
            };
            Failure::of_unreached(&why).advice()
        };

        let advice = with(vec![tried]).expect("there is some");
        assert!(advice.contains("signaling server"), "{advice}");
        assert_ne!(with(Vec::new()), Some(advice));
    }

    #[test]
    fn what_is_behind_a_context_counts_and_the_context_too() {
        let error = anyhow::Error::from(ReadError::TimedOut).context("the leader does not answer");

        assert_eq!(Failure::of(&error).code(), 5);
        let error = anyhow::anyhow!("cut short").context(Misuse("--at".to_owned()));
        assert_eq!(Failure::of(&error).code(), 2);
    }
}
