//! The requests that one driver passes on to another, and their answers.

use alloc::vec::Vec;

use bytes::Bytes;

use super::configuration::{proto_token, token};
use super::description::{description, encode_description, key, key_bytes, proto_voucher, voucher};
use super::field::{self, List, index, required, server, server_bytes, server_if_any, term};
use super::proto::{self, kind};
use super::{COMMANDS_MAX, Content, DecodeError, ProposeAnswer};
use crate::configuration::{AccessToken, Foreign, SERVERS_MAX, TokenFault, TokenKey};
use crate::consensus::{
    Addition, ChangeError, InvalidChange, MembershipChange, MembershipStep, NewToken, TransferError,
};
use crate::ids::{Index, ServerId, Term};
use crate::time::ClusterTime;

pub(super) fn decode(kind: u32, body: Bytes) -> Result<Content, DecodeError> {
    match kind {
        kind::PROPOSE => decode_propose(body),
        kind::PROPOSE_REPLY => decode_propose_reply(body),
        kind::CHANGE => decode_change(body),
        kind::CHANGE_REPLY => decode_change_reply(body),
        kind::TRANSFER => decode_transfer(body),
        kind::TRANSFER_REPLY => decode_transfer_reply(body),
        number => Err(DecodeError::UnknownKind {
            part: "frame",
            number,
        }),
    }
}

pub(super) fn propose(request: u64, commands: &[Bytes]) -> proto::Propose {
    proto::Propose {
        request: Some(request),
        commands: commands.to_vec(),
    }
}

fn decode_propose(body: Bytes) -> Result<Content, DecodeError> {
    let list = List {
        items: "commands",
        field: proto::Propose::COMMANDS,
        count_max: COMMANDS_MAX,
    };
    let read: proto::Propose = field::decode_list(body, "proposal", &list)?;
    Ok(Content::Propose {
        request: request(read.request)?,
        commands: read.commands,
    })
}

pub(super) fn propose_reply(request: u64, answer: ProposeAnswer) -> proto::ProposeReply {
    let (code, leader) = match answer {
        ProposeAnswer::Appended => (proto::ProposeReply::APPENDED, None),
        ProposeAnswer::NotLeader { leader } => (proto::ProposeReply::NOT_LEADER, leader),
        ProposeAnswer::Busy => (proto::ProposeReply::BUSY, None),
        ProposeAnswer::TooLarge => (proto::ProposeReply::TOO_LARGE, None),
        ProposeAnswer::Transferring => (proto::ProposeReply::TRANSFERRING, None),
        ProposeAnswer::NotMember => (proto::ProposeReply::NOT_MEMBER, None),
    };
    proto::ProposeReply {
        request: Some(request),
        answer: Some(code),
        leader: leader.map(server_bytes),
    }
}

fn decode_propose_reply(body: Bytes) -> Result<Content, DecodeError> {
    let read: proto::ProposeReply = field::decode(body, "reply to a proposal")?;
    let leader = server_if_any(read.leader, "leader")?;
    let answer = match required(read.answer, "answer")? {
        proto::ProposeReply::APPENDED => ProposeAnswer::Appended,
        proto::ProposeReply::NOT_LEADER => ProposeAnswer::NotLeader { leader },
        proto::ProposeReply::BUSY => ProposeAnswer::Busy,
        proto::ProposeReply::TOO_LARGE => ProposeAnswer::TooLarge,
        proto::ProposeReply::TRANSFERRING => ProposeAnswer::Transferring,
        proto::ProposeReply::NOT_MEMBER => ProposeAnswer::NotMember,
        number => {
            return Err(DecodeError::UnknownKind {
                part: "answer to a proposal",
                number,
            });
        }
    };
    Ok(Content::ProposeReply {
        request: request(read.request)?,
        answer,
    })
}

pub(super) fn change(request: u64, term: Term, change: &MembershipChange) -> proto::Change {
    proto::Change {
        request: Some(request),
        steps: change.steps.iter().map(proto_step).collect(),
        term: Some(term.0),
    }
}

