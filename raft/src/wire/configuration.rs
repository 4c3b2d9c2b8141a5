//! Configurations, in entries and in snapshots.

use alloc::vec::Vec;

use bytes::Bytes;
use prost::Message;

use super::field::{self, List, detached, number, required, server, server_bytes};
use super::{DecodeError, proto};
use crate::configuration::{
    Configuration, DISMISSED_MAX, Dismissal, History, Member, PUBLIC_KEY_BYTES_MAX, SERVERS_MAX,
    Suffrage,
};
use crate::ids::ServerId;

const PART: &str = "configuration";

pub(super) fn encode(configuration: &Configuration) -> Bytes {
    let dismissed = configuration.dismissed().iter();
    proto::Configuration {
        format: Some(proto::Configuration::FORMAT),
        members: configuration.members().map(encode_member).collect(),
        dismissed: dismissed.map(encode_dismissed).collect(),
        entry_bytes_max: Some(configuration.entry_bytes_max()),
        history: configuration.history().map(|history| history.0),
    }
    .encode_to_vec()
    .into()
}

fn encode_member((id, member): (ServerId, &Member)) -> proto::Member {
    proto::Member {
        id: Some(server_bytes(id)),
        suffrage: Some(match member.suffrage {
            None => proto::Member::LEAVES,
            Some(Suffrage::Voter) => proto::Member::VOTER,
            Some(Suffrage::Learner) => proto::Member::LEARNER,
        }),
        outgoing_voter: Some(member.outgoing_voter),
        public_key: Some(member.public_key.clone()),
    }
}

fn encode_dismissed((id, why): &(ServerId, Dismissal)) -> proto::Dismissed {
    proto::Dismissed {
        id: Some(server_bytes(*id)),
        why: Some(match why {
            Dismissal::Removed => proto::Dismissed::REMOVED,
            Dismissal::Forgot => proto::Dismissed::FORGOT,
        }),
    }
}

/// Reads a configuration, all of it: an unknown field, which would be lost when the configuration is handed on, counts
/// as another format.
pub(super) fn decode(bytes: &Bytes) -> Result<Configuration, DecodeError> {
    let lists = [
        List {
            items: "members",
            field: proto::Configuration::MEMBERS,
            count_max: SERVERS_MAX,
        },
        List {
            items: "dismissed servers",
            field: proto::Configuration::DISMISSED,
            count_max: DISMISSED_MAX,
        },
    ];
    let read: proto::Configuration = field::decode_lists(bytes.clone(), PART, &lists)?;
    let format = required(read.format, "configuration format")?;
    if format != proto::Configuration::FORMAT || read.encoded_len() != bytes.len() {
        return Err(DecodeError::Unsupported {
            part: PART,
            number: format,
        });
    }

    let mut members = Vec::with_capacity(read.members.len());
    for member in read.members {
        let (id, member) = decode_member(member)?;
        if members.last().is_some_and(|(before, _)| *before >= id) {
            return Err(DecodeError::Contradiction { part: PART });
        }
        members.push((id, member));
    }
    let dismissed = read.dismissed.into_iter();
    let dismissed = dismissed
        .map(decode_dismissed)
        .collect::<Result<Vec<_>, _>>()?;
    let count = dismissed.len();
    let mut configuration = Configuration::from_members(members)
        .with_dismissed(dismissed)
        .with_entry_bytes_max(number(read.entry_bytes_max, "longest entry")?);
    if let Some(history) = read.history {
        configuration = configuration.with_history(History(history));
    }
    if configuration.dismissed().len() < count {
        return Err(DecodeError::Contradiction { part: PART });
    }
    Ok(configuration)
}

fn decode_dismissed(read: proto::Dismissed) -> Result<(ServerId, Dismissal), DecodeError> {
    let id = server(read.id, "dismissed server")?;
    let why = match required(read.why, "reason of a dismissal")? {
        proto::Dismissed::REMOVED => Dismissal::Removed,
        proto::Dismissed::FORGOT => Dismissal::Forgot,
        number => {
            return Err(DecodeError::Unsupported {
                part: "dismissal",
                number,
            });
        }
    };
    Ok((id, why))
}

fn decode_member(member: proto::Member) -> Result<(ServerId, Member), DecodeError> {
    let id = server(member.id, "member's id")?;
    let outgoing_voter = required(member.outgoing_voter, "outgoing voter")?;
    let suffrage = match required(member.suffrage, "suffrage")? {
        proto::Member::LEAVES if outgoing_voter => None,
        proto::Member::LEAVES => return Err(DecodeError::Contradiction { part: "member" }),
        proto::Member::VOTER => Some(Suffrage::Voter),
        proto::Member::LEARNER => Some(Suffrage::Learner),
        number => {
            return Err(DecodeError::Unsupported {
                part: "suffrage",
                number,
            });
        }
    };
    let public_key = public_key(member.public_key)?;
    Ok((
        id,
        Member {
            suffrage,
            outgoing_voter,
            public_key,
        },
    ))
}

/// A public key, out of the frame that brought it: configurations are kept long.
pub(super) fn public_key(value: Option<Bytes>) -> Result<Bytes, DecodeError> {
    let key = required(value, "public key")?;
    if key.len() > PUBLIC_KEY_BYTES_MAX {
        return Err(DecodeError::BadLength {
            field: "public key",
            bytes: key.len(),
        });
    }
    Ok(detached(&key))
}
