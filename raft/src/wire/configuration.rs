//! Configurations, in entries and in snapshots.

use alloc::vec::Vec;

use bytes::Bytes;
use prost::Message;

use super::description::{
    description, encode_description, key, key_bytes, proto_description, proto_voucher, voucher,
};
use super::field::{self, List, number, required, server, server_bytes};
use super::{DecodeError, proto};
use crate::configuration::{
    AccessToken, Configuration, DISMISSED_MAX, Dismissal, EVICTED_MAX, Grants, History, Member,
    PAST_VOUCHERS_MAX, PublicKey, SCOPE_PREFIXES_MAX, SERVERS_MAX, Scope, Suffrage, TOKENS_MAX,
    TokenKey, Voucher,
};
use crate::ids::ServerId;
use crate::time::ClusterTime;

const PART: &str = "configuration";

/// All lists of a configuration are bounded before it is believed.
const LISTS: [List; 5] = [
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
    List {
        items: "access tokens",
        field: proto::Configuration::TOKENS,
        count_max: TOKENS_MAX,
    },
    List {
        items: "evicted servers",
        field: proto::Configuration::EVICTED,
        count_max: EVICTED_MAX,
    },
    List {
        items: "vouchers of servers that have left",
        field: proto::Configuration::PAST_VOUCHERS,
        count_max: PAST_VOUCHERS_MAX,
    },
];

