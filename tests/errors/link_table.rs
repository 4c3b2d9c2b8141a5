//! The errors of links and of what is below them, with their texts.

use liferaft::ServerId;
use liferaft::configuration::PublicKey;
use liferaft::platform::Versions;
use liferaft::transport::SendError;
use liferaft::transport::access::Refusal;
use liferaft::transport::carrier::{CarryError, DialError, OpenFailure};
use liferaft::transport::handshake::{HandshakeError, Hint};
use liferaft::transport::links::{CloseReason, DownReason, LinkError, StreamError};
use liferaft::transport::memory::AttachError;
use liferaft::transport::sealing::{OpenError, SealError};

use crate::row::Row;

const ADA: ServerId = ServerId(0x1f);

/// All rows.
pub(crate) fn table() -> Vec<Row> {
    let parts = [links(), carried(), handshakes(), refusals(), sealed()];
    parts.into_iter().flatten().collect()
}

fn links() -> Vec<Row> {
    outcomes! {
        "SendError::NoLink": SendError::NoLink(ADA) => "not sent: there is no link to server 0x1f";
        "SendError::QueueFull": SendError::QueueFull(ADA) => "not sent: the queue to server 0x1f is full";
        "SendError::TooLarge": SendError::TooLarge { bytes: 9, bytes_max: 8 }
            => "not sent: the frame has 9 bytes, 8 are allowed";
        "SendError::Closed": SendError::Closed => "not sent: the transport is closed";
        "AttachError::InUse": AttachError::InUse(ADA) => "not attached: server 0x1f is attached already";
        "AttachError::NetworkFull": AttachError::NetworkFull
            => "not attached: the network has 4096 ends, no more are allowed";
    }
}

fn carried() -> Vec<Row> {
    let address = || "udp:there".parse().expect("it is an address");
    let (offset, credit) = (9, 8);
    causes! {
        "DialError::BadAddress": DialError::BadAddress(address())
            => "cannot dial udp:there: the carrier cannot read this address";
        "DialError::TooMany": DialError::TooMany { address: address(), connections_max: 8 }
            => "cannot dial udp:there: the carrier has 8 connections, no more are allowed";
        "CarryError::Full": CarryError::Full => "there is no room on the path for now";
        "CarryError::Closed": CarryError::Closed => "the path is closed";
        "CarryError::TooLarge": CarryError::TooLarge => "the packet is longer than the carrier carries";
        "LinkError::NoCarrier": LinkError::NoCarrier(address())
            => "no carrier dials udp:there: its scheme is none of theirs";
        "LinkError::Dial": LinkError::Dial(DialError::BadAddress(address()))
            => "cannot dial udp:there: the carrier cannot read this address";
        "LinkError::NotOpened": LinkError::NotOpened(OpenFailure::TimedOut) => "nobody answers in time";
        "OpenFailure::NameNotResolved": OpenFailure::NameNotResolved("why".into())
            => "the name of the host is not resolved: why";
        "OpenFailure::ConnectionRefused": OpenFailure::ConnectionRefused => "the connection is refused";
        "OpenFailure::TimedOut": OpenFailure::TimedOut => "nobody answers in time";
        "OpenFailure::NotConnected": OpenFailure::NotConnected("why".into()) => "there is no connection: why";
        "OpenFailure::NoSignaling": OpenFailure::NoSignaling {
            server: "ws://a/room".into(),
            why: "the connection is refused".into(),
        } => "the signaling server ws://a/room is not reached: the connection is refused";
        "OpenFailure::Tls": OpenFailure::Tls("why".into()) => "there is no TLS session: why";
        "OpenFailure::OtherProtocol": OpenFailure::OtherProtocol("why".into())
            => "whoever is there speaks another protocol: why";
        "LinkError::PathClosed": LinkError::PathClosed => "the path was closed before the handshake was done";
        "LinkError::NotSigned": LinkError::NotSigned => "this server could not sign the handshake";
        "LinkError::Handshake": LinkError::Handshake(HandshakeError::TimedOut { hint: None })
            => "no answer to the handshake";
        "DownReason::Silent": DownReason::Silent => "nothing was received for too long";
        "DownReason::Replaced": DownReason::Replaced => "a newer link to the peer has replaced it";
        "DownReason::ClosedByPeer": DownReason::ClosedByPeer(CloseReason::Leaving)
            => "the peer has closed it: it leaves";
        "DownReason::Closed": DownReason::Closed(CloseReason::Unwanted) => "closed: the link is not wanted";
        "DownReason::PathClosed": DownReason::PathClosed => "its carrier has lost the path";
        "DownReason::RuleBroken": DownReason::RuleBroken(StreamError::UnknownClass)
            => "the peer sent a frame of no known class";
        "DownReason::Exhausted": DownReason::Exhausted => "the link has used all its packet numbers";
        "StreamError::BeyondCredit": StreamError::BeyondCredit { offset, credit }
            => "the peer sent stream bytes up to offset 9, beyond its credit of 8";
        "StreamError::AcknowledgedUnsent": StreamError::AcknowledgedUnsent { acknowledged: 9, sent: 8 }
            => "the peer acknowledged stream bytes up to offset 9, of which 8 were sent";
        "StreamError::UnknownClass": StreamError::UnknownClass => "the peer sent a frame of no known class";
        "StreamError::FrameTooLong": StreamError::FrameTooLong { bytes: 9, bytes_max: 8 }
            => "the peer sent a frame of 9 bytes, 8 are allowed";
    }
}