fn proto_step(step: &MembershipStep) -> proto::Step {
    let about = proto::Step {
        id: step.server().map(server_bytes),
        ..proto::Step::default()
    };
    let added = |kind, addition: &Addition| proto::Step {
        kind: Some(kind),
        description: addition.description.as_ref().map(encode_description),
        voucher: addition.voucher.as_ref().map(proto_voucher),
        token: addition.token.as_ref().map(|token| key_bytes(&token.0)),
        ..about.clone()
    };
    let plain = |kind| proto::Step {
        kind: Some(kind),
        ..about.clone()
    };
    match step {
        MembershipStep::AddVoter(addition) => added(proto::Step::ADD_VOTER, addition),
        MembershipStep::AddLearner(addition) => added(proto::Step::ADD_LEARNER, addition),
        MembershipStep::Remove(_) => plain(proto::Step::REMOVE),
        MembershipStep::Evict(_) => plain(proto::Step::EVICT),
        MembershipStep::Retire(_) => plain(proto::Step::RETIRE),
        MembershipStep::Describe(_, description) => proto::Step {
            description: Some(encode_description(description)),
            ..plain(proto::Step::DESCRIBE)
        },
        MembershipStep::Issue(token) => proto::Step {
            // Behind the time zero, it expires after as long as it is valid.
            issued: Some(proto_token(&token.issued_at(ClusterTime::ZERO))),
            ..plain(proto::Step::ISSUE)
        },
        MembershipStep::Revoke(token) => proto::Step {
            token: Some(key_bytes(&token.0)),
            ..plain(proto::Step::REVOKE)
        },
        MembershipStep::RaiseVersion(version) => proto::Step {
            version: Some(*version),
            ..plain(proto::Step::RAISE_VERSION)
        },
    }
}

fn decode_change(body: Bytes) -> Result<Content, DecodeError> {
    let list = List {
        items: "steps",
        field: proto::Change::STEPS,
        count_max: SERVERS_MAX,
    };
    let read: proto::Change = field::decode_list(body, "membership change", &list)?;
    let steps = read
        .steps
        .into_iter()
        .map(decode_step)
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Content::Change {
        request: request(read.request)?,
        term: term(read.term, "term of the change")?,
        change: MembershipChange { steps },
    })
}

fn decode_step(read: proto::Step) -> Result<MembershipStep, DecodeError> {
    let kind = required(read.kind, "kind of step")?;
    let id = || server(read.id.clone(), "server of the step");
    match kind {
        proto::Step::ADD_VOTER => decode_addition(read).map(MembershipStep::AddVoter),
        proto::Step::ADD_LEARNER => decode_addition(read).map(MembershipStep::AddLearner),
        proto::Step::REMOVE => Ok(MembershipStep::Remove(id()?)),
        proto::Step::EVICT => Ok(MembershipStep::Evict(id()?)),
        proto::Step::RETIRE => Ok(MembershipStep::Retire(id()?)),
        proto::Step::DESCRIBE => {
            let id = id()?;
            Ok(MembershipStep::Describe(id, description(read.description)?))
        }
        proto::Step::ISSUE => {
            let issued = required(read.issued, "issued token")?;
            let AccessToken {
                key,
                grants,
                expires_at,
                uses_left: uses,
                scope,
            } = token(issued)?;
            let valid_for = expires_at.since(ClusterTime::ZERO);
            Ok(MembershipStep::Issue(NewToken {
                key,
                grants,
                valid_for,
                uses,
                scope,
            }))
        }
        proto::Step::REVOKE => Ok(MembershipStep::Revoke(token_key(read.token)?)),
        proto::Step::RAISE_VERSION => {
            let version = required(read.version, "version of the step")?;
            Ok(MembershipStep::RaiseVersion(version))
        }
        number => Err(DecodeError::UnknownKind {
            part: "step",
            number,
        }),
    }
}

fn decode_addition(read: proto::Step) -> Result<Addition, DecodeError> {
    let described = read.description;
    Ok(Addition {
        id: server(read.id, "server of the step")?,
        description: described
            .map(|bytes| description(Some(bytes)))
            .transpose()?,
        voucher: read.voucher.map(voucher).transpose()?,
        token: read.token.map(|token| token_key(Some(token))).transpose()?,
    })
}

