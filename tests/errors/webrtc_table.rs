//! The errors of links over WebRTC, with their texts; why it does not listen is in the table of WebSocket.

use liferaft::transport::signaling::{
    ParseByHandError, SignalingAddressFault, SignalingServerError,
};
use liferaft::transport::webrtc::{ByHandError, IceServerError, WebRtcIdentityError};

use crate::row::Row;

/// All rows.
pub(crate) fn table() -> Vec<Row> {
    causes! {
        "WebRtcIdentityError::NoCertificate": WebRtcIdentityError::NoCertificate
            => "there is no certificate in PEM (-----BEGIN CERTIFICATE-----)";
        "WebRtcIdentityError::NoKey": WebRtcIdentityError::NoKey
            => "there is no private key in PEM (-----BEGIN PRIVATE KEY-----)";
        "WebRtcIdentityError::UnusableKey": WebRtcIdentityError::UnusableKey
            => "the private key is none of ECDSA with P-256 in PKCS #8";
        "WebRtcIdentityError::NotOfOneAnother": WebRtcIdentityError::NotOfOneAnother
            => "the certificate is not that of the private key";
        "SignalingServerError::BadAddress": SignalingServerError::BadAddress {
            address: "a".to_owned(),
            fault: SignalingAddressFault::NoScheme,
        } => "\"a\": there is no http://, https://, ws:// or wss:// at its beginning: it is the link of a room, as \
              https://signaling.example/?channel=ROOM, or its address, as wss://signaling.example/ROOM";
        "SignalingAddressFault::NoScheme": SignalingAddressFault::NoScheme
            => "there is no http://, https://, ws:// or wss:// at its beginning";
        "SignalingAddressFault::NoRoom": SignalingAddressFault::NoRoom {
            new: "http://a/new".to_owned(),
            peerjs: "ws://a/peerjs".to_owned(),
        } => "there is no room in it: http://a/new makes one, and that of npm's `peer` is ws://a/peerjs";
        "SignalingAddressFault::BadRoom": SignalingAddressFault::BadRoom
            => "the name of a room has 1 to 64 letters, digits, '-' and '_'";
        "SignalingAddressFault::CutOff": SignalingAddressFault::CutOff
            => "a room that a link names has 20 letters and digits: perhaps the link was cut off";
        "SignalingAddressFault::BadHost": SignalingAddressFault::BadHost
            => "there is no host in it, or its port is no number from 1 to 65535";
        "SignalingAddressFault::BadPath": SignalingAddressFault::BadPath
            => "the path before the room has letters, digits, '/', '.', '~', '-' and '_' alone";
        "SignalingAddressFault::BadServer": SignalingAddressFault::BadServer
            => "its server is none of http:// or https://";
        "SignalingServerError::TooLong": SignalingServerError::TooLong { bytes: 140 }
            => "an address of 140 bytes is too long for a signaling server: with the id of a server it has at most 128";
        "SignalingServerError::BadToken": SignalingServerError::BadToken
            => "a token has 1 to 128 letters, digits, '-' and '_'";
        "IceServerError::NoUrl": IceServerError::NoUrl => "it has no URL";
        "IceServerError::UrlTooLong": IceServerError::UrlTooLong => "its URL has more than 320 bytes";
        "IceServerError::UnknownScheme": IceServerError::UnknownScheme
            => "its URL begins with none of stun:, turn:, stuns: and turns:";
        "IceServerError::NoHost": IceServerError::NoHost => "its URL names no host";
        "IceServerError::BadPort": IceServerError::BadPort => "the port of its URL is no number from 1 to 65535";
        "IceServerError::BadQuery": IceServerError::BadQuery
            => "its URL asks for something else than ?transport=udp or ?transport=tcp";
        "IceServerError::NotByUdp": IceServerError::NotByUdp
            => "native ends reach servers of STUN and TURN by UDP only";
        "IceServerError::NoCredentials": IceServerError::NoCredentials
            => "a server of TURN needs a username and a credential, of 1 to 508 bytes each";
        "ParseByHandError::TooLong": ParseByHandError::TooLong { bytes: 5_000 }
            => "5000 bytes are no offer or answer: with white space they have at most 4096";
        "ParseByHandError::NoNote": ParseByHandError::NoNote
            => "it is no offer or answer: these begin with rtc-offer: or rtc-answer:";
        "ParseByHandError::Damaged": ParseByHandError::Damaged
            => "the offer or answer is damaged, or has lost its end: copy it to its end, and nothing else";
        "ParseByHandError::NewerVersion": ParseByHandError::NewerVersion { version: 2 }
            => "the offer or answer is of version 2, and this program knows 1: use a newer one";
        "ParseByHandError::Senseless": ParseByHandError::Senseless
            => "the offer or answer makes no sense";
        "ByHandError::Unreadable": ByHandError::Unreadable(ParseByHandError::Senseless)
            => "the offer or answer makes no sense";
        "ByHandError::Own": ByHandError::Own
            => "this text is of this end: the other end is to take it";
        "ByHandError::NoOffer": ByHandError::NoOffer
            => "the offer of this answer is answered, or its time is over: make another one";
        "ByHandError::TakenBefore": ByHandError::TakenBefore
            => "this offer was taken before: its end is to make another one";
        "ByHandError::TooMany": ByHandError::TooMany
            => "8 offers and answers wait already: no more are allowed";
        "ByHandError::NotMade": ByHandError::NotMade("it was closed".to_owned())
            => "no connection was made: it was closed";
        "ByHandError::Closed": ByHandError::Closed
            => "there is no end that could be connected";
    }
}