fn handshakes() -> Vec<Row> {
    let peer = PublicKey([7; 32]);
    let refusal = Refusal::Expelled;
    causes! {
        "HandshakeError::OtherCluster": HandshakeError::OtherCluster => "the peer belongs to another cluster";
        "HandshakeError::UnknownVersion": HandshakeError::UnknownVersion { version: 3 }
            => "the peer speaks version 3 of the handshake, and this server 2: update the older one";
        "HandshakeError::Malformed": HandshakeError::Malformed { part: "claim" } => "the peer sent a malformed claim";
        "HandshakeError::NotProven": HandshakeError::NotProven { key: "token" }
            => "the peer has not proven to hold the token that it shows";
        "HandshakeError::Ourselves": HandshakeError::Ourselves
            => "the other end has the key of this server: it is the server itself, or uses a copy of its storage";
        "HandshakeError::Unexpected": HandshakeError::Unexpected { peer }
            => "server 0x4bb06f8e… answers there, which was not looked for";
        "HandshakeError::Downgraded": HandshakeError::Downgraded { version: 1 }
            => "the peer chose version 1, which is not the highest that both speak";
        "HandshakeError::Refused": HandshakeError::Refused { peer, refusal }
            => "server 0x4bb06f8e… is refused: the server was expelled from the cluster";
        "HandshakeError::Rejected": HandshakeError::Rejected { refusal, by: None }
            => "refused: the server was expelled from the cluster";
        "HandshakeError::TimedOut": HandshakeError::TimedOut { hint: Some(Hint::OtherCluster) }
            => "no answer to the handshake; perhaps the other end belongs to another cluster";
        "Hint::OtherCluster": Hint::OtherCluster => "the other end belongs to another cluster";
        "Hint::UnknownVersion": Hint::UnknownVersion => "the other end speaks another version of the handshake";
    }
}

fn refusals() -> Vec<Row> {
    let versions = Versions::only(2);
    causes! {
        "Refusal::Stranger": Refusal::Stranger
            => "the cluster knows neither the key nor an invitation that was shown with it";
        "Refusal::Expelled": Refusal::Expelled => "the server was expelled from the cluster";
        "Refusal::Forgotten": Refusal::Forgotten
            => "the cluster has forgotten the server, which needs a new invitation";
        "Refusal::TokenUnknown": Refusal::TokenUnknown
            => "the invitation is not known to the cluster, or was revoked";
        "Refusal::TokenExpired": Refusal::TokenExpired => "the invitation has expired";
        "Refusal::TokenUsedUp": Refusal::TokenUsedUp => "the invitation was used as often as it may be";
        "Refusal::RoleNotGranted": Refusal::RoleNotGranted
            => "the invitation does not grant the role that is claimed";
        "Refusal::OldBoot": Refusal::OldBoot
            => "the storage is a copy, or was set back: a later or another start of it was met";
        "Refusal::NoCommonVersion": Refusal::NoCommonVersion { versions }
            => "no common protocol version: the refusing server speaks 2";
        "Refusal::WrongBinding": Refusal::WrongBinding
            => "both ends are not of one connection: somebody is between them";
        "Refusal::Crowded": Refusal::Crowded => "the refusing server has as many links as it takes";
        "Refusal::NotOpen": Refusal::NotOpen
            => "the cluster is not open: it takes newcomers by invitation only";
    }
}

fn sealed() -> Vec<Row> {
    causes! {
        "SealError::Exhausted": SealError::Exhausted => "the link has used all its packet numbers";
        "OpenError::Malformed": OpenError::Malformed => "not a sealed packet";
        "OpenError::Replayed": OpenError::Replayed { number: 9 }
            => "packet 9 was opened before, or is behind the window";
        "OpenError::TooFarAhead": OpenError::TooFarAhead { number: 9 } => "packet 9 is too far ahead";
        "OpenError::Forged": OpenError::Forged => "a packet that the peer has not sealed";
        "OpenError::Worn": OpenError::Worn => "the keys of the link are worn by forged packets";
    }
}
