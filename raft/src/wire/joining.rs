//! Encodes what servers that want to join and members say to one another.

use bytes::Bytes;

use super::description::{description, encode_description, key_bytes};
use super::field::{self, required, server_bytes, server_if_any};
use super::proto::{self, kind};
use super::request::token_key;
use super::{Content, DecodeError, JoinReply};
use crate::configuration::{Description, Foreign, TokenFault, TokenKey};

pub(super) fn decode(kind: u32, body: Bytes) -> Result<Content, DecodeError> {
    match kind {
        kind::JOIN => {
            let read: proto::Join = field::decode(body, "wish to join")?;
            Ok(Content::Join {
                description: description(read.description)?,
                token: read.token.map(|token| token_key(Some(token))).transpose()?,
            })
        }
        kind::JOIN_REPLY => decode_join_reply(body),
        kind::FOREIGN => decode_foreign(body),
        number => Err(DecodeError::UnknownKind {
            part: "frame",
            number,
        }),
    }
}

pub(super) fn join(description: &Description, token: Option<TokenKey>) -> proto::Join {
    proto::Join {
        description: Some(encode_description(description)),
        token: token.map(|token| key_bytes(&token.0)),
    }
}

pub(super) fn foreign(why: Foreign) -> proto::Foreign {
    proto::Foreign {
        why: Some(match why {
            Foreign::Cluster => proto::Foreign::CLUSTER,
            Foreign::History => proto::Foreign::HISTORY,
        }),
    }
}

fn decode_foreign(body: Bytes) -> Result<Content, DecodeError> {
    let read: proto::Foreign = field::decode(body, "answer of a foreign server")?;
    match required(read.why, "what is foreign")? {
        proto::Foreign::CLUSTER => Ok(Content::Foreign(Foreign::Cluster)),
        proto::Foreign::HISTORY => Ok(Content::Foreign(Foreign::History)),
        number => Err(DecodeError::UnknownKind {
            part: "what is foreign",
            number,
        }),
    }
}

pub(super) fn join_reply(reply: &JoinReply) -> proto::JoinReply {
    let mut known = None;
    let (answer, leader) = match reply {
        JoinReply::Accepted => (proto::JoinReply::ACCEPTED, None),
        JoinReply::Member => (proto::JoinReply::MEMBER, None),
        JoinReply::NotLeader {
            leader,
            description,
        } => {
            known = description.as_ref().map(encode_description);
            (proto::JoinReply::NOT_LEADER, *leader)
        }
        JoinReply::Busy => (proto::JoinReply::BUSY, None),
        JoinReply::Dismissed => (proto::JoinReply::DISMISSED, None),
        JoinReply::Manual => (proto::JoinReply::MANUAL, None),
        JoinReply::Forgot => (proto::JoinReply::FORGOT, None),
        JoinReply::NotInvited => (proto::JoinReply::NOT_INVITED, None),
        JoinReply::Token(TokenFault::Unknown) => (proto::JoinReply::TOKEN_UNKNOWN, None),
        JoinReply::Token(TokenFault::UsedUp) => (proto::JoinReply::TOKEN_USED_UP, None),
        JoinReply::Token(TokenFault::Expired) => (proto::JoinReply::TOKEN_EXPIRED, None),
        JoinReply::Token(TokenFault::GrantsOther) => (proto::JoinReply::TOKEN_GRANTS_OTHER, None),
        JoinReply::OtherVersion => (proto::JoinReply::OTHER_VERSION, None),
    };
    proto::JoinReply {
        answer: Some(answer),
        leader: leader.map(server_bytes),
        description: known,
    }
}

fn decode_join_reply(body: Bytes) -> Result<Content, DecodeError> {
    let read: proto::JoinReply = field::decode(body, "reply to a wish to join")?;
    let leader = server_if_any(read.leader, "leader")?;
    let reply = match required(read.answer, "answer")? {
        proto::JoinReply::ACCEPTED => JoinReply::Accepted,
        proto::JoinReply::MEMBER => JoinReply::Member,
        proto::JoinReply::NOT_LEADER => JoinReply::NotLeader {
            leader,
            description: read
                .description
                .map(|known| description(Some(known)))
                .transpose()?,
        },
        proto::JoinReply::BUSY => JoinReply::Busy,
        proto::JoinReply::DISMISSED => JoinReply::Dismissed,
        proto::JoinReply::MANUAL => JoinReply::Manual,
        proto::JoinReply::FORGOT => JoinReply::Forgot,
        proto::JoinReply::NOT_INVITED => JoinReply::NotInvited,
        proto::JoinReply::TOKEN_UNKNOWN => JoinReply::Token(TokenFault::Unknown),
        proto::JoinReply::TOKEN_USED_UP => JoinReply::Token(TokenFault::UsedUp),
        proto::JoinReply::TOKEN_EXPIRED => JoinReply::Token(TokenFault::Expired),
        proto::JoinReply::TOKEN_GRANTS_OTHER => JoinReply::Token(TokenFault::GrantsOther),
        proto::JoinReply::OTHER_VERSION => JoinReply::OtherVersion,
        number => {
            return Err(DecodeError::UnknownKind {
                part: "answer to a wish to join",
                number,
            });
        }
    };
    Ok(Content::JoinReply(reply))
}
