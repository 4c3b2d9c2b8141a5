//! Encodes where a member stands, for clients that look after a cluster.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use prost::Message as _;

use super::configuration::{proto_token, token};
use super::description::{description, encode_description};
use super::field::{self, List, index, required, server, server_bytes, server_if_any, term};
use super::{DecodeError, proto};
use crate::configuration::{AccessToken, Description, SERVERS_MAX, TOKENS_MAX};
use crate::consensus::RoleKind;
use crate::ids::{Index, ServerId, Term};
use crate::time::ClusterTime;

/// Where a member stands, as it tells a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Its part in the protocol.
    pub role: RoleKind,
    /// Its term.
    pub term: Term,
    /// The leader that it knows of.
    pub leader: Option<ServerId>,
    /// The last entry of its log.
    pub last: Index,
    /// Up to here entries are committed, as far as it knows.
    pub commit: Index,
    /// Up to here they are applied.
    pub applied: Index,
    /// Up to here its snapshot reaches.
    pub snapshot: Index,
    /// What the entries behind the snapshot weigh, in bytes.
    pub log_bytes: u64,
    /// How many servers it has a link to.
    pub links: u32,
    /// The members of its configuration, and whether each votes.
    pub members: Vec<(ServerId, bool, Description)>,
    /// If it leads, what it knows of the others.
    pub peers: Vec<PeerReport>,
    /// The access tokens of its configuration, for a client that may operate: for others none.
    pub tokens: Vec<AccessToken>,
    /// The cluster time of its last entry, by which tokens expire.
    pub time: ClusterTime,
    /// Where its links to servers run, where that is known.
    pub paths: Vec<LinkReport>,
}

/// The longest text that is told of a link, in bytes.
pub const LINK_TEXT_BYTES_MAX: usize = 256;

/// What a member tells of its link to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkReport {
    /// The server.
    pub peer: ServerId,
    /// The scheme of the link's carrier; `relay` if a third server passes on its packets. It ends after
    /// [`LINK_TEXT_BYTES_MAX`], as the description does.
    pub carrier: String,
    /// The server that passes on its packets, if one does.
    pub relay: Option<ServerId>,
    /// What the carrier says of the path, if it says anything.
    pub description: Option<String>,
}

/// What a leader tells of a server that it replicates to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerReport {
    /// The server.
    pub id: ServerId,
    /// How many entries of the leader's log are not known to be durable there.
    pub lag_entries: u64,
    /// The smoothed round trip, once one was measured, in whole microseconds.
    pub round_trip: Option<Duration>,
    /// The time since it last answered, if it ever did, in whole microseconds.
    pub silent_for: Option<Duration>,
}

const PART: &str = "report of a member";

pub(super) fn encode(report: &Report) -> Bytes {
    let members = report.members.iter();
    let members = members.map(|(id, is_voter, description)| proto::Reported {
        id: Some(server_bytes(*id)),
        is_voter: *is_voter,
        description: Some(encode_description(description)),
    });
    let peers = report.peers.iter().map(|peer| proto::PeerReport {
        id: Some(server_bytes(peer.id)),
        lag_entries: peer.lag_entries,
        round_trip: peer.round_trip.map(micros),
        silent_for: peer.silent_for.map(micros),
    });
    let paths = report.paths.iter().map(|path| proto::LinkReport {
        peer: Some(server_bytes(path.peer)),
        carrier: text_bytes(&path.carrier),
        relay: path.relay.map(server_bytes),
        description: text_bytes(path.description.as_deref().unwrap_or_default()),
    });
    let report = proto::Report {
        role: Some(match report.role {
            RoleKind::Follower => proto::Report::FOLLOWER,
            RoleKind::PreCandidate => proto::Report::PRE_CANDIDATE,
            RoleKind::Candidate => proto::Report::CANDIDATE,
            RoleKind::Leader => proto::Report::LEADER,
        }),
        term: Some(report.term.0),
        leader: report.leader.map(server_bytes),
        last: report.last.0,
        commit: report.commit.0,
        applied: report.applied.0,
        snapshot: report.snapshot.0,
        log_bytes: report.log_bytes,
        links: report.links,
        members: members.collect(),
        peers: peers.collect(),
        tokens: report.tokens.iter().map(proto_token).collect(),
        time: report.time.0,
        paths: paths.collect(),
    };
    report.encode_to_vec().into()
}