pub(super) fn token_key(value: Option<Bytes>) -> Result<TokenKey, DecodeError> {
    key(value, "key of a token").map(TokenKey)
}

pub(super) fn change_reply(
    request: u64,
    result: &Result<Index, ChangeError>,
) -> proto::ChangeReply {
    let reply = proto::ChangeReply {
        request: Some(request),
        ..proto::ChangeReply::default()
    };
    let error = match result {
        Ok(index) => {
            return proto::ChangeReply {
                index: Some(index.0),
                ..reply
            };
        }
        Err(error) => error,
    };
    let (code, server) = match error {
        ChangeError::NotLeader { leader } => (proto::ChangeReply::NOT_LEADER, *leader),
        ChangeError::Pending => (proto::ChangeReply::PENDING, None),
        ChangeError::AlreadyMember(id) => (proto::ChangeReply::ALREADY_MEMBER, Some(*id)),
        ChangeError::NotMember(id) => (proto::ChangeReply::NOT_MEMBER, Some(*id)),
        ChangeError::Invalid(InvalidChange::NoSteps) => (proto::ChangeReply::NO_STEPS, None),
        ChangeError::Invalid(InvalidChange::NoVoters) => (proto::ChangeReply::NO_VOTERS, None),
        ChangeError::Invalid(InvalidChange::NamedTwice(id)) => {
            (proto::ChangeReply::NAMED_TWICE, Some(*id))
        }
        ChangeError::Invalid(InvalidChange::TooLarge { bytes, bytes_max }) => {
            return proto::ChangeReply {
                error: Some(proto::ChangeReply::TOO_LARGE),
                bytes: Some(*bytes),
                bytes_max: Some(*bytes_max),
                ..reply
            };
        }
        ChangeError::Invalid(InvalidChange::TooManyServers) => {
            (proto::ChangeReply::TOO_MANY_SERVERS, None)
        }
        ChangeError::Invalid(InvalidChange::Forgot(id)) => (proto::ChangeReply::FORGOT, Some(*id)),
        ChangeError::Invalid(InvalidChange::WrongKey(id)) => {
            (proto::ChangeReply::WRONG_KEY, Some(*id))
        }
        ChangeError::Invalid(InvalidChange::IssuedBefore(token)) => {
            return proto::ChangeReply {
                error: Some(proto::ChangeReply::ISSUED_BEFORE),
                token: Some(key_bytes(&token.0)),
                ..reply
            };
        }
        ChangeError::Invalid(InvalidChange::TooManyTokens) => {
            (proto::ChangeReply::TOO_MANY_TOKENS, None)
        }
        ChangeError::Invalid(InvalidChange::VersionNotRaised(version)) => {
            return proto::ChangeReply {
                error: Some(proto::ChangeReply::VERSION_NOT_RAISED),
                version: Some(*version),
                ..reply
            };
        }
        ChangeError::Invalid(InvalidChange::VersionNotSpoken { server, version }) => {
            return proto::ChangeReply {
                error: Some(proto::ChangeReply::VERSION_NOT_SPOKEN),
                server: Some(server_bytes(*server)),
                version: Some(*version),
                ..reply
            };
        }
        ChangeError::Token(token, fault) => {
            return proto::ChangeReply {
                error: Some(match fault {
                    TokenFault::Unknown => proto::ChangeReply::TOKEN_UNKNOWN,
                    TokenFault::UsedUp => proto::ChangeReply::TOKEN_USED_UP,
                    TokenFault::Expired => proto::ChangeReply::TOKEN_EXPIRED,
                    TokenFault::GrantsOther => proto::ChangeReply::TOKEN_GRANTS_OTHER,
                }),
                token: Some(key_bytes(&token.0)),
                ..reply
            };
        }
        ChangeError::AskerNotMember => (proto::ChangeReply::ASKER_NOT_MEMBER, None),
        ChangeError::NotLinked(id) => (proto::ChangeReply::NOT_LINKED, Some(*id)),
        ChangeError::Unreachable(id) => (proto::ChangeReply::UNREACHABLE, Some(*id)),
        ChangeError::TooSlow(id) => (proto::ChangeReply::TOO_SLOW, Some(*id)),
        ChangeError::Foreign(id, Foreign::Cluster) => {
            (proto::ChangeReply::WRONG_CLUSTER, Some(*id))
        }
        ChangeError::Foreign(id, Foreign::History) => {
            (proto::ChangeReply::ANOTHER_HISTORY, Some(*id))
        }
        ChangeError::Unknown { leader } => (proto::ChangeReply::UNKNOWN, *leader),
    };
    proto::ChangeReply {
        error: Some(code),
        server: server.map(server_bytes),
        ..reply
    }
}