pub(super) fn encode(configuration: &Configuration) -> Bytes {
    let dismissed = configuration.dismissed().iter();
    let evicted = configuration.evicted().iter();
    proto::Configuration {
        format: Some(proto::Configuration::FORMAT),
        members: configuration.members().map(encode_member).collect(),
        dismissed: dismissed.map(encode_dismissed).collect(),
        entry_bytes_max: Some(configuration.entry_bytes_max()),
        history: configuration.history().map(|history| history.0),
        version: Some(configuration.version()),
        is_open: Some(configuration.is_open()),
        tokens: configuration.tokens().iter().map(proto_token).collect(),
        evicted: evicted.map(|id| server_bytes(*id)).collect(),
        past_vouchers: configuration
            .past_vouchers()
            .map(encode_past_voucher)
            .collect(),
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
        description: Some(encode_description(&member.description)),
        voucher: member.voucher.as_ref().map(proto_voucher),
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

fn encode_past_voucher((subject, voucher): (PublicKey, Voucher)) -> proto::PastVoucher {
    proto::PastVoucher {
        subject: Some(key_bytes(&subject)),
        voucher: Some(proto_voucher(&voucher)),
    }
}

pub(super) fn proto_token(token: &AccessToken) -> proto::AccessToken {
    proto::AccessToken {
        key: Some(Bytes::copy_from_slice(&token.key.0.0)),
        grants: Some(match token.grants {
            Grants::Membership => proto::AccessToken::MEMBERSHIP,
            Grants::Reading => proto::AccessToken::READING,
            Grants::Writing => proto::AccessToken::WRITING,
            Grants::Operating => proto::AccessToken::OPERATING,
        }),
        expires_at: Some(token.expires_at.0),
        uses_left: Some(token.uses_left),
        scope: (!token.scope.is_everything()).then(|| encode_scope(&token.scope)),
    }
}

fn encode_scope(scope: &Scope) -> Bytes {
    let prefixes = scope.prefixes().to_vec();
    proto::Scope { prefixes }.encode_to_vec().into()
}

/// Reads a configuration, all of it: an unknown field, which would be lost when the configuration is handed on, counts
/// as another format.
pub(super) fn decode(bytes: &Bytes) -> Result<Configuration, DecodeError> {
    let read: proto::Configuration = field::decode_lists(bytes.clone(), PART, &LISTS)?;
    let format = required(read.format, "configuration format")?;
    let unsupported = DecodeError::Unsupported {
        part: PART,
        number: format,
    };
    if format != proto::Configuration::FORMAT || read.encoded_len() != bytes.len() {
        return Err(unsupported);
    }

    let mut members = Vec::with_capacity(read.members.len());
    for member in read.members {
        let described = member.description.as_ref().map_or(0, Bytes::len);
        let (id, member) = decode_member(member)?;
        if members.last().is_some_and(|(before, _)| *before >= id) {
            return Err(DecodeError::Contradiction { part: PART });
        }
        if proto_description(&member.description).encoded_len() != described {
            return Err(unsupported);
        }
        members.push((id, member));
    }
    let dismissed = read.dismissed.into_iter().map(decode_dismissed);
    let dismissed = dismissed.collect::<Result<Vec<_>, _>>()?;
    let evicted = read.evicted.into_iter();
    let evicted = evicted.map(|id| server(Some(id), "evicted server"));
    let evicted = evicted.collect::<Result<Vec<_>, _>>()?;
    let tokens = read.tokens.into_iter().map(token);
    let tokens = tokens.collect::<Result<Vec<_>, _>>()?;
    let past_vouchers = read.past_vouchers.into_iter().map(decode_past_voucher);
    let past_vouchers = past_vouchers.collect::<Result<Vec<_>, _>>()?;
    let counts = [dismissed.len(), evicted.len()];
    let mut configuration = Configuration::from_members(members)
        .with_dismissed(dismissed)
        .with_evicted(evicted)
        .with_past_vouchers(past_vouchers.iter().copied())
        .with_tokens(tokens.iter().cloned())
        .with_entry_bytes_max(number(read.entry_bytes_max, "longest entry")?)
        .with_version(required(read.version, "version of the cluster")?)
        .with_open(required(read.is_open, "whether the cluster is open")?);
    if let Some(history) = read.history {
        configuration = configuration.with_history(History(history));
    }
    let kept = [
        configuration.dismissed().len(),
        configuration.evicted().len(),
    ];
    let are_kept = configuration.past_vouchers().eq(past_vouchers);
    if kept != counts || configuration.tokens() != tokens || !are_kept {
        return Err(DecodeError::Contradiction { part: PART });
    }
    Ok(configuration)
}

pub(super) fn token(read: proto::AccessToken) -> Result<AccessToken, DecodeError> {
    let scope = read.scope.map_or(Ok(Scope::everything()), decode_scope)?;
    let grants = match required(read.grants, "what a token grants")? {
        proto::AccessToken::MEMBERSHIP => Grants::Membership,
        proto::AccessToken::READING => Grants::Reading,
        proto::AccessToken::WRITING => Grants::Writing,
        proto::AccessToken::OPERATING => Grants::Operating,
        number => {
            return Err(DecodeError::Unsupported {
                part: "access token",
                number,
            });
        }
    };
    Ok(AccessToken {
        key: TokenKey(key(read.key, "key of a token")?),
        grants,
        expires_at: ClusterTime(required(read.expires_at, "expiry of a token")?),
        uses_left: required(read.uses_left, "uses left of a token")?,
        scope,
    })
}

/// Reads which keys a token is for, all of it: what is not understood might limit it further.
fn decode_scope(bytes: Bytes) -> Result<Scope, DecodeError> {
    const PART: &str = "scope of a token";
    const MALFORMED: DecodeError = DecodeError::Malformed { part: PART };
    let list = List {
        items: "prefixes",
        field: proto::Scope::PREFIXES,
        count_max: SCOPE_PREFIXES_MAX,
    };
    let bytes_count = bytes.len();
    let read: proto::Scope = field::decode_list(bytes, PART, &list)?;
    if read.encoded_len() != bytes_count {
        return Err(MALFORMED);
    }
    Scope::of_prefixes(read.prefixes).map_err(|_| MALFORMED)
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

fn decode_past_voucher(read: proto::PastVoucher) -> Result<(PublicKey, Voucher), DecodeError> {
    let subject = key(read.subject, "subject of a voucher")?;
    let past = required(read.voucher, "voucher of a server that has left")?;
    Ok((subject, voucher(past)?))
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
    let description = description(member.description)?;
    if !description.can_be_of(id) {
        return Err(DecodeError::Contradiction { part: "member" });
    }
    let voucher = member.voucher.map(voucher).transpose()?;
    Ok((
        id,
        Member {
            suffrage,
            outgoing_voter,
            description,
            voucher,
        },
    ))
}