/// The text, up to where it gets too long.
fn text_bytes(text: &str) -> Bytes {
    let ends = text
        .char_indices()
        .map(|(at, letter)| at + letter.len_utf8());
    let end = ends.take_while(|end| *end <= LINK_TEXT_BYTES_MAX).last();
    Bytes::copy_from_slice(&text.as_bytes()[..end.unwrap_or(0)])
}

fn text(bytes: &[u8]) -> Result<String, DecodeError> {
    let text = core::str::from_utf8(bytes).ok();
    let text = text.filter(|text| text.len() <= LINK_TEXT_BYTES_MAX);
    let text = text.ok_or(DecodeError::Malformed {
        part: "text about a link",
    })?;
    Ok(text.to_owned())
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

pub(super) fn decode(bytes: Bytes) -> Result<Report, DecodeError> {
    let lists = [
        List {
            items: "members",
            field: proto::Report::MEMBERS,
            count_max: SERVERS_MAX,
        },
        List {
            items: "peers",
            field: proto::Report::PEERS,
            count_max: SERVERS_MAX,
        },
        List {
            items: "tokens",
            field: proto::Report::TOKENS,
            count_max: TOKENS_MAX,
        },
        List {
            items: "paths",
            field: proto::Report::PATHS,
            count_max: SERVERS_MAX,
        },
    ];
    let read: proto::Report = field::decode_lists(bytes, PART, &lists)?;
    let role = match required(read.role, "role")? {
        proto::Report::FOLLOWER => RoleKind::Follower,
        proto::Report::PRE_CANDIDATE => RoleKind::PreCandidate,
        proto::Report::CANDIDATE => RoleKind::Candidate,
        proto::Report::LEADER => RoleKind::Leader,
        number => {
            return Err(DecodeError::UnknownKind {
                part: "role",
                number,
            });
        }
    };
    let members = read.members.into_iter().map(|member| {
        let id = server(member.id, "member")?;
        Ok((id, member.is_voter, description(member.description)?))
    });
    let peers = read.peers.into_iter().map(|peer| {
        Ok(PeerReport {
            id: server(peer.id, "peer")?,
            lag_entries: peer.lag_entries,
            round_trip: peer.round_trip.map(Duration::from_micros),
            silent_for: peer.silent_for.map(Duration::from_micros),
        })
    });
    let paths = read.paths.into_iter().map(|path| {
        let description = text(&path.description)?;
        Ok(LinkReport {
            peer: server(path.peer, "peer")?,
            carrier: text(&path.carrier)?,
            relay: server_if_any(path.relay, "relay")?,
            description: (!description.is_empty()).then_some(description),
        })
    });
    Ok(Report {
        role,
        term: term(read.term, "term")?,
        leader: server_if_any(read.leader, "leader")?,
        last: index(Some(read.last), "last index")?,
        commit: index(Some(read.commit), "commit index")?,
        applied: index(Some(read.applied), "applied index")?,
        snapshot: index(Some(read.snapshot), "snapshot index")?,
        log_bytes: read.log_bytes,
        links: read.links,
        members: members.collect::<Result<_, DecodeError>>()?,
        peers: peers.collect::<Result<_, DecodeError>>()?,
        tokens: read
            .tokens
            .into_iter()
            .map(token)
            .collect::<Result<_, _>>()?,
        time: ClusterTime(read.time),
        paths: paths.collect::<Result<_, DecodeError>>()?,
    })
}