fn decode_change_reply(body: Bytes) -> Result<Content, DecodeError> {
    let read: proto::ChangeReply = field::decode(body, "reply to a membership change")?;
    let request = request(read.request)?;
    let about = server_if_any(read.server, ABOUT)?;
    let Some(code) = read.error else {
        let result = Ok(index(read.index, "index of the change")?);
        return Ok(Content::ChangeReply { request, result });
    };
    let error = match code {
        proto::ChangeReply::NOT_LEADER => ChangeError::NotLeader { leader: about },
        proto::ChangeReply::PENDING => ChangeError::Pending,
        proto::ChangeReply::ALREADY_MEMBER => ChangeError::AlreadyMember(required(about, ABOUT)?),
        proto::ChangeReply::NOT_MEMBER => ChangeError::NotMember(required(about, ABOUT)?),
        proto::ChangeReply::NO_STEPS => ChangeError::Invalid(InvalidChange::NoSteps),
        proto::ChangeReply::NO_VOTERS => ChangeError::Invalid(InvalidChange::NoVoters),
        proto::ChangeReply::NAMED_TWICE => {
            ChangeError::Invalid(InvalidChange::NamedTwice(required(about, ABOUT)?))
        }
        proto::ChangeReply::TOO_LARGE => ChangeError::Invalid(InvalidChange::TooLarge {
            bytes: required(read.bytes, "bytes of the change")?,
            bytes_max: required(read.bytes_max, "most bytes of a change")?,
        }),
        proto::ChangeReply::TOO_MANY_SERVERS => ChangeError::Invalid(InvalidChange::TooManyServers),
        proto::ChangeReply::FORGOT => {
            ChangeError::Invalid(InvalidChange::Forgot(required(about, ABOUT)?))
        }
        proto::ChangeReply::WRONG_KEY => {
            ChangeError::Invalid(InvalidChange::WrongKey(required(about, ABOUT)?))
        }
        proto::ChangeReply::ISSUED_BEFORE => {
            ChangeError::Invalid(InvalidChange::IssuedBefore(token_key(read.token)?))
        }
        proto::ChangeReply::TOO_MANY_TOKENS => ChangeError::Invalid(InvalidChange::TooManyTokens),
        proto::ChangeReply::VERSION_NOT_RAISED => ChangeError::Invalid(
            InvalidChange::VersionNotRaised(required(read.version, ABOUT_VERSION)?),
        ),
        proto::ChangeReply::VERSION_NOT_SPOKEN => {
            ChangeError::Invalid(InvalidChange::VersionNotSpoken {
                server: required(about, ABOUT)?,
                version: required(read.version, ABOUT_VERSION)?,
            })
        }
        proto::ChangeReply::TOKEN_UNKNOWN => {
            ChangeError::Token(token_key(read.token)?, TokenFault::Unknown)
        }
        proto::ChangeReply::TOKEN_USED_UP => {
            ChangeError::Token(token_key(read.token)?, TokenFault::UsedUp)
        }
        proto::ChangeReply::TOKEN_EXPIRED => {
            ChangeError::Token(token_key(read.token)?, TokenFault::Expired)
        }
        proto::ChangeReply::TOKEN_GRANTS_OTHER => {
            ChangeError::Token(token_key(read.token)?, TokenFault::GrantsOther)
        }
        proto::ChangeReply::ASKER_NOT_MEMBER => ChangeError::AskerNotMember,
        proto::ChangeReply::NOT_LINKED => ChangeError::NotLinked(required(about, ABOUT)?),
        proto::ChangeReply::UNREACHABLE => ChangeError::Unreachable(required(about, ABOUT)?),
        proto::ChangeReply::TOO_SLOW => ChangeError::TooSlow(required(about, ABOUT)?),
        proto::ChangeReply::WRONG_CLUSTER => {
            ChangeError::Foreign(required(about, ABOUT)?, Foreign::Cluster)
        }
        proto::ChangeReply::ANOTHER_HISTORY => {
            ChangeError::Foreign(required(about, ABOUT)?, Foreign::History)
        }
        proto::ChangeReply::UNKNOWN => ChangeError::Unknown { leader: about },
        number => {
            return Err(DecodeError::UnknownKind {
                part: "change error",
                number,
            });
        }
    };
    Ok(Content::ChangeReply {
        request,
        result: Err(error),
    })
}

pub(super) fn transfer(request: u64, term: Term, to: Option<ServerId>) -> proto::Transfer {
    proto::Transfer {
        request: Some(request),
        to: to.map(server_bytes),
        term: Some(term.0),
    }
}

fn decode_transfer(body: Bytes) -> Result<Content, DecodeError> {
    let read: proto::Transfer = field::decode(body, "leadership transfer")?;
    let to = server_if_any(read.to, "server to lead")?;
    Ok(Content::Transfer {
        request: request(read.request)?,
        term: term(read.term, "term of the transfer")?,
        to,
    })
}

pub(super) fn transfer_reply(
    request: u64,
    result: &Result<ServerId, TransferError>,
) -> proto::TransferReply {
    let (code, server) = match result {
        Ok(to) => (None, Some(*to)),
        Err(TransferError::NotLeader { leader }) => {
            (Some(proto::TransferReply::NOT_LEADER), *leader)
        }
        Err(TransferError::NotVoter(id)) => (Some(proto::TransferReply::NOT_VOTER), Some(*id)),
        Err(TransferError::NoCandidate) => (Some(proto::TransferReply::NO_CANDIDATE), None),
        Err(TransferError::Pending { to }) => (Some(proto::TransferReply::PENDING), Some(*to)),
        Err(TransferError::AskerNotMember) => (Some(proto::TransferReply::ASKER_NOT_MEMBER), None),
        Err(TransferError::Busy) => (Some(proto::TransferReply::BUSY), None),
        Err(TransferError::NoTakeover(id)) => (Some(proto::TransferReply::TIMED_OUT), Some(*id)),
    };
    proto::TransferReply {
        request: Some(request),
        server: server.map(server_bytes),
        error: code,
    }
}

fn decode_transfer_reply(body: Bytes) -> Result<Content, DecodeError> {
    let read: proto::TransferReply = field::decode(body, "reply to a leadership transfer")?;
    let about = server_if_any(read.server, ABOUT)?;
    let result = match read.error {
        None => Ok(required(about, ABOUT)?),
        Some(proto::TransferReply::NOT_LEADER) => Err(TransferError::NotLeader { leader: about }),
        Some(proto::TransferReply::NOT_VOTER) => {
            Err(TransferError::NotVoter(required(about, ABOUT)?))
        }
        Some(proto::TransferReply::NO_CANDIDATE) => Err(TransferError::NoCandidate),
        Some(proto::TransferReply::PENDING) => Err(TransferError::Pending {
            to: required(about, ABOUT)?,
        }),
        Some(proto::TransferReply::ASKER_NOT_MEMBER) => Err(TransferError::AskerNotMember),
        Some(proto::TransferReply::BUSY) => Err(TransferError::Busy),
        Some(proto::TransferReply::TIMED_OUT) => {
            Err(TransferError::NoTakeover(required(about, ABOUT)?))
        }
        Some(number) => {
            return Err(DecodeError::UnknownKind {
                part: "transfer error",
                number,
            });
        }
    };
    Ok(Content::TransferReply {
        request: request(read.request)?,
        result,
    })
}

const ABOUT: &str = "server that the answer is about";

const ABOUT_VERSION: &str = "version that the answer is about";

fn request(value: Option<u64>) -> Result<u64, DecodeError> {
    required(value, "request")
}
